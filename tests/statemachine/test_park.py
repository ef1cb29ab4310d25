"""Parked calls: what flows and exploration do not reach."""

import pytest

from conferral.statemachine.events import AgeOverdue, ParkOverdue, ReadOverdue, StageOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.conference_scenarios import as_conference, parked, parked_from_bridge, retrieving
from tests.statemachine.scenario import OTHER_CONFERENCE
from tests.statemachine.transfer_scenarios import conferenced

BOTH = pytest.mark.parametrize("begin", [parked, parked_from_bridge])


def test_no_one_is_left_in_silence_when_agent_leaves_during_hold_rollback():
    story = as_conference(conferenced()).park().confirms("agent").fires(StageOverdue).leaves("agent")
    story.expect("transferring", "dial agent to the gate", phase="recall")


@BOTH
@pytest.mark.parametrize("code", [16001, 16099])
def test_parked_customer_who_can_not_be_held_before_the_start_is_moved_to_hear_music(begin, code):
    story = begin().later(30_000).sweep_finds("conference-missing")
    leg = story.legs["customer"]
    leg.held, leg.end_on_exit, leg.starts = False, False, True
    story.reads(customer="in-progress", conference=OTHER_CONFERENCE, inside=("customer",))
    story.expect("conferenced", "hold customer", phase="parked")
    story.fails("update_participant", "customer", code=code, effect_id=story.last.effects[0].effect_id)
    story.expect("conferenced", "move customer", phase="parked").expect_timers("park", "read")
    (move,) = story.last.effects
    assert move.wait_audio == "music"
    story.succeeds("redirect_call", "customer", move.effect_id)
    story.joins("customer", conference="CF" + "9" * 32, starts=False)
    story.expect("conferenced", phase="parked").expect_timers("park").expect_held()


def test_call_parked_for_a_day_is_ended():
    parked(Policy(park_timeout_ms=10**9)).fires(AgeOverdue).reads().expect("ended", "end room", reason="too-old")


def test_fallback_of_a_parked_call_is_not_by_who_failed_to_retrieve_it():
    story = retrieving(by="kate").placed("agent").call("agent", "busy").expect("conferenced", phase="parked")
    assert story.fires(ParkOverdue).expect("transferring", "dial agent to the gate").session.transfer.by == ""


@BOTH
def test_customer_not_returning_during_retrieve_is_searched_for_and_moved(begin):
    story = retrieving(begin).placed("agent").conference_ends().fires(ReadOverdue).expect("transferring", "look")
    story.reads(customer="in-progress", agent="ringing").expect("transferring", "move customer").expect_timers(
        "dial", "read"
    )
    story.succeeds("redirect_call", "customer", story.last.effects[0].effect_id).fires(ReadOverdue)
    story.reads(customer="in-progress", agent="ringing").expect("transferring")
    story.fires(ReadOverdue).reads(customer="in-progress", agent="ringing", conference=OTHER_CONFERENCE)
    story.expect("ended", "hang up customer", "hang up agent", reason="convert-failed")


def test_refused_move_of_a_waiting_customer_leads_to_a_read():
    story = retrieving().placed("agent").conference_ends().fires(ReadOverdue)
    story.reads(customer="in-progress", agent="ringing").expect("transferring", "move customer")
    story.fails("redirect_call", "customer", effect_id=story.last.effects[0].effect_id).expect("transferring", "look")
