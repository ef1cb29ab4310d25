"""What an explanation says: waits, the first failure, causes of an end, and commands that would help."""

import re
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from conferral.operations.explain.explanation import Explanation, Suggestion, explain
from conferral.operations.explain.timeline import build_timeline
from conferral.operations.explain.waits import list_waits
from conferral.runtime.redaction import EXAMPLE
from conferral.statemachine.events import (
    DialOverdue,
    HoldOverdue,
    LoneOverdue,
    ReadOverdue,
    Remove,
    Transfer,
)
from conferral.statemachine.policy import Policy
from conferral.statemachine.reasons import Reason
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.text_codec import to_iso
from conferral.telephony.callback_events import dial_ended
from conferral.telephony.callback_urls import DialAction, DialKind
from tests.operations.test_timeline import held, logged
from tests.statemachine.command_scenarios import added, ordering, supervised
from tests.statemachine.conference_scenarios import parked
from tests.statemachine.scenario import CUSTOMER_CALL, OUTBOUND, Scenario
from tests.statemachine.test_allowed import SITUATIONS
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialing, ringing, talking
from tests.support.each import each
from tests.support.flat_sessions import session_of
from tests.support.sample_logs import recorded, stored


def explained(play: Callable[[], Scenario], later_ms: int = 0, *, full: bool = False) -> Explanation:
    log, sessions = recorded(play)
    now_ms = sessions[-1].updated_at_ms + later_ms
    return explain(stored(sessions[-1]), build_timeline(log, full=full), now_ms, full=full)


def test_commands_under_way_are_waited_for_since_they_were_given() -> None:
    found = explained(lambda: ordering().hold("customer").later(560_000).mute("agent").later(8_000).record("start"))

    since = {wait.for_: wait.since_ms for wait in found.waits if wait.by == "twilio"}
    ordered_ms = since["the command 'record' to finish"]
    assert ordered_ms - since["the command 'mute agent' to finish"] == 8_000
    assert ordered_ms - since["the command 'hold customer' to finish"] == 568_000


def test_held_parties_are_waited_for_since_the_first_hold() -> None:
    def play() -> Scenario:
        story = added().later(60_000).hold("lawyer").later(100).confirms("lawyer").later(7_000)
        return story.hold("customer", command_id="second").confirms("customer").later(2_000).unhold("nobody")

    _, sessions = recorded(play)
    waits = list_waits(stored(sessions[-1]), (), sessions[-1].updated_at_ms)
    assert [sessions[-1].updated_at_ms - one.since_ms for one in waits if one.by == "person"][:1] == [9_000]


def lines(found: Explanation) -> list[str]:
    return [one.arguments.partition(" CA")[0] for one in found.suggestions]


def busy() -> Scenario:
    return dialing("consult").swap("too early").later(2_000).call("target", "busy").confirms("customer", "agent")


def test_first_failure_is_never_a_refused_command() -> None:
    found = explained(busy)

    assert (found.first_failure.what, found.first_failure.guard) == ("target was busy", "")
    assert "Recovered. Transfer failed: target was busy." in found.summary
    assert lines(found) == ["transfer", "end"]


def test_last_refused_command_is_reported_when_nothing_else_failed() -> None:
    found = explained(lambda: talking("warm").transfer("warm", command_id="second").swap("no consult"))

    assert (found.first_failure.what, found.first_failure.is_refusal) == ("swap was refused", True)
    assert found.first_failure.guard == "no consult is in progress: all parties are talking"


@pytest.mark.parametrize(
    "wrong",
    [
        logged("hold", {"outcome": "refused", "reason": "no +14155550123 is there"}, party="sip:14155550123@pbx"),
        {
            "event": "conference_ended",
            "reports": '[{"command": "c", "status": "failed", "reason": "not +14155550123"}]',
        },
    ],
)
def test_no_number_is_whole_in_what_failed_or_was_refused_unless_it_is_wanted(wrong: dict[str, str]) -> None:
    log = [LogEntry.of("1-0", {"version": "1", "at": to_iso(1), **wrong})]

    cut, whole = (
        explain(session_of({"id": "CA1", "state": "ended"}), build_timeline(log, full=full), 5, full=full).first_failure
        for full in (False, True)
    )

    assert "4155550123" not in f"{cut.what} {cut.guard}"
    assert "4155550123" in f"{whole.what} {whole.guard}"


