"""The longest waits of a run, and what is said of their causes."""

from conferral.sandbox.request_log import DeliveryEntry, RequestLog, RestEntry
from tests.simulation.longest_waits import ALONE, SILENT, LongestWaits, Wait, faults_of_session


def test_longest_waits_are_kept_once_for_each_session() -> None:
    waits = LongestWaits(most=2)
    for session_id, length_s in (("a", 5.0), ("b", 9.0), ("a", 7.0), ("c", 6.0), ("a", 1.0)):
        waits.note(Wait(ALONE, session_id, "CA1", 100.0, 100.0 + length_s), lambda: ([], []))
    assert [(one.session_id, one.length_s) for one in waits.by_kind[ALONE]] == [("b", 9.0), ("a", 7.0)]


def test_cause_of_a_wait_is_what_happened_during_it_and_shortly_before() -> None:
    waits = LongestWaits()
    faults = [(90.0, "long before"), (97.0, "answered lost"), (101.0, "killed its worker"), (120.0, "afterwards")]
    decisions = [(99.0, "calls_overdue"), (104.0, "account_swept"), (104.5, "account_swept"), (111.0, "later_overdue")]
    waits.note(Wait(SILENT, "a", "CA1", 100.0, 110.0), lambda: (faults, decisions))
    (line,) = waits.lines(1)
    assert "faults: answered lost; killed its worker\n" in line
    assert line.endswith("bounded by: account_swept (2 times)")


def test_faults_of_other_sessions_explain_nothing() -> None:
    ledger = RequestLog()
    for sid, fault in (("CA1", "lost"), ("CA2", "lost"), ("CA1", "")):
        ledger.deliveries.append(
            DeliveryEntry(1.0, "call", "answered", "https://x/y?session=s", "POST", (), sid, fault=fault)
        )
    ledger.rest.append(RestEntry(2.0, "POST", "/Calls/CA1.json", (), fault="429"))
    ledger.rest.append(RestEntry(2.0, "POST", "/Calls/CA2.json", (), fault="429"))
    assert faults_of_session(ledger, "none", {"CA1"}) == [(1.0, "answered lost"), (2.0, "POST Calls 429")]
