"""`park`: the agent leaves, and the customer waits with music until someone retrieves the call, or it is too long."""

import pytest

from conferral.statemachine.events import (
    AgeOverdue,
    ConfirmOverdue,
    ConvertOverdue,
    OpeningOverdue,
    Park,
    ParkOverdue,
    RepairOverdue,
    StageOverdue,
)
from conferral.statemachine.policy import Policy
from tests.statemachine.conference_scenarios import as_conference, browser_talks, parked, parked_from_bridge
from tests.statemachine.scenario import ALICE, CAROL, CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, conferenced, outbound

BOTH = pytest.mark.parametrize("begin", [parked, parked_from_bridge])
DONE = ("transfer", "completed", "")


# ---- the way it should go ----------------------------------------------------------------------------------------


def test_park_from_a_conference_plays_music_before_the_agent_leaves():
    story = parked()
    story.expect_concluded(DONE).expect_parties(customer="connected", agent="left")
    customer = story.session.parties["customer"]
    assert (customer.wait_audio, story.session.parked_by) == ("music", ALICE)
    assert story.session.timers["park"] - story.now_ms == 300_000
    assert story.outcome_records[0].mode == "park"


def test_a_recall_is_still_of_the_one_who_parked():
    story = as_conference(conferenced()).command(Park, "park-1", by="desk 7").confirms("agent").confirms("customer")
    story.leaves("agent").fires(ParkOverdue)
    assert (story.session.transfer.number, story.session.transfer.by) == (2, "desk 7")


def test_park_from_a_bridge_puts_the_customer_in_a_separate_conference():
    customer = parked_from_bridge().expect_concluded(DONE).session.parties["customer"]
    assert customer.waits_for_start
    assert customer.wait_audio == "music"


def test_park_from_an_outbound_bridge_moves_the_customer_and_releases_the_agent():
    story = as_conference(outbound()).park().expect("transferring", "move customer", phase="park")
    assert story.last.effects[0].wait_audio == "music"
    story.joins("customer", starts=False).expect("transferring").call("agent", "completed")
    story.expect("conferenced", phase="parked").expect_timers("park").expect_command("park-1", "accepted", "done")


def test_while_it_converts_the_call_is_parked_when_both_are_in():
    story = (
        as_conference(Scenario().answered().convert()).park().expect("converting").expect_command("park-1", "accepted")
    )
    story.joins("agent").joins("customer").expect("transferring", "hold customer", phase="park")
    story.confirms("customer").expect("transferring", "hang up agent").leaves("agent")
    story.expect("conferenced", phase="parked").expect_command("convert-1", "accepted", "done")
    story.expect_command("park-1", "accepted", "done")


def test_browser_may_park_too():
    story = browser_talks().park().expect("transferring", "hold customer").confirms("customer")
    story.expect("transferring", "hang up agent").leaves("agent").expect("conferenced", phase="parked")


# ---- the agent ---------------------------------------------------------------------------------------------------


def test_agent_hanging_up_before_the_flag_is_cleared_ends_the_conference():
    """The action of the customer's `<Dial>` leads him into another, with music."""
    story = as_conference(conferenced()).park().conference_ends(by="agent").expect("transferring", phase="park")
    assert story.session.parties["customer"].wait_audio == "music"
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).leaves("agent").call("agent", "completed")
    story.expect("conferenced", phase="parked").expect_held().expect_command("park-1", "accepted", "done")


def test_agent_who_hangs_up_when_the_flag_is_cleared_has_parked_the_call():
    story = (
        as_conference(conferenced()).park().confirms("agent").expect("transferring", "hold customer").leaves("agent")
    )
    story.expect("transferring").confirms("customer").expect("conferenced", phase="parked").expect_held("customer")


def test_agent_who_hangs_up_while_it_converts_has_parked_the_call():
    story = (
        as_conference(Scenario().answered().convert())
        .park()
        .call("agent", "completed")
        .expect("transferring", phase="park")
    )
    story.expect_command("convert-1", "accepted", "failed", reason="agent-left")
    story.joins("customer", starts=False).expect("conferenced", phase="parked").expect_timers("park")
    story.expect_command("park-1", "accepted", "done")


