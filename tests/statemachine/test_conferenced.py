"""Both are in the conference: no one is left alone in it, in whichever order they leave."""

import pytest

from conferral.statemachine.effects import HangUpCall
from conferral.statemachine.events import AgeOverdue, ConfirmOverdue, LoneOverdue
from tests.statemachine.conference_scenarios import as_conference
from tests.statemachine.scenario import AGENT_CALL, CONFERENCE, CUSTOMER_CALL, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, conferenced, converted, succeeds_all


@pytest.mark.parametrize("leaver, reason", [("agent", "agent-left"), ("customer", "customer-left")])
def test_last_party_is_released_after_the_grace(leaver, reason):
    story = conferenced().leaves(leaver).expect("conferenced").expect_timers("lone")
    assert story.session.timers["lone"] == story.now_ms + 2_000
    story.fires(LoneOverdue).expect("ended", "end room", reason=reason)
    assert story.last.ended_lone_conference


def test_flag_with_lost_callback_is_found_by_a_read():
    story = converted().fires(ConfirmOverdue).expect("conferenced", "look").expect_timers("confirm")
    story.does("customer")
    story.does("agent")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("conferenced").expect_timers()


def test_end_of_a_call_counts_though_the_read_that_shows_it_is_outdated():
    """Something else became known after the read had begun; the grace of the lone party does not wait for that."""
    story = converted().fires(ConfirmOverdue).expect("conferenced", "look")
    version = story.session.version
    story.confirms("customer")
    story.reads(
        customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer",), version=version - 1
    )
    assert story.session.parties["agent"].is_gone
    assert "lone" in story.session.timers


def test_flag_missing_from_a_read_is_requested_again():
    story = converted()
    for effect in story.last.effects:
        story.is_unknown("update_participant", effect.party, effect.effect_id)
    story.fires(ConfirmOverdue).reads(conference=CONFERENCE, inside=("customer", "agent")).expect("conferenced", *FLAGS)


def test_flag_that_twilio_does_not_set_is_given_up_and_fails_nothing():
    """It is a second net: the lone rule ends the call without it."""
    story = converted()
    for _ in range(4):
        story.fires(ConfirmOverdue).expect("conferenced", "look").is_unknown("read_calls")
    story.later(1).reads(conference=CONFERENCE, inside=("customer", "agent")).expect("conferenced").expect_timers()
    story.leaves("agent").expect_timers("lone").fires(LoneOverdue).expect("ended", "end room", reason="agent-left")


@pytest.mark.parametrize("leaver", ["agent", "customer"])
def test_lost_leave_callback_is_recovered_by_the_call_callback(leaver):
    story = conferenced().call(leaver, "completed").expect("conferenced").expect_timers("lone")
    story.fires(LoneOverdue).expect("ended", "end room", reason=f"{leaver}-left")


def test_lost_callbacks_are_recovered_by_the_dial_action():
    story = conferenced().dial_ends("completed", call_status="completed", dial="conference", party="customer")
    story.expect("conferenced").expect_timers("lone")


def test_leave_and_call_callback_of_one_party_start_one_grace():
    story = conferenced().leaves("agent")
    due_ms = story.session.timers["lone"]
    story.later(700).call("agent", "completed").expect("conferenced")
    assert story.session.timers["lone"] == due_ms


def test_both_gone_ends_it_at_once_and_names_who_left_first():
    story = conferenced().leaves("customer").leaves("agent")
    story.expect("ended", "end room", reason="customer-left")


def test_one_who_comes_back_within_the_grace_keeps_the_call():
    story = conferenced().leaves("agent", status="in-progress", reason="participant_updated_via_api")
    story.expect_timers("lone").joins("agent").expect("conferenced", "flag agent").expect_timers("confirm")
    story.confirms("agent").expect("conferenced").expect_timers()


def test_end_takes_a_guest_out_of_our_conference_and_does_not_hang_up_their_call():
    story = as_conference(conferenced().joins("guest").end()).expect("ended", "end room")
    hung_up = {effect.call_sid for effect in story.last.effects if isinstance(effect, HangUpCall)}
    assert hung_up == {CUSTOMER_CALL, AGENT_CALL}
    assert story.session.parties["guest-1"].left_reason == "not-ours"
    # Their later callbacks and reads are ignored, too; those of the conference are not.
    story.joins("guest").expect("ended").sweep_finds("call-live", "guest").expect("ended")
    story.sweep_finds("conference-live").expect("ended", "end room")


