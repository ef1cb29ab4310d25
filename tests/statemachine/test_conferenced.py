"""Both are in the conference: nobody is left alone in it, whoever goes first."""

import pytest

from statemachine.events import AgeOverdue, LoneOverdue
from tests.statemachine.story import CUSTOMER_CALL, ROOM, Story


def conferenced() -> Story:
    return Story().answered().convert().joins("agent").conference_starts().joins("customer").expect("conferenced")


@pytest.mark.parametrize("leaver, reason", [("agent", "agent-left"), ("customer", "customer-left")])
def test_last_one_is_let_go_after_the_grace(leaver, reason):
    story = conferenced().leaves(leaver).expect("conferenced").expect_timers("lone")
    assert story.session.timers["lone"] == story.now_ms + 2_000
    story.fires(LoneOverdue).expect("ended", ("end_conference", ""), reason=reason)
    assert story.last.let_lone_go


@pytest.mark.parametrize("leaver", ["agent", "customer"])
def test_lost_leave_callback_is_made_up_for_by_the_calls_own(leaver):
    story = conferenced().call(leaver, "completed").expect("conferenced").expect_timers("lone")
    story.fires(LoneOverdue).expect("ended", ("end_conference", ""), reason=f"{leaver}-left")


def test_lost_callbacks_are_made_up_for_by_the_dial_action():
    story = conferenced().dial_ends("completed", call_status="completed", dial="conference", party="customer")
    story.expect("conferenced").expect_timers("lone")


def test_leave_and_call_callback_of_one_party_start_one_grace():
    story = conferenced().leaves("agent")
    due_ms = story.session.timers["lone"]
    story.later(700).call("agent", "completed").expect("conferenced")
    assert story.session.timers["lone"] == due_ms


def test_both_gone_ends_it_at_once_and_names_who_left_first():
    story = conferenced().leaves("customer").leaves("agent")
    story.expect("ended", ("end_conference", ""), reason="customer-left")


def test_one_who_comes_back_within_the_grace_keeps_the_call():
    story = conferenced().leaves("agent", status="in-progress", reason="participant_updated_via_api")
    story.expect_timers("lone").joins("agent").expect("conferenced").expect_timers()


def test_leg_that_somebody_else_moved_away_is_not_hung_up():
    story = conferenced().leaves("customer", status="in-progress", reason="participant_updated_via_api")
    story.fires(LoneOverdue).expect("ended", ("end_conference", ""))


def test_guest_brought_in_by_somebody_else_counts_as_company():
    story = conferenced().joins("CA" + "7" * 32).expect("conferenced")
    assert "guest-1" in story.session.parties
    story.leaves("agent").expect("conferenced").expect_timers()
    story.leaves("CA" + "7" * 32).expect("conferenced").expect_timers("lone")


def test_conference_that_ended_lets_everybody_go():
    story = conferenced().conference_ends(reason="conference-ended-via-api")
    story.expect("ended", ("hang_up_call", "customer"), ("hang_up_call", "agent"), reason="alone")


def test_conference_that_ended_with_its_last_participant_names_him():
    story = conferenced().conference_ends(by="agent")
    assert story.session.end_reason == "agent-left"


def test_end_of_another_conference_means_nothing():
    conferenced().conference_ends(room="CF" + "e" * 32).expect("conferenced")


def test_convert_of_a_conference_is_done():
    conferenced().convert("convert-2").expect("conferenced").expect_command("convert-2", "done")


def test_end_completes_the_conference():
    story = conferenced().end().expect("ended", ("end_conference", ""), reason="command")
    story.succeeds("end_conference", effect_id=story.last.effects[0].effect_id).expect_command(
        "end-1", "accepted", "done"
    )


def test_conference_older_than_a_day_is_ended():
    conferenced().fires(AgeOverdue).expect("ended", ("end_conference", ""), reason="too-old")


def test_late_action_of_the_bridge_changes_nothing():
    conferenced().dial_ends("completed").expect("conferenced").expect_timers()


def test_late_leg_is_hung_up_after_the_end():
    story = Story().answered().convert().end().joins("agent").expect("ended", ("hang_up_call", ""))
    assert story.last.effects[0].call_sid != CUSTOMER_CALL


def test_ended_is_final():
    story = conferenced().end()
    story.leaves("agent").leaves("customer").call("agent", "completed").conference_ends()
    story.convert("convert-9").end("end-9").expect("ended", reason="command")
    assert story.reports["convert-9"] == story.reports["end-9"]
    assert story.reports["end-9"] == [("rejected", "the session has ended (command); nothing is allowed any more")]
    assert story.session.conference_sid == ROOM
