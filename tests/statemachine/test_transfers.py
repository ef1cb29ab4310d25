"""Warm, blind, and consult transfers, and the recall: what flows and exploration do not reach."""

from dataclasses import replace

import pytest

from conferral.statemachine.events import ReadOverdue, StageOverdue
from tests.statemachine.command_scenarios import added, ordering
from tests.statemachine.conference_scenarios import as_conference
from tests.statemachine.scenario import BOB, CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import conferenced, outbound, ringing, talking


def test_agent_leave_may_be_reported_before_the_conference_end():
    story = conferenced().transfer("warm").leaves("agent").expect("transferring", "hold customer", phase="blind")
    story.conference_ends(by="agent").expect("transferring")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("transferring", "dial target")


def test_swap_whose_hold_is_confirmed_too_late_is_undone():
    story = talking("consult").swap().fires(StageOverdue).expect("transferring", "unhold target")
    story.confirms("target").expect_held("customer").swap("swap-2").expect("transferring", "hold target")


@pytest.mark.parametrize("step, expected", [("swap", "target"), ("complete", ""), ("cancel", "")])
def test_customer_outside_the_conference_without_an_end_is_read(step, expected):
    """The customer's `<Dial>` is over and they can't be unheld; what became of their call is read."""
    story = talking("consult").dial_ends("completed", dial="conference").expect("transferring")
    getattr(story, step)()
    if step == "cancel":
        story.leaves("target")
    if expected:
        story.confirms(expected)
    story.fires(ReadOverdue)
    assert "look" in story.words()
    story.expect_timers("read")
    story.reads(customer="completed", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    assert story.session.end_reason == "customer-left"


def test_move_of_unknown_outcome_that_has_not_happened_leaves_the_two_talking():
    """It may still happen. After a second move, it would take the customer out of the conference."""
    why = "Twilio did not move the parties in time"
    story = outbound().transfer("blind")
    story.is_unknown("redirect_call", "customer", story.session.open_redirects[0]).expect("transferring", "look")
    story.reads(agent="in-progress", customer="in-progress").expect("bridged", phase="connected").expect_timers("calls")
    story.expect_command("transfer-1", "accepted", "failed", reason=why).expect_concluded(("transfer", "failed", why))
    assert not story.session.parties["agent"].is_leaving
    story.transfer("blind", command_id="transfer-2").expect("transferring", "move customer")


def test_customer_talks_to_an_added_party_when_the_agent_is_removed_from_a_recall():
    story = added().transfer("blind", BOB).confirms("customer").leaves("agent").placed("target").call("target", "busy")
    story.expect("transferring", "dial agent to the gate", phase="recall").placed("agent").remove("agent")
    story.call("agent", "canceled").confirms("customer").expect("conferenced").expect_held()


def test_decision_of_the_gate_about_a_former_dial_is_only_logged():
    story = ringing("warm")
    story.legs["former target"] = replace(story.legs["target"], dial="former-dial", call_sid="CA" + "9" * 32)
    story.gate("former target", "rejected").expect("transferring", phase="warm")


def test_session_waits_for_the_update_before_a_hold_until_the_flag_is_wanted_again():
    story = ordering().hold("customer")
    clear, hold = (effect for effect in story.last.effects if effect.party == "customer")
    assert (clear.update, hold.update) == ("clear-end-on-exit", "hold")
    assert story.session.awaits(clear)
    assert story.session.awaits(hold)
    story.confirms("customer").unhold("customer")
    assert not story.session.awaits(clear)
    assert not story.session.awaits(hold)


def test_session_waits_for_no_update_that_might_undo_a_later_hold():
    """It contains `Hold=false`: Twilio might carry it out after the hold."""
    story = ordering().add().expect("conferenced", "unflag customer", "unflag agent")
    (clear,) = (effect for effect in story.last.effects if effect.party == "customer")
    assert story.hold("customer").words() == ["hold customer"]
    assert not story.session.awaits(clear)


def arrives_next_to_a_guest(story: Scenario) -> Scenario:
    """The customer joins a conference that a call of another app has started."""
    return story.joins("guest").joins("customer")


def test_blind_transfer_holds_a_customer_who_arrives_next_to_a_guest():
    story = arrives_next_to_a_guest(Scenario().answered().transfer("blind").call("agent", "completed"))
    story.expect("transferring", "hold customer", phase="blind").confirms("customer")
    # They talk, until the target joins them.
    story.expect("transferring", "dial target", "unhold customer")


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_park_holds_a_customer_who_arrives_next_to_a_guest_and_goes_on_without(is_confirmed):
    story = arrives_next_to_a_guest(as_conference(Scenario().answered()).park())
    story.expect("transferring", "hold customer", phase="park")
    story = story.confirms("customer") if is_confirmed else story.fires(StageOverdue)
    story.call("agent", "completed").expect("conferenced", "hold guest-1", phase="parked")


def test_blind_transfer_goes_on_without_a_hold_that_twilio_does_not_confirm():
    story = conferenced().transfer("blind").confirms("agent").expect("transferring", "hold customer")
    story.fires(StageOverdue).expect("transferring", "hang up agent", "dial target", "look", phase="blind")


def test_limit_in_a_stage_without_one_changes_nothing():
    story = talking("warm")
    before = story.session
    story.session = replace(before, timers={**before.timers, StageOverdue.timer: story.now_ms})
    story.fires(StageOverdue).expect("transferring", phase="warm")
    assert (story.session.transfer, story.session.timers) == (before.transfer, before.timers)