def test_guest_whose_join_is_reported_after_the_end_leaves_the_conference_and_is_not_hung_up():
    story = as_conference(conferenced().end()).joins("guest").expect("ended", "end room")
    story.sweep_finds("call-live", "guest").expect("ended").joins("guest").expect("ended")


def test_late_guest_of_an_app_whose_labels_end_in_a_number_is_not_hung_up():
    """The session has dialed no one, so the label is not of its dial."""
    story = as_conference(conferenced())
    story.legs["guest"].label = "caller-1"
    story.end().joins("guest").expect("ended", "end room").sweep_finds("call-live", "guest").expect("ended")


def test_guest_who_had_left_before_the_end_is_not_hung_up():
    story = as_conference(conferenced().joins("guest").leaves("guest", status="in-progress").end())
    story.sweep_finds("call-live", "guest").expect("ended").joins("guest").expect("ended", "end room")


def test_guest_who_joined_before_answering_and_is_busy_is_gone():
    story = conferenced().joins("guest").leaves("guest", status="busy", reason="participant_add_failed")
    story.expect_parties(customer="connected", agent="connected", guest_1="left")


def test_guest_who_moves_to_another_conference_of_the_name_is_not_hung_up():
    conferenced().joins("guest").joins("guest", conference=OTHER_CONFERENCE).expect("conferenced")


def test_externally_added_guest_counts_as_company():
    story = conferenced().joins("guest").expect("conferenced", "unflag customer", "unflag agent")
    assert "guest-1" in story.session.parties
    story.confirms("customer", "agent")
    story.leaves("agent").expect("conferenced").expect_timers()
    story.leaves("guest").expect("conferenced").expect_timers("lone")


def test_ended_conference_leaves_everyone_to_the_dial_action():
    story = conferenced().conference_ends(reason="conference-ended-via-api")
    story.expect("ended", reason="alone")


def test_customer_whose_move_by_another_app_ended_the_conference_is_left_alone():
    """Twilio's callbacks come in any order: that the call goes on is not yet known."""
    story = conferenced().conference_ends(by="customer").expect("ended", reason="customer-left")
    story.leaves("customer", status="in-progress", reason="participant_updated_via_api").expect("ended")
    as_conference(story).sweep_finds("call-live", "customer").expect("ended")


def test_conference_ended_by_its_last_participant_names_the_party():
    story = conferenced().conference_ends(by="agent")
    assert story.session.end_reason == "agent-left"


def test_end_of_another_conference_means_nothing():
    conferenced().conference_ends(conference=OTHER_CONFERENCE).expect("conferenced")


def test_convert_of_a_conference_is_done():
    conferenced().convert("convert-2").expect("conferenced").expect_command("convert-2", "done")


def test_end_completes_the_conference():
    story = conferenced().end().expect("ended", "end room", reason="command")
    succeeds_all(story).expect_command("end-1", "accepted", "done")


def test_everyone_in_a_conference_is_hung_up_by_a_request_of_their_own():
    """Twilio does not end a conference that has not started."""
    story = conferenced().end()
    kinds = [(effect.kind, effect.party) for effect in story.last.effects]
    assert kinds == [("end_conference", ""), ("hang_up_call", "customer"), ("hang_up_call", "agent")]


def test_conference_older_than_a_day_is_ended_once_a_read_shows_no_one():
    conferenced().fires(AgeOverdue).reads().expect("ended", "end room", reason="too-old")


def test_late_action_of_the_bridge_changes_nothing():
    conferenced().dial_ends("completed").expect("conferenced").expect_timers()


def test_late_leg_is_hung_up_after_the_end():
    story = Scenario().answered().convert().end().joins("agent").expect("ended", "hang up a call")
    assert story.last.effects[0].call_sid != CUSTOMER_CALL


def test_ended_is_final():
    story = conferenced().end()
    story.leaves("agent").leaves("customer").call("agent", "completed").conference_ends()
    story.convert("convert-9").end("end-9").expect("ended", reason="command")
    assert story.reports["convert-9"] == story.reports["end-9"]
    assert story.reports["end-9"] == [("rejected", "the session has ended (command); no commands are allowed")]
    assert story.session.conference_sid == CONFERENCE
