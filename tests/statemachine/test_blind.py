"""Blind transfers: the agent leaves at once, and the customer hears ringing until the target takes the call."""

import pytest

from conferral.statemachine.events import ConfirmOverdue, DialOverdue, StageOverdue
from tests.statemachine.scenario import BOB, CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, blind_from_bridge, conferenced, dialing, outbound

COMPLETED = ("transfer", "completed", "")


# ---- from the bridge, inbound: the agent is the child ------------------------------------------------------------


def test_inbound_blind_transfer_moves_only_the_customer():
    story = Scenario().answered().transfer("blind").expect("transferring", "hang up agent", phase="blind")
    story.expect_timers("stage").expect_command("transfer-1", "accepted").dial_ends("completed").expect("transferring")
    story.call("agent", "completed").expect("transferring")
    story.joins("customer", starts=False).expect("transferring", "dial target").expect_timers()
    dial = story.last.effects[0]
    assert (dial.conference, dial.early_media) == (CONFERENCE, False)  # the customer has ring-back of his own
    story.takes_part("target").expect("conferenced", *FLAGS).expect_transfer("completed").expect_held()
    story.expect_command("transfer-1", "accepted", "done").expect_concluded(COMPLETED)
    story.expect_parties(customer="connected", agent="connected", agent_1="left").expect_attempts((BOB, "answered"))
    story.confirms("customer", "target").expect_timers()


def test_order_of_the_agents_end_and_of_the_customers_arrival_does_not_matter():
    story = (
        Scenario().answered().transfer("blind").joins("customer", starts=False).expect("transferring", "dial target")
    )
    story.dial_ends("completed").expect("transferring").takes_part("target").expect("transferring")
    story.call("agent", "completed").expect("conferenced", *FLAGS).expect_concluded(COMPLETED)


def test_agent_hang_up_without_callback_is_verified():
    story = Scenario().answered().transfer("blind").joins("customer", starts=False).takes_part("target")
    story.succeeds("hang_up_call", "agent", story.session.parties["agent"].hang_up_effect_id)
    story.fires(StageOverdue).expect("transferring", "look", "hang up agent")
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer", "target"))
    story.expect("conferenced", *FLAGS).expect_concluded(COMPLETED)


def test_customer_who_comes_alone_as_one_who_starts_is_moved_to_hear_ringing():
    """Twilio holds no one before the conference starts."""
    story = Scenario().answered().transfer("blind").call("agent", "completed").joins("customer")
    story.expect("transferring", "move customer")
    (move,) = story.last.effects
    assert (move.wait_audio, move.conference) == ("ringback", story.session.id)
    story.succeeds("redirect_call", "customer", move.effect_id)
    story.leaves("customer", status="in-progress", reason="participant_updated_via_api").conference_ends()
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("transferring", "dial target")
    assert story.last.effects[0].conference == OTHER_CONFERENCE
    story.placed("target").call("target", "in-progress").joins("target", conference=OTHER_CONFERENCE)
    story.expect("conferenced", *FLAGS).expect_held()


def test_customer_arrival_without_callback_is_found_by_a_read():
    story = Scenario().answered().transfer("blind").call("agent", "completed").fires(StageOverdue)
    story.expect("transferring", "look").legs["customer"].starts = False
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer",)).expect(
        "transferring", "dial target"
    )


def test_customer_read_as_starting_the_conference_is_moved():
    story = Scenario().answered().transfer("blind").call("agent", "completed").fires(StageOverdue)
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer",)).expect(
        "transferring", "move customer"
    )


@pytest.mark.parametrize("code", [16001, 16099])
def test_hold_that_is_refused_before_the_start_is_not_repeated(code):
    story = conferenced().transfer("blind").confirms("agent").expect("transferring", "hold customer")
    story.fails("update_participant", "customer", code=code, effect_id=story.last.effects[-1].effect_id)
    story.expect("transferring").expect_timers("stage")
    story.conference_starts().expect("transferring", "hold customer")


def test_customer_who_does_not_arrive_is_moved_once_then_hung_up():
    story = Scenario().answered().transfer("blind").call("agent", "completed").fires(StageOverdue)
    story.reads(customer="in-progress").expect("transferring", "move customer").expect_timers("stage")
    (move,) = story.last.effects
    assert move.wait_audio == "ringback"
    story.succeeds("redirect_call", "customer", move.effect_id)
    story.fires(StageOverdue).expect("transferring", "look").reads(customer="in-progress")
    story.expect("transferring").expect_timers("stage")  # no list need show the conference that they wait in
    story.fires(StageOverdue).expect("transferring", "look").reads(customer="in-progress", conference=CONFERENCE)
    story.expect("ended", "end room", "hang up customer", reason="convert-failed")
    story.expect_command("transfer-1", "accepted", "failed", reason="convert-failed")


def test_customer_hang_up_before_joining_is_found_by_a_read():
    story = Scenario().answered().transfer("blind").call("agent", "completed").fires(StageOverdue)
    story.reads(customer="completed").expect("ended", reason="customer-left")
    story.expect_concluded(("transfer", "failed", "customer-left"), ("session", "ended", "customer-left"))