def test_customer_who_came_alone_as_one_who_starts_is_moved_to_hear_the_music():
    """Twilio holds no one before the conference starts."""
    story = as_conference(Scenario().answered().convert()).park().joins("customer").call("agent", "completed")
    story.expect("transferring", "move customer", phase="park")
    (move,) = story.last.effects
    assert move.wait_audio == "music"
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect(
        "conferenced", phase="parked"
    ).expect_held()


def parking() -> Scenario:
    """The customer is on hold, and the agent is being hung up."""
    story = as_conference(conferenced()).park().confirms("agent").confirms("customer")
    return story.expect("transferring", "hang up agent")


def test_agent_without_callbacks_is_hung_up_again_and_read():
    story = parking()
    story.succeeds("hang_up_call", "agent", story.session.parties["agent"].hang_up_effect_id)
    story.fires(StageOverdue).expect("transferring", "look", "hang up agent").expect_timers("stage")
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer",))
    story.expect("conferenced", phase="parked").expect_timers("park")


@pytest.mark.parametrize("comes_to_nothing", ["fails", "is_unknown"])
def test_hang_up_is_not_ordered_again_while_it_waits_for_a_request_slot(comes_to_nothing: str):
    story = parking()
    waiting = story.session.parties["agent"].hang_up_effect_id
    assert waiting == story.last.effects[-1].effect_id
    story.fires(StageOverdue).expect("transferring", "look")
    story.fires(StageOverdue).expect("transferring")
    assert story.session.parties["agent"].hang_up_effect_id == waiting
    getattr(story, comes_to_nothing)("hang_up_call", "agent", effect_id=waiting).expect("transferring")
    story.fires(StageOverdue).expect("transferring", "hang up agent")


def test_agent_of_an_outbound_bridge_who_lingers_is_hung_up():
    story = as_conference(outbound()).park()
    story.succeeds("redirect_call", "customer", story.last.effects[0].effect_id)
    story.joins("customer", starts=False).fires(StageOverdue)
    story.expect("transferring", "look", "hang up agent").call("agent", "completed").expect("conferenced")


# ---- what Twilio does not do -------------------------------------------------------------------------------------


def test_flag_not_cleared_in_time_fails_park_and_both_keep_talking():
    story = as_conference(conferenced()).park().fires(StageOverdue).expect("conferenced", phase="")
    story.expect_command("park-1", "accepted", "failed", reason="end-flag-unconfirmed")
    story.expect_concluded(("transfer", "failed", "end-flag-unconfirmed"))


def test_unconfirmed_hold_fails_the_park_and_no_one_is_hung_up():
    story = (
        as_conference(conferenced())
        .park()
        .confirms("agent")
        .fires(StageOverdue)
        .expect("transferring", "unhold customer")
    )
    story.expect_command("park-1", "accepted", "failed", reason="hold-failed").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent", phase="").expect_held()
    assert "hang up agent" not in story.all_words()


def test_agent_who_leaves_when_the_park_has_failed_is_no_parked_call():
    story = (
        as_conference(conferenced()).park().fires(StageOverdue).confirms("agent").leaves("agent").expect("conferenced")
    )
    assert "lone" in story.session.timers


def test_no_one_is_left_in_silence_when_agent_leaves_during_hold_rollback():
    story = as_conference(conferenced()).park().confirms("agent").fires(StageOverdue).leaves("agent")
    story.expect("transferring", "dial agent to the gate", phase="recall")


def test_refused_move_leaves_the_two_talking():
    story = as_conference(outbound()).park()
    story.fails("redirect_call", "customer", status=500, effect_id=story.last.effects[0].effect_id)
    story.expect("bridged", phase="connected").expect_timers()
    story.expect_command("park-1", "accepted", "failed").convert().expect("converting", "move customer")


def test_customer_is_not_moved_while_the_agents_hang_up_is_still_to_end_the_bridge():
    story = as_conference(Scenario().answered()).park().expect("transferring", "hang up agent")
    waiting = story.session.parties["agent"].hang_up_effect_id
    # Twilio was too busy for the first attempt. Once the second one ends the bridge, the customer joins the conference.
    story.fires(StageOverdue).expect("transferring", "look").reads(customer="in-progress", agent="in-progress")
    story.expect("transferring")
    story.succeeds("hang_up_call", "agent", waiting).call("agent", "completed").dial_ends("completed")
    story.joins("customer", starts=False)
    story.expect("conferenced", phase="parked")


