"""Which sessions are in trouble, and in which order they are shown."""

import pytest

from conferral.operations import catalog, statistics
from conferral.operations.explain import attention
from conferral.operations.explain.attention import (
    HOLD_LIMIT,
    HOLD_LIMIT_NEAR_MS,
    LONE,
    OVERDUE,
    RECOVERED,
    REFUSED,
    attention_of,
    sort_key,
)
from conferral.operations.statistics import SessionCounts
from conferral.statemachine.events import Transfer
from conferral.statemachine.record import replace
from conferral.storage.codecs.text_codec import to_iso
from tests.statemachine.command_scenarios import ordering, supervised
from tests.statemachine.conference_scenarios import parked, retrieving, waiting
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialing, talking
from tests.support.each import each
from tests.support.flat_sessions import flat, session_of

Fields = dict[str, str]


def of(story: Scenario) -> tuple[Fields, int]:
    return flat(story.session), story.session.updated_at_ms


@each(
    "begin",
    [
        lambda: Scenario().comes_in(),
        lambda: Scenario().answered(),
        lambda: Scenario().answered().convert().joins("agent"),
        lambda: conferenced(),
        waiting,
        parked,
        retrieving,
        blind_from_bridge,
        lambda: dialing("warm"),
        lambda: talking("consult"),
        lambda: ordering().hold("customer").confirms("customer"),
        lambda: conferenced().end(),
    ],
)
def test_normal_session_needs_no_attention(begin) -> None:
    fields, now_ms = of(begin())

    assert attention_of(session_of(fields), now_ms) is None


def test_a_timer_that_is_long_due_is_the_worst() -> None:
    fields, _ = of(Scenario().comes_in())
    due_ms = 1_000_000 + 40_000

    assert attention_of(session_of(fields), due_ms + attention.OVERDUE_AFTER_MS) is None
    found = attention_of(session_of(fields), due_ms + 14_000)
    assert found.rank == OVERDUE
    assert found.text.startswith("overdue by 14 s: Conferral asks Twilio about the calls")


def test_hold_is_marked_a_minute_before_its_limit_though_no_one_has_to_act() -> None:
    for story in (ordering().hold("customer").confirms("customer"), talking("consult")):
        fields, _ = of(story)
        ends_ms = story.session.parties["customer"].since_ms + story.policy.hold_limit_ms
        fields["timers"] = f'{{"hold": {ends_ms}}}'  # the notice has been given

        assert attention_of(session_of(fields), ends_ms - HOLD_LIMIT_NEAR_MS - 1) is None
        found = attention_of(session_of(fields), ends_ms - HOLD_LIMIT_NEAR_MS)
        assert (found.rank, found.text) == (HOLD_LIMIT, f"hold limit at {catalog.utc_clock(ends_ms)}")
        assert not found.needs_attention
        assert attention_of(session_of(fields), ends_ms, str).text == f"hold limit at {ends_ms}"


def test_a_live_session_without_any_timer_waits_for_nothing() -> None:
    fields, now_ms = of(conferenced())
    del fields["timers"]

    found = attention_of(session_of(fields), now_ms)

    assert (found.rank, found.text) == (OVERDUE, "overdue: nothing is pending, not even a timer")


def test_last_conference_party_is_alone_despite_listeners() -> None:
    for begin in (conferenced, lambda: supervised("monitor")):
        fields, now_ms = of(begin().leaves("agent"))

        found = attention_of(session_of(fields), now_ms)

        assert (found.rank, found.text) == (LONE, "alone in the conference: customer")


def test_failed_transfer_is_shown_for_five_minutes() -> None:
    fields, now_ms = of(dialing("warm").call("target", "busy"))
    fields |= {"state": "conferenced", "phase": "connected", "timers": f'{{"age": {now_ms + 86_400_000}}}'}

    found = attention_of(session_of(fields), now_ms + attention.RECENT_FAILURE_MS - 1)

    assert (found.rank, found.text) == (RECOVERED, "transfer failed: target was busy")
    assert found.label == "target was busy", "a list cuts the end"
    assert attention_of(session_of(fields), now_ms + attention.RECENT_FAILURE_MS + 1) is None


