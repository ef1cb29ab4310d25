"""What went wrong once in a transfer and must not again: late callbacks, early joins, long briefs, slow requests."""

import pytest

from conferral.statemachine.events import ConvertOverdue, DialOverdue, LoneOverdue, ReadOverdue
from conferral.statemachine.parts import CONFIRM_FOR_S
from conferral.statemachine.policy import Policy
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.scenario import CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import (
    FLAGS,
    blind_from_bridge,
    conferenced,
    dialing,
    outbound,
    ringing,
    talking,
)


def test_moving_customer_is_not_moved_again_after_an_early_read():
    """A second move would take the customer out of the conference that they just entered."""
    story = outbound().transfer("blind")
    (move,) = (effect for effect in story.last.effects if effect.kind == "redirect_call")
    story.fires(ReadOverdue).later(500).succeeds("redirect_call", "customer", move.effect_id)
    story.later(100).reads(customer="in-progress", agent="in-progress").expect("transferring")
    story.joins("customer", starts=False).expect("transferring", "dial target")


@pytest.mark.parametrize(("elapsed_ms", "is_gone"), [(0, False), (9_999, False), (10_000, True)])
def test_customer_leaving_within_ten_seconds_of_our_second_move_is_waited_for(elapsed_ms, is_gone):
    """The customer's action had let them in late, just when they were moved once more."""
    story = Scenario().answered().transfer("blind").call("agent", "completed").fires(ReadOverdue)
    story.reads(customer="in-progress").expect("transferring", "move customer")
    (move,) = story.last.effects
    story.joins("customer", starts=False).expect("transferring", "dial target")
    story.succeeds("redirect_call", "customer", move.effect_id).later(elapsed_ms)
    story.leaves("customer", status="in-progress", reason="participant_updated_via_api")
    assert story.session.parties["customer"].is_gone is is_gone
    if not is_gone:
        story.joins("customer", starts=False).takes_part("target").expect("conferenced", *FLAGS)


def test_phone_ringing_in_the_conference_takes_nothing_over_when_the_agent_leaves():
    """It was dialed with early media, so its join proves no answer, whatever the transfer has become since."""
    story = ringing("warm").complete().expect("transferring", "hold customer").joins("target")
    story.confirms("customer").expect("transferring", "hang up agent").call("agent", "completed")
    story.expect("transferring", phase="blind").expect_transfer("ringing")
    story.call("target", "no-answer").expect("transferring", "dial agent to the gate", phase="recall")


def test_end_of_the_conference_does_not_reach_a_phone_that_rings_in_it():
    story = ringing("warm").joins("target").call("customer", "completed")
    story.expect("ended", "end room", "hang up target", reason="customer-left")


def test_customer_hears_music_in_the_pause_when_the_agent_has_come_back_and_gone_again():
    story = dialing("blind").call("agent", "completed").placed("target").call("target", "no-answer")
    story.takes_part("agent").expect("transferring", "unhold customer").leaves("agent").confirms("customer")
    story.expect("transferring", "hold customer").confirms("customer").expect_held("customer")
    assert story.session.parties["customer"].wait_audio == "music"


def test_hold_callback_from_before_the_hold_request_confirms_nothing():
    """It came late; until the new hold is confirmed the other one stays on hold."""
    story = talking("consult").swap().confirms("target").confirms("customer").expect_held("target")
    story.later(10_000).swap("swap-2").expect("transferring", "hold customer")
    story.legs["customer"].held = True
    story.changes("customer", occurred_at_ms=story.now_ms - 5_000).expect("transferring", outcome="stale")
    story.expect_held("target").confirms("customer").expect("transferring", "unhold target")


def test_unanswered_read_is_given_up():
    """Its outcome may have been dead-lettered, because deciding it failed."""
    story = talking("consult").complete().expect("transferring", "unhold customer")
    began_ms = story.fires(ReadOverdue).expect("transferring", "look").now_ms
    story.fires(ReadOverdue).expect("transferring", "look")
    assert story.now_ms - began_ms == 30_000