def test_customer_is_moved_where_the_bridge_is_over_although_the_hang_up_has_no_outcome():
    story = as_conference(Scenario().answered()).park().fires(StageOverdue)
    story.reads(customer="in-progress", agent="completed").expect("transferring", "move customer")


def test_customer_is_not_moved_while_the_ended_bridge_leads_them_to_the_conference():
    story = as_conference(Scenario().answered()).park()
    story.succeeds("hang_up_call", "agent", story.session.parties["agent"].hang_up_effect_id).fires(StageOverdue)
    story.expect("transferring", "look", "hang up agent")
    # The read was sent together with the hangup: it shows its effect, but not yet the customer's arrival.
    story.succeeds("hang_up_call", "agent", story.session.parties["agent"].hang_up_effect_id)
    story.reads(customer="in-progress", agent="completed").expect("transferring")
    story.fires(StageOverdue).expect("transferring", "look")
    story.reads(customer="in-progress", agent="completed").expect("transferring", "move customer")


def test_customer_who_does_not_arrive_is_moved_once_then_hung_up():
    story = (
        as_conference(Scenario().answered())
        .park()
        .dial_ends("completed")
        .call("agent", "completed")
        .fires(StageOverdue)
    )
    story.expect("transferring", "look").reads(customer="in-progress").expect("transferring", "move customer")
    assert story.last.effects[0].wait_audio == "music"
    story.succeeds("redirect_call", "customer", story.last.effects[0].effect_id).fires(StageOverdue)
    story.reads(customer="in-progress").expect("transferring").expect_timers("stage")  # no list need show them
    story.fires(StageOverdue).reads(customer="in-progress", conference=CONFERENCE)
    story.expect("ended", "end room", "hang up customer", reason="convert-failed")
    story.expect_command("park-1", "accepted", "failed", reason="convert-failed")


def test_conversion_that_brings_only_the_customer_parks_them():
    story = as_conference(Scenario().answered().convert())
    story.succeeds("redirect_call", "agent", story.last.effects[0].effect_id).park().dial_ends("completed")
    story.joins("customer")
    story.fires(ConvertOverdue).expect("converting", "look")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer",))
    story.expect("converting", "move agent").is_unknown("redirect_call", "agent", story.last.effects[0].effect_id)
    story.later(5_000).fires(RepairOverdue)
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer",))
    story.expect("transferring", "look", "hang up agent", "move customer", phase="park")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.call("agent", "completed").expect("conferenced", phase="parked").expect_held()


# ---- the customer ------------------------------------------------------------------------------------------------


def test_customer_leaving_at_any_step_ends_the_call_for_everyone():
    steps = ["clearing", "holding", "parking", "parked"]
    for step in steps:
        story = as_conference(conferenced()).park()
        if step != "clearing":
            story.confirms("agent")
        if step in ("parking", "parked"):
            story.confirms("customer")
        if step == "parked":
            story.leaves("agent").expect("conferenced", phase="parked")
        story.leaves("customer")
        assert (story.session.state, story.session.end_reason) == ("ended", "customer-left"), step
        assert "end room" in story.all_words()
        reported = ("done",) if step == "parked" else ("failed",)
        story.expect_command("park-1", "accepted", *reported)


def test_customer_leaves_while_moving_out_of_the_bridge():
    story = as_conference(Scenario().answered()).park().call("customer", "completed")
    story.expect("ended", "hang up agent", reason="customer-left")
    story.expect_command("park-1", "accepted", "failed", reason="customer-left")


@BOTH
@pytest.mark.parametrize("expected", ["call", "leave", "look"])
def test_customer_who_hangs_up_while_parked_ends_it(begin, expected):
    story = begin()
    match expected:
        case "call":
            story.call("customer", "completed")
        case "leave":
            story.leaves("customer")
        case _:
            story.later(30_000).sweep_finds("call-missing", "customer").expect("conferenced", "look")
            story.reads(customer="completed")
    story.expect("ended", "end room", reason="customer-left")