def test_a_refused_transfer_leaves_a_mark_but_needs_no_one() -> None:
    story = conferenced().command(Transfer, "transfer-1", to="client:bob", mode="warm", refused="to: is unknown")
    fields, _ = of(story)

    found = attention_of(session_of(fields), story.now_ms)

    assert (found.rank, found.text, found.needs_attention) == (REFUSED, "transfer refused: to: is unknown", False)
    beyond = replace(story.session, refused_transfer="dial-limit")
    assert attention_of(beyond, story.now_ms).text == "transfer refused: limit of dials reached"
    assert attention_of(session_of(fields), story.now_ms + attention.RECENT_FAILURE_MS + 1) is None


def test_a_failed_transfer_whose_caller_talks_again_is_marked_but_needs_no_one() -> None:
    fields, now_ms = of(dialing("warm").call("target", "busy"))
    talking = fields | {"state": "conferenced", "phase": "connected", "timers": f'{{"age": {now_ms + 86_400_000}}}'}
    waiting = talking | {"phase": "parked"}
    fine = {name: value for name, value in talking.items() if not name.startswith("transfer.")}

    found = [(one, attention_of(one, now_ms)) for one in (session_of(talking), session_of(waiting))]
    assert [one is not None and one.needs_attention for _, one in found] == [False, True]
    assert statistics.count_sessions(found).troubled == 1
    newest_first = [fine | {"id": "new", "created_at": to_iso(now_ms)}, talking | {"created_at": to_iso(0)}]
    assert sorted(newest_first, key=lambda one: sort_key(session_of(one), now_ms)) == newest_first


@pytest.mark.parametrize(("reason", "is_bad"), [("convert-failed", True), ("alone", True), ("agent-left", False)])
def test_unintended_end_is_reported(reason: str, is_bad: bool) -> None:
    found = attention_of(session_of({"state": "ended", "end_reason": reason}), 0)

    assert (found is not None) == is_bad
    assert found is None or found.text == f"ended: {catalog.reason_text(reason)}"


def test_sessions_are_sorted_by_severity_and_then_newest_first() -> None:
    now_ms = 1_800_000_000_000
    well = {"state": "bridged", "timers": f'{{"age": {now_ms + 1}}}'}
    sessions = [
        well | {"id": "old", "created_at": to_iso(now_ms - 9_000)},
        well | {"id": "new", "created_at": to_iso(now_ms - 5_000)},
        {"id": "bad end", "state": "ended", "end_reason": "alone"},
        {"id": "overdue", "state": "bridged", "timers": '{"calls": 1}'},
    ]

    found = sorted(sessions, key=lambda fields: sort_key(session_of(fields), now_ms))

    assert [one["id"] for one in found] == ["overdue", "bad end", "new", "old"]


# ---- statistics ----------------------------------------------------------------------------------------------------


NOW_MS = 1_800_000_000_000
TALKING = {"phase": "connected", "party.customer.status": "connected", "party.agent.status": "connected"}


def session(state, **fields):
    return {"state": state, "timers": f'{{"age": {NOW_MS + 1}}}', **TALKING, **fields}


def test_live_sessions_are_counted_by_state_and_need_for_attention():
    alone = {"party.agent.status": "left"}
    rows = [
        session("bridged"),
        session("conferenced"),
        session("conferenced", **alone),
        session("transferring", timers=f'{{"stage": {NOW_MS - 60_000}}}'),
        session("ended", end_reason="convert-failed"),
    ]
    by_state = {"bridged": 1, "converting": 0, "conferenced": 2, "transferring": 1}
    judged = [(view := session_of(row), attention_of(view, NOW_MS)) for row in rows]
    assert statistics.count_sessions(judged) == SessionCounts(live=4, troubled=2, lone=1, by_state=by_state)