def left_in_consult() -> Scenario:
    """A second transfer, in which the customer hangs up."""
    story = busy().later(60_000).transfer("consult", command_id="second").confirms("agent").confirms("customer")
    return story.takes_part("target").later(5_000).leaves("customer")


def test_a_customer_who_leaves_in_a_consult_has_made_that_transfer_fail() -> None:
    log, _ = recorded(left_in_consult)
    found = explained(left_in_consult).first_failure

    assert (found.what, found.guard) == (
        "customer left the conference (participant hung up)",
        "the customer hung up",
    )
    assert (found.entry, found.is_earlier) == (log[-1].id, False)
    assert build_timeline(log)[-1].is_failure


def test_last_failed_transfer_is_shown_if_nothing_failed_since() -> None:
    def play() -> Scenario:
        story = busy().later(60_000).transfer("consult", command_id="second").confirms("agent").confirms("customer")
        story.call("target", "no-answer").confirms("customer", "agent")
        return story.later(60_000).transfer("warm", command_id="third").confirms("agent")

    found = explained(play).first_failure

    assert (found.what, found.is_earlier) == ("target did not answer", True)


def test_a_code_of_twilios_leads_to_what_twilio_says_of_it() -> None:
    found = explained(held("fails", status=400, code=21220)).first_failure

    assert (found.twilio_code, found.link) == (21220, "https://www.twilio.com/docs/api/errors/21220")


def test_start_of_state_and_timers_are_shown() -> None:
    found = explained(lambda: Scenario().answered().later(3_000).convert().later(1_000).joins("agent"), later_ms=500)

    assert found.summary[0] == "Converting for 1 s (since 00:16:43 UTC)."
    read, conversion = [wait for wait in found.waits if wait.by == "timer"]
    assert conversion.comes_at_ms - read.comes_at_ms == 5_000
    assert any("in 3 s: Conferral asks Twilio what has become of" in sentence for sentence in found.upcoming)


def test_overdue_timer_says_so_and_suggests_check() -> None:
    found = explained(lambda: Scenario().answered().convert(), later_ms=60_000)

    assert "Overdue by 55 s: Conferral asks Twilio what has become of the calls." in found.upcoming
    assert found.suggestions[0].arguments == "check"


def test_suggestions_are_commands_the_session_would_accept() -> None:
    assert lines(explained(parked)) == ["retrieve", "end"]
    assert lines(explained(lambda: talking("consult")))[:4] == ["complete", "merge", "swap", "cancel"]
    assert lines(explained(lambda: conferenced().leaves("agent")))[0] == "add"
    on_hold = explained(lambda: ordering().hold("customer").confirms("customer")).suggestions[0].arguments
    assert re.fullmatch(r"unhold CA\w+ --party customer", on_hold)


def test_returned_call_says_nothing_that_only_looks_like_a_cause() -> None:
    fields = {"id": "S1", "state": "ended", "end_reason": "returned"}
    more = {"from": "conferenced", "to": "ended", "reason": "returned", "version": "4", "at": to_iso(9)}
    last = logged("call_progressed", more, party="agent", status="busy")

    found = explain(session_of(fields), build_timeline([LogEntry.of("1-0", last)]), 0)

    assert len(found.summary) == 1
    assert found.summary[0].endswith("no one took the call, and the customer continues with your app.")
    assert found.first_failure is not None
    assert (found.first_failure.what, found.first_failure.guard) == ("agent was busy", "")


