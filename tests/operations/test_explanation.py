"""What an explanation makes of commands (a cancel, a removal, one that is pending), and of a phone that rings long."""

import pytest
from msgspec.structs import replace

from conferral.operations import timeline
from conferral.operations.explanation import explain
from conferral.statemachine.events import (
    DIAL_LIMIT,
    DialOverdue,
    HoldOverdue,
    LoneOverdue,
    Remove,
    Transfer,
)
from conferral.statemachine.policy import Policy
from conferral.telephony.callback_events import dial_ended
from conferral.telephony.callback_urls import DialAction, DialKind
from tests.operations.test_timeline import explained
from tests.statemachine.command_scenarios import ordering, supervised
from tests.statemachine.scenario import CUSTOMER_CALL, OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialing, ringing, talking
from tests.support.sample_logs import recorded, stored


def test_a_cancel_that_was_asked_for_is_no_failure() -> None:
    def canceled() -> Scenario:
        return ringing("consult").cancel().call("target", "canceled").confirms("customer")

    (row,) = (one for one in timeline.build_timeline(recorded(canceled)[0]) if one.event == "cancel")
    assert (row.is_failure, row.reports) == (False, ("transfer cancelled",))
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
    return story.fires(DialOverdue).reads(customer="in-progress", target="ringing").fires(DialOverdue)


def test_ringing_phone_is_no_failure_and_hides_none() -> None:
    checks = [one for one in timeline.build_timeline(recorded(rings_long)[0]) if one.event == "dial_overdue"]

    assert [(one.text, one.is_failure) for one in checks] == [("due: check on the dialed call", False)] * 2
    assert explained(rings_long).first_failure is None
    found = explained(lambda: rings_long().later(12_000).call("target", "no-answer")).first_failure
    assert found.text == "target did not answer"


def test_dial_that_is_given_up_is_the_first_failure() -> None:
    def agent_too() -> Scenario:
        story = Scenario(session_id=OUTBOUND).calls_out().placed("agent").fires(DialOverdue).reads(agent="ringing")
        return story.fires(DialOverdue)

    def target() -> Scenario:
        story = rings_long()
        for _ in range(6):
            story.rings_on("target").fires(DialOverdue)
        return story

    for play in (target, agent_too):
        *_, last = (one for one in timeline.build_timeline(recorded(play)[0]) if one.event == "dial_overdue")
        found = explained(play).first_failure

        assert (found.entry_id, found.text) == (last.entry_id, "no callback for a dialed call arrived in time")


def test_entries_that_only_confirm_are_marked_and_those_with_consequences_are_not() -> None:
    log, _ = recorded(lambda: talking("consult"))
    moments = timeline.build_timeline(log)

    confirmations = [one for one in moments if one.is_confirmation]
    assert {one.event for one in confirmations} >= {"effect_succeeded"}
    assert not any(one.effects or one.reports or one.is_failure for one in confirmations)
    assert not any(one.state_before != one.state_after for one in confirmations)
    assert not {"transfer", "participant_joined"} & {one.event for one in confirmations}


def test_consult_that_the_hold_limit_ended_is_explained() -> None:
    def ended() -> Scenario:
        return talking("consult").fires(HoldOverdue).leaves("target").confirms("customer")

    found = explained(ended)
    assert "Recovered. Transfer failed: hold limit reached." in found.summary
    assert found.first_failure is not None
    assert (found.first_failure.text, found.first_failure.guard) == ("a hold reached its limit", "hold limit reached")


def test_command_and_recall_that_the_limit_of_dials_refused_are_explained() -> None:
    def rejected() -> Scenario:
        return conferenced().command(Transfer, "transfer-1", to="client:bob", mode="warm", refused=DIAL_LIMIT)

    refusal = explained(rejected).first_failure
    assert refusal is not None
    assert (refusal.text, refusal.guard, refusal.reason) == (
        "transfer was refused", "limit of dials reached", DIAL_LIMIT,
    )  # fmt: skip

    def not_dialed() -> Scenario:
        return dialing("consult").refused("target", status=0, code=0, reason=DIAL_LIMIT)

    failure = explained(not_dialed).first_failure
    assert failure is not None
    assert failure.text == "not done: dial target into the conference (limit of dials reached)"


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
    failure = explain(stored(sessions[-1]), log, sessions[-1].updated_at_ms).first_failure

    assert failure is not None
    assert (failure.twilio_code, failure.link) == (13224, "https://www.twilio.com/docs/api/errors/13224")
    assert "Twilio can't call the number" in f"{failure.text}; {failure.guard}"
    assert "5550123" not in repr(failure)


def test_number_that_was_called_is_named_in_its_last_digits() -> None:
    explained_call = explained(lambda: conferenced(Policy(own_number="+14155550100")))
    assert "The caller called +…00." in explained_call.summary
    outbound = explained(lambda: Scenario(Policy(own_number="+14155550100"), session_id=OUTBOUND).calls_out())
    assert "The customer sees +…00." in outbound.summary