@pytest.mark.parametrize("how", ["callback", "action"])
def test_customer_who_hangs_up_on_the_way_ends_it(how):
    story = Scenario().answered().transfer("blind").call("agent", "completed")
    if how == "callback":
        story.call("customer", "completed")
    else:
        story.dial_ends("completed", call_status="completed")
    story.expect("ended", reason="customer-left")
    story.expect_command("transfer-1", "accepted", "failed", reason="customer-left")


def test_customer_who_hangs_up_while_the_target_rings_stops_the_ringing():
    story = blind_from_bridge().placed("target").call("target", "ringing").leaves("customer")
    story.expect("ended", "end room", "hang up target", reason="customer-left").expect_attempts((BOB, "cancelled"))


# ---- from the bridge, outbound: the customer is the child --------------------------------------------------------


def test_outbound_blind_transfer_moves_customer_and_dial_action_hangs_up_agent():
    story = outbound().transfer("blind").expect("transferring", "move customer", phase="blind").expect_timers("stage")
    assert story.last.effects[-1].wait_audio == "ringback"
    story.succeeds("redirect_call", "customer", story.session.open_redirects[0])
    story.dial_ends("completed", party="agent").expect("transferring").call("agent", "completed")
    story.joins("customer", starts=False).expect("transferring", "dial target")
    story.takes_part("target").expect("conferenced", *FLAGS).expect_concluded(COMPLETED)
    story.expect_parties(customer="connected", agent="connected", agent_1="left")


def test_agent_who_lingers_after_the_customer_was_moved_is_hung_up():
    story = outbound().transfer("blind")
    story.succeeds("redirect_call", "customer", story.session.open_redirects[0]).joins("customer", starts=False)
    assert "hang up agent" not in story.words()
    story.takes_part("target").expect("transferring")
    story.fires(StageOverdue).expect("transferring", "look", "hang up agent")
    story.call("agent", "completed").expect("conferenced", *FLAGS)


def test_agent_who_lingers_while_the_target_rings_is_hung_up_too():
    story = outbound().transfer("blind")
    story.succeeds("redirect_call", "customer", story.session.open_redirects[0]).joins("customer", starts=False)
    story.fires(StageOverdue).expect("transferring", "look", "hang up agent")


def test_agent_without_an_action_is_hung_up_after_two_seconds():
    story = outbound().transfer("blind")
    story.succeeds("redirect_call", "customer", story.session.open_redirects[0]).fires(StageOverdue)
    story.expect("transferring", "look", "hang up agent").call("agent", "completed")
    story.joins("customer", starts=False).expect("transferring", "dial target")


def test_refused_move_leaves_the_two_of_an_outbound_call_talking():
    story = outbound().transfer("blind").fails("redirect_call", "customer", code=21218)
    story.expect("bridged", phase="connected").expect_timers()
    story.expect_command("transfer-1", "accepted", "failed", reason="Twilio refused (HTTP 400, code 21218)")
    story.expect_concluded(("transfer", "failed", "Twilio refused (HTTP 400, code 21218)"))
    assert not story.session.parties["agent"].is_leaving
    story.transfer("blind", command_id="transfer-2").expect("transferring", "move customer")


def test_move_that_comes_too_late_because_the_customer_has_hung_up():
    story = outbound().transfer("blind").fails("redirect_call", "customer", gone=True, code=21220)
    story.expect("transferring", "look").reads(agent="in-progress", customer="completed")
    story.expect("ended", "hang up agent", reason="customer-left")


def test_move_of_unknown_outcome_is_verified():
    story = outbound().transfer("blind").is_unknown("redirect_call", "customer", "unheard")
    story.expect("transferring", "look").joins("customer", starts=False).expect("transferring", "dial target")


def test_move_of_unknown_outcome_that_did_not_happen_is_repeated_while_the_two_talk():
    """Without a bridge, the customer's call would end with the agent's."""
    story = outbound().transfer("blind")
    story.is_unknown("redirect_call", "customer", story.session.open_redirects[0]).expect("transferring", "look")
    story.fires(StageOverdue).expect("transferring").reads(agent="in-progress", customer="in-progress")
    story.expect("transferring", "move customer", "look").fires(StageOverdue).expect("transferring")
    story.succeeds("redirect_call", "customer", story.session.open_redirects[0])
    story.dial_ends("completed", party="agent").call("agent", "completed").joins("customer", starts=False)
    story.expect("transferring", "dial target")


def moved_again():
    """The customer of an outbound call was redirected twice: the first redirect had an unknown outcome."""
    story = outbound().transfer("blind")
    story.is_unknown("redirect_call", "customer", story.session.open_redirects[0]).fires(StageOverdue)
    return story.reads(agent="in-progress", customer="in-progress").expect("transferring", "move customer", "look")


def test_refusal_of_the_second_move_leaves_the_two_talking():
    why = "Twilio refused (HTTP 400, code 21218)"
    story = moved_again().fails("redirect_call", "customer", code=21218).expect("bridged", phase="connected")
    story.expect_timers().expect_command("transfer-1", "accepted", "failed", reason=why)
    story.transfer("blind", command_id="transfer-2").expect("transferring", "move customer")