@BOTH
def test_parked_customer_survives_a_conference_end_but_loses_the_music(begin):
    story = begin().conference_ends().expect("conferenced", phase="parked").expect_timers("opening", "park")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect(
        "conferenced", phase="parked"
    ).expect_held()
    story.expect_timers("park")


@BOTH
def test_customer_who_comes_again_where_no_wait_music_plays_is_held_to_hear_it(begin):
    story = begin().conference_ends().joins("customer", conference=OTHER_CONFERENCE, starts=True)
    story.expect("conferenced", "hold customer", phase="parked").does("customer")
    story.changes("customer", kind="participant-hold", conference=OTHER_CONFERENCE).expect_held(
        "customer"
    ).expect_timers("park")


@BOTH
def test_parked_customer_who_does_not_return_is_moved_then_hung_up(begin):
    story = begin().conference_ends().fires(OpeningOverdue).expect("conferenced", "look")
    story.reads(customer="in-progress").expect("conferenced", "move customer")
    story.succeeds("redirect_call", "customer", story.last.effects[0].effect_id).fires(OpeningOverdue)
    story.reads(customer="in-progress").expect("conferenced").expect_timers("opening", "park")
    story.fires(OpeningOverdue).reads(customer="in-progress", conference=OTHER_CONFERENCE)
    story.expect("ended", "hang up customer", reason="convert-failed")


@BOTH
def test_customer_in_an_unreported_conference_is_found_by_the_sweep(begin):
    story = begin().later(30_000).sweep_finds("conference-missing").expect("conferenced", "look")
    leg = story.legs["customer"]
    leg.held = leg.end_on_exit = leg.starts = False
    story.reads(customer="in-progress", conference=OTHER_CONFERENCE, inside=("customer",))
    story.expect("conferenced", phase="parked").expect_timers("park")
    assert story.session.conference_sid == OTHER_CONFERENCE
    assert story.session.parties["customer"].waits_for_start


@BOTH
@pytest.mark.parametrize("code", [16001, 16099])
def test_parked_customer_who_can_not_be_held_before_the_start_is_moved_to_hear_music(begin, code):
    story = begin().later(30_000).sweep_finds("conference-missing")
    leg = story.legs["customer"]
    leg.held, leg.end_on_exit, leg.starts = False, False, True
    story.reads(customer="in-progress", conference=OTHER_CONFERENCE, inside=("customer",))
    story.expect("conferenced", "hold customer", phase="parked")
    story.fails("update_participant", "customer", code=code, effect_id=story.last.effects[0].effect_id)
    story.expect("conferenced", "move customer", phase="parked").expect_timers("park", "opening")
    (move,) = story.last.effects
    assert move.wait_audio == "music"
    story.succeeds("redirect_call", "customer", move.effect_id)
    story.joins("customer", conference="CF" + "9" * 32, starts=False)
    story.expect("conferenced", phase="parked").expect_timers("park").expect_held()


# ---- too long ----------------------------------------------------------------------------------------------------


@BOTH
def test_parked_too_long_it_goes_back_to_the_agent_who_parked_it(begin):
    story = begin().fires(ParkOverdue).expect("transferring", "dial agent to the gate", phase="recall")
    agent = story.session.parties["agent"]
    assert (agent.address, agent.recall_reason, agent.label) == (ALICE, "park-timeout", "agent-2")
    assert story.session.parked_until_ms == 0
    story.takes_part("agent")
    if begin is parked:
        story.expect("transferring", "unhold customer").confirms("customer").expect(
            "conferenced", "flag customer", "flag agent"
        )
    else:
        story.expect("conferenced", *FLAGS)
    story.expect_held().expect_concluded(DONE, ("transfer", "recalled", "park-timeout"))
    assert (story.session.parked_by, story.session.phase) == ("", "")


def test_agent_who_does_not_take_it_back_is_rung_twice_and_then_it_is_the_end():
    story = parked().fires(ParkOverdue).placed("agent").call("agent", "busy").expect_timers("stage")
    story.expect_held("customer").fires(StageOverdue).expect("transferring", "dial agent to the gate")
    assert story.session.parties["agent"].address == ALICE
    story.placed("agent").call("agent", "no-answer").expect("ended", "say goodbye to customer", reason="recall-failed")