@pytest.mark.parametrize(
    ("reason", "recorded"),
    [
        ("customer-left", ""),
        ("agent-left", "Ended by: agent left the conference"),
        ("command", "Ended by: agent left the conference"),
    ],
)
def test_end_summary_says_who_left_first(reason: str, recorded: str) -> None:
    fields = {"id": "S1", "state": "ended", "end_reason": reason}
    states = {"from": "conferenced", "to": "ended"}
    last = logged("participant_left", states, party="agent", left_reason="moderator_ended")

    log = [LogEntry.of("1-0", last | {"version": "4", "at": to_iso(9)})]
    found = explain(session_of(fields), build_timeline(log), 0)

    assert found.summary[1:] == ((f"{recorded} (moderator ended).",) if recorded else ())


def test_explanation_of_an_ended_session_says_why_it_ended() -> None:
    found = explained(lambda: conferenced().later(61_000).end())

    assert found.summary[0].endswith("UTC after 1 min 01 s: an operator ended it.")
    assert found.summary[1] == "Ended by: end requested."
    assert found.first_failure is None
    assert [wait.by for wait in found.waits] == ["twilio"] * len(found.waits)


def test_call_back_suggestion_is_shell_quoted_and_omits_numbers() -> None:
    fields = {"id": "S1", "state": "ended", "end_reason": "alone", "party.customer.status": "left",
              "party.customer.address": "+14155550123", "party.agent.status": "left",
              "party.agent.address": "client:a;reboot"}  # fmt: skip

    def call_back(*, full: bool) -> Suggestion:
        return next(one for one in explain(session_of(fields), [], 0, full=full).suggestions if one.command == "call")

    assert call_back(full=False).arguments == "call --agent 'client:a;reboot' --customer ADDRESS"
    assert call_back(full=True).arguments.endswith("--customer +14155550123")


def test_refusal_shows_the_example_number_of_its_text_and_masks_others() -> None:
    """The example is what the operator should type; it belongs to no one."""

    def play() -> Scenario:
        refused = f"to: must be a number with + and country code (such as {EXAMPLE}), not +14155550123"
        return conferenced().command(Transfer, "transfer-1", to="", mode="warm", refused=refused)

    shown = "to: must be a number with + and country code (such as +12025550145), not +…23"
    assert build_timeline(recorded(play)[0])[-1].reason == shown
    failure = explained(play).first_failure
    assert failure is not None
    assert failure.guard == shown


def test_a_cancel_that_was_asked_for_is_no_failure() -> None:
    def canceled() -> Scenario:
        return ringing("consult").cancel().call("target", "canceled").confirms("customer")

    (row,) = (one for one in build_timeline(recorded(canceled)[0]) if one.entry.event == "cancel")
    assert (row.is_failure, row.reports) == (False, ("transfer canceled",))
    suggested = next(one for one in explained(canceled).suggestions if one.command == "transfer")
    assert suggested.why == "transfers the customer"
    for play in (canceled, lambda: canceled().end()):
        assert explained(play).first_failure is None


def test_transfer_that_an_end_interrupts_did_not_fail_by_itself() -> None:
    assert explained(lambda: blind_from_bridge().placed("target").end()).first_failure is None


def removed(story: Scenario) -> Scenario:
    return story.command(Remove, "remove-1", party="agent", by="cli")


def test_removal_of_a_party_is_named_as_what_ended_the_call() -> None:
    def by_twilio() -> Scenario:
        return removed(ordering()).leaves("agent").conference_ends()

    def by_timer() -> Scenario:
        return removed(supervised("barge")).leaves("agent").later(2_000).fires(LoneOverdue)

    def while_ringing() -> Scenario:
        return removed(Scenario().comes_in().call("agent", "ringing")).call("agent", "canceled").dial_ends("canceled")

    for play, changed_with in (
        (by_twilio, "conference ended (last-participant-left)"),
        (by_timer, "one party was left alone for too long"),
        (while_ringing, "customer's <Dial> ended (canceled)"),
    ):
        ended, cause, *_ = explained(play).summary
        assert ended.endswith(": an operator removed the agent.")
        assert cause == f"Cause: remove requested (agent) (by cli). Event that ended it: {changed_with}."


