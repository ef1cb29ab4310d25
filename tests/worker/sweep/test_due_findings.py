"""Which findings of a sweep are published, and how often."""

import pytest

from conferral.worker.sweep.diff import Difference, Finding
from conferral.worker.sweep.due_findings import DueFindings


def test_calls_outliving_their_session_are_reported_less_and_less_often() -> None:
    """Each time it is hung up again; and a customer who was sent on somewhere else stays as long as he likes."""
    live = Finding(Difference.CALL_LIVE, "over", "CA1")
    missing = Finding(Difference.CALL_MISSING, "s1", "CA2")
    findings = DueFindings()

    reported = [number for number in range(300) if live in findings.select([missing, live], number)]
    assert reported == [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]
    assert findings.select([missing, live], 300) == [missing]

    assert findings.select([], 301) == []
    assert findings.select([live], 302) == [live]


def test_findings_over_the_limit_are_reported_in_the_next_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conferral.worker.sweep.due_findings.FINDINGS_MAX", 1)
    first, second = (Finding(Difference.CALL_LIVE, "over", sid) for sid in ("CA1", "CA2"))
    findings = DueFindings()

    assert [findings.select([first, second], number) for number in (0, 1, 2)] == [[first], [first], [second]]