def test_fallback_destination_is_rung_in_place_of_the_parking_agent():
    story = parked(Policy(fallback=CAROL)).fires(ParkOverdue).expect("transferring", "dial target", phase="blind")
    assert story.last.effects[0].to == CAROL
    story.answers("target").expect("transferring", "unhold customer").joins("target").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent", phase="")
    assert story.session.parties["agent"].address == CAROL


def test_fallback_destination_that_fails_is_the_end():
    story = parked(Policy(fallback=CAROL)).fires(ParkOverdue).placed("target").call("target", "busy")
    story.expect("ended", "say goodbye to customer", reason="fallback-failed")


@BOTH
def test_park_timeout_without_a_fallback_says_goodbye_and_hangs_up(begin):
    story = begin(Policy(fallback="end")).fires(ParkOverdue)
    story.expect("ended", "say goodbye to customer", reason="park-timeout")
    assert story.last.effects[0].sentence == "transfer-failed"


def test_customer_who_leaves_while_the_agent_is_rung_again():
    story = parked().fires(ParkOverdue).placed("agent").leaves("customer")
    story.expect("ended", "end room", "hang up agent", reason="customer-left")


def test_customer_moving_to_another_conference_at_park_timeout_is_not_lost():
    story = parked().conference_ends().later(300_000).fires(ParkOverdue)
    story.expect("transferring", "dial agent to the gate", phase="recall")
    assert "stage" in story.session.timers
    story.fires(StageOverdue).expect("transferring", "look").reads(customer="in-progress")
    story.expect("transferring", "move customer").joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.placed("agent").gate("agent").gate("agent", "accepted").joins("agent", conference=OTHER_CONFERENCE)
    story.expect("conferenced", *FLAGS)


# ---- commands ----------------------------------------------------------------------------------------------------


@BOTH
def test_parked_call_takes_a_retrieve_and_an_end_and_no_transfer(begin):
    story = begin()
    for mode in ("warm", "consult", "blind"):
        story.transfer(mode, command_id=mode).expect_refused(mode, "the call is parked", "convert", "end")
    story.park("park-2").expect_refused("park-2", "the call is parked", "convert", "end")
    assert "retrieve" in story.reports["park-2"][0][1]
    story.end().expect("ended", "end room", reason="command")


def test_second_park_is_refused_while_one_runs():
    as_conference(conferenced()).park().park("park-2").expect_refused(
        "park-2", "another transfer is in progress", "end"
    )
    story = as_conference(Scenario().answered()).park().park("park-2").expect("transferring", outcome="refused")
    story.expect_command("park-1", "accepted")


def test_steps_of_a_transfer_are_refused_while_a_park_runs():
    story = as_conference(conferenced()).park()
    for step in ("complete", "cancel", "swap", "merge"):
        getattr(story, step)(step).expect("transferring", outcome="refused")


def test_removing_the_customer_ends_it():
    parked().remove("customer").expect("ended", "end room", reason="command")


def test_end_while_the_agent_is_being_hung_up():
    story = as_conference(Scenario().answered()).park().end().expect("ended", "hang up customer", "hang up agent")
    story.expect_command("park-1", "accepted", "failed", reason="command")


def test_call_parked_for_a_day_is_ended():
    parked(Policy(park_timeout_ms=10**9)).fires(AgeOverdue).reads().expect("ended", "end room", reason="too-old")


def test_late_callbacks_of_the_agent_who_parked_change_nothing():
    story = parked().call("agent", "completed").dial_ends("completed", call_status="completed", party="agent")
    story.expect("conferenced", phase="parked").expect_timers("park")


def test_repeated_confirmation_of_the_hold_changes_nothing():
    story = parked().changes("customer", kind="participant-hold").expect("conferenced").expect_timers("park")
    story.fires(ParkOverdue).expect("transferring", "dial agent to the gate")


def test_hold_undone_by_a_third_party_is_requested_again():
    story = parked()
    story.legs["customer"].held = False
    story.changes("customer", kind="participant-unhold").expect("conferenced", "hold customer")
    story.fires(ConfirmOverdue).expect("conferenced", "look")
