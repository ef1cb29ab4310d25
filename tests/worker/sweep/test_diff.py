"""What counts as a difference between Twilio's lists and the sessions, which are published, and how often."""

from dataclasses import replace
from typing import Any

import pytest

from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus, State
from conferral.telephony.account_lists import AccountSnapshot, ChildCall
from conferral.worker.sweep.diff import AccountDiff, Difference, Finding
from tests.support.each import each
from tests.worker.sweep.sweep_harness import SweepHarness

QUIET_MS = 100_000


def session_with(calls: dict[str, int], *ringing: str, **more: Any) -> Session:
    """A live session, and since when each of its calls is connected."""
    parties = {
        sid: Party(
            sid, f"{sid}-1", call_sid=sid, answered_at_ms=since_ms, in_conference=True, dial_id="d",
            status=PartyStatus.RINGING if sid in ringing else PartyStatus.CONNECTED,
        )
        for sid, since_ms in calls.items()
    }  # fmt: skip
    values = {"updated_at_ms": QUIET_MS, "conference_sid": "CF1", "parties": parties}
    return Session("s1", State.CONFERENCED, version=1, **(values | more))


CALLS = {"CA1": QUIET_MS, "CA2": QUIET_MS}
SESSION = session_with(CALLS)
IN_ORDER = AccountSnapshot(calls={"CA1", "CA2"}, conferences={"CF1": "s1"})


def compared(account: AccountSnapshot, *sessions: Session) -> AccountDiff:
    comparison = AccountDiff(account, QUIET_MS)
    for session in sessions:
        comparison.compare_live(session)
    return comparison


@pytest.mark.parametrize(
    "account, missing",
    [
        (replace(IN_ORDER, calls={"CA2"}), (Difference.CALL_MISSING, "CA1")),
        (replace(IN_ORDER, calls={"CA1"}), (Difference.CALL_MISSING, "CA2")),
        (replace(IN_ORDER, conferences={"CF2": "s1"}), (Difference.CONFERENCE_MISSING, "CF1")),
        (AccountSnapshot(), (Difference.CALL_MISSING, "CA1")),
    ],
)
def test_session_missing_something_is_reported_once(account: AccountSnapshot, missing: tuple[Difference, str]) -> None:
    """One read of the session follows, and covers all of it."""
    difference, sid = missing
    assert compared(account, SESSION).findings == [Finding(difference, "s1", sid)]


def test_conference_with_the_name_of_a_session_that_does_not_know_of_it_is_reported_once_the_session_is_quiet() -> None:
    unaware = replace(SESSION, conference_sid="", conference_name="s1")
    found = [Finding(Difference.CONFERENCE_UNKNOWN, "s1", "CF1")]
    assert compared(IN_ORDER, unaware).findings == found
    assert found[0].event(1).conference_sid == "CF1"
    assert compared(IN_ORDER, replace(unaware, updated_at_ms=QUIET_MS + 1)).findings == []
    assert compared(IN_ORDER, replace(unaware, conference_name="s2")).findings == []


def test_conference_of_one_is_not_missing_because_no_list_need_show_it_before_its_start() -> None:
    account = replace(IN_ORDER, conferences={})
    alone = {sid: replace(party, in_conference=sid == "CA1") for sid, party in SESSION.parties.items()}
    assert compared(account, replace(SESSION, parties=alone)).findings == []


def test_answered_callee_who_still_rings_in_the_session_is_reported_and_a_caller_is_not() -> None:
    """A caller's own call is answered by the document, though the caller hears ringing."""
    parties = {
        "customer": Party("customer", "customer-1", call_sid="CA1", status=PartyStatus.RINGING),
        "agent": Party("agent", "agent-1", call_sid="CA2", status=PartyStatus.RINGING),
        "target": Party("target", "target-2", call_sid="CA3", status=PartyStatus.RINGING, dial_id="d1"),
        "lawyer": Party("lawyer", "lawyer-3", call_sid="CA4", status=PartyStatus.CONNECTED, dial_id="d2"),
    }
    rings, calls = replace(SESSION, conference_sid="", parties=parties), {"CA1", "CA2", "CA3", "CA4"}
    assert compared(AccountSnapshot(calls, answered={"CA1", "CA4"}), rings).findings == []
    for callee in ("CA2", "CA3"):
        found = compared(AccountSnapshot(calls, answered={"CA1", "CA4", callee}), rings).findings
        assert found == [Finding(Difference.CALL_ANSWERED, "s1", callee)]


@each("agent_sid, is_found", [("", True), ("CA9", False)])
def test_answered_child_of_a_bridge_that_no_callback_has_named_is_reported(agent_sid: str, is_found: bool) -> None:
    parties = {
        "customer": Party("customer", "customer-1", call_sid="CA1", status=PartyStatus.CONNECTED),
        "agent": Party("agent", "agent-1", call_sid=agent_sid),
    }
    rings = replace(SESSION, conference_sid="", parties=parties)
    account = AccountSnapshot({"CA1", "CA2", "CA9"}, children={"CA1": (ChildCall("CA2", "client:alice", ""),)})
    assert compared(account, rings).findings == []
    found = compared(replace(account, answered={"CA1", "CA2"}), rings).findings
    assert found == [Finding(Difference.CALL_ANSWERED, "s1", "CA1")] * is_found