def test_caller_who_hangs_up_unanswered_did_not_leave_a_call_unanswered() -> None:
    found = explained(lambda: Scenario().comes_in().call("agent", "ringing").call("customer", "no-answer"))
    ended, by, *_ = found.summary
    assert ended.endswith(": the customer hung up.")
    assert by == "Ended by: customer hung up before anyone answered."
    assert found.first_failure is None


def rings_long() -> Scenario:
    """A blind transfer whose target is read twice while the phone rings."""
    story = blind_from_bridge(policy=Policy()).placed("target").call("target", "ringing")
    return story.fires(ReadOverdue).reads(customer="in-progress", target="ringing").fires(DialOverdue)


def test_ringing_phone_is_no_failure_and_hides_none() -> None:
    checks = [one for one in build_timeline(recorded(rings_long)[0]) if one.entry.event == "dial_overdue"]

    assert [(one.what, one.is_failure) for one in checks] == [("due: check on the dialed call", False)]
    assert explained(rings_long).first_failure is None
    found = explained(lambda: rings_long().later(12_000).call("target", "no-answer")).first_failure
    assert found.what == "target did not answer"


def test_dial_that_is_given_up_is_the_first_failure() -> None:
    def agent_too() -> Scenario:
        story = Scenario(session_id=OUTBOUND).calls_out().placed("agent").fires(DialOverdue).reads(agent="ringing")
        return story.fires(DialOverdue)

    def target() -> Scenario:
        story = rings_long()
        return story.rings_on("target").fires(DialOverdue)

    for play in (target, agent_too):
        *_, last = (one for one in build_timeline(recorded(play)[0]) if one.entry.event == "dial_overdue")
        found = explained(play).first_failure

        assert (found.entry, found.what) == (last.entry.id, "no callback for a dialed call arrived in time")


def test_consult_that_the_hold_limit_ended_is_explained() -> None:
    def ended() -> Scenario:
        return talking("consult").fires(HoldOverdue).leaves("target").confirms("customer")

    found = explained(ended)
    assert "Recovered. Transfer failed: hold limit reached." in found.summary
    assert found.first_failure is not None
    assert (found.first_failure.what, found.first_failure.guard) == ("a hold reached its limit", "hold limit reached")


def test_command_and_recall_that_the_limit_of_dials_refused_are_explained() -> None:
    def rejected() -> Scenario:
        return conferenced().command(Transfer, "transfer-1", to="client:bob", mode="warm", refused=Reason.DIAL_LIMIT)

    refusal = explained(rejected).first_failure
    assert refusal is not None
    assert (refusal.what, refusal.guard, refusal.reason) == (
        "transfer was refused", "limit of dials reached", Reason.DIAL_LIMIT,
    )  # fmt: skip

    def not_dialed() -> Scenario:
        return dialing("consult").refused("target", status=0, code=0, reason=Reason.DIAL_LIMIT)

    failure = explained(not_dialed).first_failure
    assert failure is not None
    assert failure.what == "not done: dial target into the conference (limit of dials reached)"


FORM = {
    "CallSid": CUSTOMER_CALL,
    "CallStatus": "in-progress",
    "DialCallStatus": "failed",
    "ErrorCode": "13224",
    "ErrorMessage": "can't call +14155550123",
}