def test_customer_is_not_taken_to_be_off_hold_before_the_hold_in_front_was_sent():
    story = conferenced().transfer("consult").confirms("agent").fires(ReadOverdue).cancel()
    story.expect("transferring", "unhold customer")
    story.reads(conference=CONFERENCE, inside=("customer", "agent")).expect("transferring")


def test_read_from_before_a_move_repeats_no_move():
    story = outbound().transfer("blind")
    (move,) = (effect for effect in story.last.effects if effect.kind == "redirect_call")
    story.fires(ReadOverdue).expect("transferring", "look")
    version = story.session.version
    story.is_unknown("redirect_call", "customer", move.effect_id).expect("transferring", "look").later(3_000)
    story.reads(customer="in-progress", agent="in-progress", version=version).expect("transferring", "look")


def test_cancelled_transfer_stays_cancelled_when_the_agent_hangs_up_before_all_of_it_is_done():
    story = ringing("warm").cancel().expect("transferring", "hang up target").leaves("agent")
    story.expect("ended", "end room", "hang up target", reason="agent-left")
    story.expect_concluded(("transfer", "cancelled", "command"), ("session", "ended", "agent-left"))


def test_dial_that_is_reported_after_the_end_has_its_call_hung_up_once():
    story = dialing("warm").call("target", "ringing").end().expect("ended", "end room", "hang up target")
    story.placed("target").expect("ended")
    dialing("warm").end().expect("ended", "end room").placed("target").expect("ended", "hang up a call")


def test_dial_that_is_reported_after_another_app_took_its_call_hangs_up_no_one():
    story = dialing("warm").call("target", "in-progress").joins("target")
    story.leaves("target", status="in-progress", reason="participant_updated_via_api").end()
    story.placed("target").expect("ended")


def test_join_of_a_conference_that_was_left_comes_late():
    story = Scenario().answered().convert().joins("agent").joins("customer", conference=OTHER_CONFERENCE)
    story.joins("agent").expect("converting", outcome="stale")
    story.joins("agent", conference=OTHER_CONFERENCE).expect("conferenced", *FLAGS)


@pytest.mark.parametrize("brief, confirm_for_s", [("", 0), ("x" * 100, 0), ("", 60)])
def test_live_call_has_a_minute_in_the_gate_and_the_time_of_briefing_and_questions(brief, confirm_for_s):
    story = dialing("warm", brief=brief, confirm=True, confirm_for_s=confirm_for_s).gate("target")
    gate_ms = 60_000 + 100 * len(brief) + 1_000 * (confirm_for_s or CONFIRM_FOR_S)
    for _read in range(2):
        story.fires(DialOverdue).expect("transferring", "look").reads(target="in-progress").expect("transferring")
    answered_at_ms = story.session.parties["target"].answered_at_ms
    story.later(answered_at_ms + gate_ms - 1 - story.now_ms).fires(DialOverdue).expect("transferring", "look")
    story.reads(target="in-progress").expect_transfer("confirming")
    story.later(1).fires(DialOverdue).expect("conferenced", "hang up target", "flag agent")
    story.expect_transfer("failed", "failed")


@pytest.mark.parametrize("comes_of_it", ["refused", "unknown", "gone"])
def test_customer_is_hung_up_when_the_goodbye_fails(comes_of_it):
    story = blind_from_bridge(policy=Policy(fallback=("end",))).placed("target").call("target", "busy")
    story.expect("ended", "say goodbye to customer", reason="transfer-failed")
    if comes_of_it == "refused":
        story.fails("say_and_hang_up", "customer")
    elif comes_of_it == "gone":
        story.fails("say_and_hang_up", "customer", gone=True)
    else:
        story.is_unknown("say_and_hang_up", "customer")
    story.expect("ended", "hang up customer")


def test_recalled_agent_is_dialed_without_the_targets_digits_even_from_another_number():
    story = conferenced(Policy(shows_customer_number=True), call_token="token").transfer(
        "blind", "+14155550199", digits="12"
    )
    story.confirms("agent").confirms("customer").call("agent", "completed").placed("target").call("target", "busy")
    (recall,) = story.last.effects
    assert (recall.kind, recall.options.digits, bool(recall.options.caller_id)) == ("create_call", "", True)
    story.refused("agent")
    (recall,) = story.last.effects
    assert (recall.kind, recall.options.digits, recall.options.caller_id) == ("create_call", "", "")