def test_two_moves_of_unknown_outcome_that_did_not_happen_leave_the_two_talking():
    why = "unknown: Twilio gave no answer"
    story = moved_again()
    story.is_unknown("redirect_call", "customer", story.session.open_redirects[0]).fires(StageOverdue)
    story.reads(agent="in-progress", customer="in-progress").expect("bridged", "look", phase="connected")
    story.reads(agent="in-progress", customer="in-progress").expect("bridged").expect_timers()
    story.expect_command("transfer-1", "accepted", "failed", reason=why).expect_concluded(("transfer", "failed", why))
    assert not story.session.parties["agent"].is_leaving
    story.transfer("blind", command_id="transfer-2").expect("transferring", "move customer")


# ---- from the conference -----------------------------------------------------------------------------------------


def test_blind_transfer_out_of_a_conference_holds_the_customer_before_the_agent_goes():
    story = conferenced().transfer("blind").expect("transferring", "unflag agent", phase="blind")
    story.confirms("agent").expect("transferring", "hold customer").expect_timers("confirm", "stage")
    assert story.last.effects[-1].wait_audio == "ringback"
    story.confirms("customer").expect("transferring", "hang up agent", "dial target").expect_held("customer")
    assert not story.last.effects[1].early_media
    story.leaves("agent").expect("transferring").answers("target").expect("transferring", "unhold customer")
    story.joins("target").confirms("customer").expect("conferenced", "flag customer", "flag agent").expect_held()
    story.expect_transfer("completed")
    story.expect_command("transfer-1", "accepted", "done").expect_concluded(COMPLETED)


def test_hold_that_is_not_confirmed_in_two_seconds_is_done_without():
    story = conferenced().transfer("blind").confirms("agent").fires(ConfirmOverdue).expect("transferring", "look")
    story.fires(StageOverdue).expect("transferring", "hang up agent", "dial target")
    assert story.placed("target").session.timers["dial"] - story.now_ms == 40_000


def test_target_may_answer_before_the_hold_was_confirmed():
    """It is undone all the same: the party that takes the call must be heard."""
    story = conferenced().transfer("blind").confirms("agent").fires(StageOverdue).leaves("agent").answers("target")
    story.expect("transferring", "unhold customer").joins("target").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_held()


def test_customer_hears_music_again_if_the_target_hangs_up_before_it_is_seen_to_join():
    story = dialing("blind").leaves("agent").answers("target").expect("transferring", "unhold customer")
    story.confirms("customer").call("target", "completed")
    story.expect("transferring", "dial agent to the gate", "hold customer", phase="recall")
    assert story.last.effects[-1].wait_audio == "music"


def test_agent_who_is_slow_to_leave_is_waited_for():
    story = dialing("blind").takes_part("target").confirms("customer").expect("transferring")
    story.expect_command("transfer-1", "accepted").leaves("agent").expect("conferenced", "flag customer", "flag agent")


def test_agent_who_left_is_not_hung_up():
    story = conferenced().transfer("blind").leaves("agent").expect("transferring", "hold customer")
    story.confirms("customer").expect("transferring", "dial target")


# ---- commands and settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["complete", "cancel", "swap", "merge"])
@pytest.mark.parametrize("story", [lambda: Scenario().answered().transfer("blind"), blind_from_bridge,
                                   lambda: conferenced().transfer("blind")],
                         ids=["on-the-way", "dialed", "clearing"])  # fmt: skip
def test_steps_are_refused_while_the_agent_is_being_released(story, command):
    story = getattr(story(), command)("late")
    story.expect_refused("late", "the agent has left or is leaving", "end")


def test_second_transfer_is_refused_while_a_blind_one_runs():
    story = blind_from_bridge().transfer("warm", command_id="late")
    story.expect_refused("late", "another transfer is in progress", "end")


def test_end_on_the_way_hangs_up_the_customer():
    story = Scenario().answered().transfer("blind").call("agent", "completed").end()
    story.expect("ended", "hang up customer", reason="command")


def refused_since_the_conference_is_over():
    """The customer hangs up as the target is dialed: Twilio refuses before it reports the hang-up."""
    story = dialing("blind")
    dial = story.legs["target"].dial
    return story.fails("create_participant", "target", gone=True, code=16022, effect_id=dial)


def test_customer_who_hangs_up_as_the_target_is_dialed_has_left():
    story = refused_since_the_conference_is_over().expect("transferring", "look", phase="blind")
    story.call("customer", "completed").expect("ended", "end room", reason="customer-left")


def test_target_not_added_to_an_ended_conference_has_failed():
    story = refused_since_the_conference_is_over().expect("transferring", "look", phase="blind")
    story.fires(DialOverdue).expect_attempts((BOB, "failed"))


def test_target_whose_join_is_reported_before_the_answer_was_answered_then():
    story = dialing("blind").placed("target").call("agent", "completed").later(4_000).joins("target")
    joined_ms = story.now_ms
    story.later(200).call("target", "in-progress").expect_attempts((BOB, "answered"))
    assert [one.answered_at_ms for one in story.session.transfer.attempts] == [joined_ms]