@pytest.mark.parametrize("is_reported_first", [True, False])
def test_failed_dial_to_an_agent_is_explained_by_twilios_error(is_reported_first: bool) -> None:
    def play() -> Scenario:
        story = Scenario().comes_in()
        if is_reported_first:
            story.call("agent", "failed")
        ended = dial_ended(FORM, DialAction(story.session.id, "customer", DialKind.BRIDGE))
        return story.take(replace(ended, entry_id=f"{story.now_ms}-99"))

    log, sessions = recorded(play)
    failure = explain(stored(sessions[-1]), build_timeline(log), sessions[-1].updated_at_ms).first_failure

    assert failure is not None
    assert (failure.twilio_code, failure.link) == (13224, "https://www.twilio.com/docs/api/errors/13224")
    assert "Twilio can't call the number" in f"{failure.what}; {failure.guard}"
    assert "5550123" not in repr(failure)


def test_number_that_was_called_is_named_in_its_last_digits() -> None:
    explained_call = explained(lambda: conferenced(Policy(own_number="+14155550100")))
    assert "The caller called +…00." in explained_call.summary
    outbound = explained(lambda: Scenario(Policy(own_number="+14155550100"), session_id=OUTBOUND).calls_out())
    assert "The customer sees +…00." in outbound.summary


# ---- waits ---------------------------------------------------------------------------------------------------------


LOST = ("sweep", "the sweep, which detects lost callbacks", 0)


def waits(story: Scenario) -> list[tuple[str, str, int]]:
    """By whom, for what, and how soon, milliseconds."""
    now_ms = story.session.updated_at_ms
    found = list_waits(stored(story), (), now_ms)
    return [(one.by, one.for_, one.comes_at_ms and one.comes_at_ms - now_ms) for one in found]


def test_ringing_agent_is_waited_for_until_twilio_is_queried() -> None:
    assert waits(Scenario().comes_in().call("agent", "ringing")) == [
        ("person", "agent to answer", 0),
        ("timer", "Conferral asks Twilio about the calls", 40_000),
        LOST,
    ]


def test_a_hold_is_waited_for_until_twilio_confirms_it() -> None:
    story = ordering().hold("customer")
    found = list_waits(stored(story), (), story.session.updated_at_ms)

    assert [one.for_ for one in found][:2] == [
        "Twilio's confirmation that customer is on hold",
        "the command 'hold customer' to finish",
    ]
    assert found[0].since_ms == story.session.updated_at_ms


def test_waits_list_held_parties_and_those_talking_meanwhile() -> None:
    two, three = ordering().hold("customer").confirms("customer"), added().hold("lawyer").confirms("lawyer")

    assert [what for by, what, _ in waits(two) if by == "person"] == ["someone to take customer off hold (unhold)"]
    assert [what for by, what, _ in waits(three) if by == "person"] == [
        "someone to take lawyer off hold (unhold)",
        "a party to hang up",
    ]


def test_a_hold_waits_for_its_limit_but_not_for_the_notice_before() -> None:
    for story in (ordering().hold("customer").confirms("customer"), talking("consult")):
        assert [found for found in waits(story) if found[0] == "timer"][-1] == (
            "timer",
            "Conferral ends the hold, and a consult with it (CONFERRAL_HOLD_LIMIT)",
            story.policy.hold_limit_ms - (story.now_ms - story.session.parties["customer"].since_ms),
        )


def test_parked_call_waits_to_be_retrieved_and_returns_after_timeout() -> None:
    assert waits(parked())[:2] == [
        ("person", "someone to retrieve the parked call", 0),
        ("timer", "the parked call goes back to the agent who parked it", 300_000),
    ]


def test_a_transfer_waits_for_the_target_then_for_the_agents_next_step() -> None:
    assert waits(dialing("consult").call("target", "ringing"))[0] == ("person", "target to answer", 0)
    assert waits(talking("consult"))[0] == ("person", "the agent to complete, cancel, swap, or merge", 0)
    assert waits(talking("warm"))[0] == ("person", "the agent to complete or cancel", 0)


@each("name", SITUATIONS)
def test_every_live_session_waits_for_something(name: str) -> None:
    session = SITUATIONS[name][0]().session
    if session.version and session.state != "ended":
        found = list_waits(stored(session), (), session.updated_at_ms)
        assert {one.by for one in found} > {"sweep"}