def test_hold_that_is_not_wanted_any_more_is_undone_before_it_was_confirmed():
    """Its callback is lost and no read is answered: the customer does not wait for either."""
    story = conferenced().transfer("consult").confirms("agent").expect("transferring", "hold customer")
    story.fires(ReadOverdue).expect("transferring", "look").cancel().expect("transferring", "unhold customer")
    story.confirms("customer").expect("conferenced", "flag customer", "flag agent").expect_held()


def test_agent_who_was_released_has_not_left_first():
    story = outbound().transfer("blind")
    story.succeeds("redirect_call", "customer", story.session.open_redirects[0])
    story.dial_ends("completed", call_status="completed", party="agent").call("customer", "completed")
    story.expect("ended", reason="customer-left")


ENDED_ON_EXIT = "participant-with-end-conference-on-exit-left"


def test_agent_who_ended_the_conference_left_for_the_reason_that_it_names():
    story = conferenced().transfer("warm").conference_ends(by="agent", reason="last-participant-left")
    assert story.session.parties["agent"].left_reason == "last-participant-left"


def test_party_whom_the_end_of_the_conference_removed_shows_that_the_other_hung_up_first():
    """Every callback of the customer is lost."""
    story = conferenced().leaves("agent", reason="moderator_ended_conference").call("agent", "completed")
    story.expect("conferenced").fires(LoneOverdue).expect("ended", "end room", reason="customer-left")


def test_conference_that_the_customer_ended_ends_the_session_before_anyone_is_dialed():
    story = conferenced().transfer("warm")
    story.conference_ends(by="customer", reason=ENDED_ON_EXIT).expect("ended", reason="customer-left")


def test_completion_is_done_although_the_target_leaves_before_the_customer_is_back():
    story = talking("consult").complete().leaves("agent").leaves("target")
    story.expect("transferring", "dial agent to the gate", phase="recall")
    story.expect_command("complete-1", "accepted", "done")


def test_conference_that_the_target_ended_ends_the_session():
    """Only customer and agent have end reasons of their own."""
    conferenced().transfer("warm").confirms("agent").takes_part("target").conference_ends(by="target").expect(
        "ended", reason="alone"
    )


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_agent_who_left_while_a_transfer_is_prepared_has_the_status_that_a_read_shows(status):
    story = Scenario().answered().transfer("warm").fires(ConvertOverdue).reads(customer="in-progress", agent=status)
    assert story.session.parties["agent"].left_reason == status


def test_customer_whose_hold_was_not_confirmed_is_not_held_in_the_next_conference():
    story = conferenced().transfer("consult").confirms("agent").expect("transferring", "hold customer")
    story.conference_ends(by="agent").expect("transferring", phase="blind")
    assert not story.session.parties["customer"].desired_hold


def test_agent_of_a_transfer_that_was_taken_back_can_be_hung_up():
    story = outbound().transfer("blind").fails("redirect_call", "customer", code=21218).expect("bridged")
    story.convert().joins("customer").joins("agent").expect("conferenced", *FLAGS)
    ordering(lambda: story).remove("agent").expect("conferenced", "hang up agent")


def test_target_that_was_given_up_is_hung_up_when_it_rings_after_all():
    story = dialing("warm", confirm=True).unknown_outcome("target")
    for _ in range(2):  # the first search may take long
        story.fires(DialOverdue).expect("transferring", "find target")
    story.found("target", call_sid="").expect("transferring")
    story.fires(DialOverdue).found("target", call_sid="").call("target", "ringing")
    assert "hang up target" in story.words()


def test_customers_flag_that_twilio_does_not_set_is_given_up_during_a_transfer():
    """It is only a safety net: nothing is read for it any longer."""
    story = Scenario().answered().convert().joins("agent").joins("customer").transfer("warm")
    assert story.session.customer.desired_end_on_exit
    story.later(8_000).fires(ReadOverdue).expect("transferring", "look")
    assert not story.session.customer.desired_end_on_exit
    assert "open-update customer set-end-on-exit" not in story.session.unsettled_since_ms