@each("status, times, is_missing", [
    (PartyStatus.CONNECTED, {"created_at_ms": QUIET_MS}, True),
    (PartyStatus.CONNECTED, {"created_at_ms": QUIET_MS + 1}, False),
    # From before Redis's clock was set back.
    (PartyStatus.CONNECTED, {"created_at_ms": QUIET_MS + 120_000}, False),
    (PartyStatus.CONNECTED, {"created_at_ms": QUIET_MS + 120_001}, True),
    # An outbound call's customer, or a next agent, may have begun to ring long after the session.
    (PartyStatus.RINGING, {"updated_at_ms": QUIET_MS}, True),
    (PartyStatus.RINGING, {"updated_at_ms": QUIET_MS + 1}, False),
    (PartyStatus.LEFT, {"created_at_ms": QUIET_MS}, False),
])  # fmt: skip
def test_call_without_a_time_of_its_own_began_with_its_session_or_the_last_change(
    status: PartyStatus, times: dict[str, int], is_missing: bool
) -> None:
    parties = {"agent": Party("agent", "agent-1", call_sid="CA2", status=status)}
    found = compared(AccountSnapshot(), replace(SESSION, conference_sid="", parties=parties, **times)).findings
    assert found == [Finding(Difference.CALL_MISSING, "s1", "CA2")] * is_missing


def test_call_that_has_just_begun_is_known() -> None:
    account = AccountSnapshot(calls={"CA1", "CA9"}, conferences={"CF1": "s1"})
    comparison = compared(account, session_with({"CA1": QUIET_MS, "CA2": QUIET_MS + 1}))
    assert comparison.findings == []
    assert (comparison.unmatched_calls, comparison.unmatched_conferences) == ({"CA9"}, {})


JUST_CHANGED = {"updated_at_ms": QUIET_MS + 1}


@each("account, session, missing", [
    # A new call does not hide one that is missing.
    (AccountSnapshot(), session_with({"CA1": QUIET_MS + 1, "CA2": QUIET_MS}), ["CA2"]),
    (replace(IN_ORDER, calls={"CA1"}), session_with(CALLS, **JUST_CHANGED), ["CA2"]),
    (replace(IN_ORDER, conferences={}), session_with(CALLS, **JUST_CHANGED), []),
    (replace(IN_ORDER, answered={"CA1", "CA2"}), session_with(CALLS, "CA2", **JUST_CHANGED), ["CA2"]),
])  # fmt: skip
def test_session_that_has_just_changed_may_miss_a_call_or_an_answer_but_no_conference(
    account: AccountSnapshot, session: Session, missing: list[str]
) -> None:
    assert [finding.sid for finding in compared(account, session).findings] == missing


def test_incomplete_listing_reports_nothing_as_missing() -> None:
    cut = AccountSnapshot(has_all_calls=False)
    assert [finding.difference for finding in compared(cut, SESSION).findings] == [Difference.CONFERENCE_MISSING]
    cut = AccountSnapshot(has_all_conferences=False)
    assert {finding.difference for finding in compared(cut, SESSION).findings} == {Difference.CALL_MISSING}


@pytest.mark.parametrize("ended_at_ms, is_reported", [(QUIET_MS, True), (QUIET_MS + 1, False)])
def test_calls_outliving_their_session_are_reported_unless_the_end_is_in_progress(
    ended_at_ms: int, is_reported: bool
) -> None:
    comparison = compared(AccountSnapshot())

    over = Session("s1", State.ENDED, ended_at_ms=ended_at_ms, former_conferences=("CF1",))
    comparison.compare_ended(over, call_sid="CA1")
    comparison.compare_ended(over, conference_sid="CF1")
    comparison.compare_ended(over, conference_sid="CF9")

    sids = {Difference.CALL_LIVE: "CA1", Difference.CONFERENCE_LIVE: "CF1"}
    reported = [Finding(difference, "s1", sid, ended_at_ms) for difference, sid in sids.items()]
    assert comparison.findings == (reported if is_reported else [])
    assert all(finding.is_of_ended for finding in comparison.findings)


def test_calls_outliving_their_session_are_reported_less_and_less_often() -> None:
    """Each time it is hung up again; and a customer who was sent elsewhere stays as long as they like."""
    live = Finding(Difference.CALL_LIVE, "over", "CA1", ended_at_ms=10_500)
    missing = Finding(Difference.CALL_MISSING, "s1", "CA2")

    reported = [number for number in range(10, 310) if live.is_due(1_000, number, number - 1)]
    assert [number - 10 for number in reported] == [0, 1, 2, 4, 8, 16, 32, 64, 128, 192, 256]
    assert all(missing.is_due(1_000, number, number - 1) for number in range(10, 310))


def test_report_of_a_sweep_that_failed_is_made_up_for() -> None:
    live = Finding(Difference.CALL_LIVE, "over", "CA1", ended_at_ms=10_500)
    assert [live.is_due(1_000, 19, last) for last in (17, 18)] == [True, False]
    assert not live.is_due(1_000, 19, 19), "it was reported in this interval"
    assert live.is_due(1_000, 19, -1), "another worker may not have reported it"


@pytest.mark.redis
async def test_findings_over_the_limit_are_reported_in_a_later_sweep(
    sea: SweepHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that is wrong as a whole must not cause a read for every session."""
    monkeypatch.setattr("conferral.worker.sweep.sweeper.FINDINGS_MAX", 1)
    await sea.store(sea.session("s1", "CA1"), sea.ended("over", "CA2"))
    sea.account.account = AccountSnapshot(calls={"CA2"})

    await sea.sweep(times=sea.times(interval_s=86_400))
    assert [event.session_id for event in await sea.published()] == ["over"], "what outlives its session goes first"
