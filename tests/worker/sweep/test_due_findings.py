"""Which findings of a sweep are published, and how often."""

import pytest

from conferral.worker.sweep.diff import Difference, DueFindings, Finding


def published(findings: DueFindings, found: list[Finding], number: int) -> list[Finding]:
    due = findings.select(found, number)
    findings.mark_published(due, number)
    return due


def test_calls_outliving_their_session_are_reported_less_and_less_often() -> None:
    """Each time it is hung up again; and a customer who was sent elsewhere stays as long as they like."""
    live = Finding(Difference.CALL_LIVE, "over", "CA1")
    missing = Finding(Difference.CALL_MISSING, "s1", "CA2")
    findings = DueFindings()

    reported = [number for number in range(300) if live in published(findings, [missing, live], number)]
    assert reported == [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]
    assert published(findings, [missing, live], 300) == [missing]

    assert published(findings, [], 301) == []
    assert published(findings, [live], 302) == [live]


def test_findings_over_the_limit_are_reported_in_the_next_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is wrong as a whole must not cause a read for every session."""
    missing = [Finding(Difference.CALL_MISSING, f"s{number}", f"CA{number}") for number in range(550)]
    assert len(DueFindings().select(missing, 0)) == 500

    monkeypatch.setattr("conferral.worker.sweep.diff.FINDINGS_MAX", 1)
    first, second = (Finding(Difference.CALL_LIVE, "over", sid) for sid in ("CA1", "CA2"))
    findings = DueFindings()

    selected = [published(findings, [missing[0], first, second], number) for number in (0, 1, 2)]
    assert selected == [[first], [first], [second]], "what outlives its session goes first"


def test_finding_that_could_not_be_published_is_selected_again() -> None:
    live, findings = Finding(Difference.CALL_LIVE, "over", "CA1"), DueFindings()
    assert findings.select([live], 100) == [live]
    assert findings.select([live], 100) == [live]
    findings.mark_published([live], 100)
    assert findings.select([live], 100) == []
