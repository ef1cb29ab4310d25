"""A transfer that no one takes after the agent has gone: the agent is rung again, or a fallback, or it is the end."""

import pytest

from conferral.statemachine.events import ConfirmOverdue, DialOverdue, StageOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.command_scenarios import added
from tests.statemachine.conference_scenarios import as_conference
from tests.statemachine.scenario import ALICE, BOB, CAROL, CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, blind_from_bridge, dialing, ringing, talking

END, FALLBACK = Policy(fallback="end"), Policy(fallback=CAROL)


def failed_from_bridge(policy: Policy | None = None) -> Scenario:
    """The customer waits alone with ring-back; the target was busy."""
    return blind_from_bridge(policy=policy).placed("target").call("target", "busy")


def failed_from_conference(policy: Policy | None = None) -> Scenario:
    """The customer is held with ring-back; the target was busy."""
    return dialing("blind", policy=policy).leaves("agent").placed("target").call("target", "busy")


@pytest.mark.parametrize("step, status", [("cancel", "done"), ("swap", "failed")])
def test_step_that_the_agent_left_behind_is_reported(step, status):
    """The agent's departure does not undo a cancel: the target is gone, as it requested."""
    story = getattr(talking("consult"), step)()
    story.leaves("agent").leaves("target").expect("transferring", "dial agent to the gate", phase="recall")
    story.expect_command(f"{step}-1", "accepted", status)


# ---- the agent is rung again -------------------------------------------------------------------------------------


def test_agent_is_recalled_with_the_reason():
    story = failed_from_bridge().expect("transferring", "dial agent to the gate", phase="recall").expect_timers()
    story.expect_command("transfer-1", "accepted", "failed", reason="busy").expect_transfer("failed", "busy")
    agent = story.session.parties["agent"]
    assert (agent.recall_reason, agent.label, agent.address) == ("busy", "agent-2", ALICE)
    assert story.session.parties["customer"].wait_audio == "music"
    story.placed("agent").call("agent", "ringing").gate("agent").gate("agent", "accepted").expect("transferring")
    story.joins("agent").expect("conferenced", *FLAGS).expect_concluded(("transfer", "recalled", "busy"))
    story.expect_parties(customer="connected", agent="connected", target="left").expect_held()
    story.expect_attempts((BOB, "busy"), (ALICE, "answered")).expect_transfer("failed", "busy")


def test_customer_of_a_conference_stays_on_hold_while_the_agent_is_rung_again():
    story = failed_from_conference().expect("transferring", "dial agent to the gate", phase="recall")
    story.expect_held("customer").takes_part("agent").expect("transferring", "unhold customer")
    story.confirms("customer").expect("conferenced", "flag customer", "flag agent").expect_held()
    story.expect_concluded(("transfer", "recalled", "busy"))


def test_recalled_agent_whose_join_is_not_reported_is_read_after_the_sentence():
    """Until the customer's hold ends, the agent hears no one."""
    story = failed_from_conference().placed("agent").gate("agent").gate("agent", "accepted").expect_held("customer")
    for wait_ms in (5_333, 3_000):
        assert story.session.timers["dial"] - story.now_ms == wait_ms
        story.fires(DialOverdue).expect("transferring", "look")
        story.reads(agent="in-progress", conference=CONFERENCE, inside=("customer",)).expect("transferring")
    story.fires(DialOverdue).reads(conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("transferring", "unhold customer").confirms("customer").expect("conferenced", *FLAGS)


def test_recalled_agent_for_whom_no_one_is_held_need_not_be_read():
    story = failed_from_bridge().placed("agent").gate("agent").gate("agent", "accepted")
    assert story.session.timers["dial"] - story.now_ms == 13_000


def test_agent_is_rung_twice_four_seconds_apart_and_then_it_is_the_end():
    story = failed_from_bridge().placed("agent").call("agent", "no-answer").expect("transferring", phase="recall")
    story.expect_timers("stage").expect_transfer("failed", "busy, recall no-answer")
    assert story.session.timers["stage"] - story.now_ms == 4_000
    story.fires(StageOverdue).expect("transferring", "dial agent to the gate", phase="recall").placed("agent")
    assert story.session.parties["agent"].recall_reason == "busy"
    story.call("agent", "busy").expect("ended", "say goodbye to customer", reason="recall-failed")
    reported = "busy, recall no-answer, recall busy"
    story.expect_concluded(("transfer", "failed", reported), ("session", "ended", "recall-failed"))
    story.expect_attempts((BOB, "busy"), (ALICE, "no-answer"), (ALICE, "busy"))


def test_second_call_waits_as_long_as_twilio_asked_after_the_first():
    """Sooner, Twilio would refuse it too, and the customer would be hung up."""
    story = failed_from_bridge().refused("agent", status=429, code=20429, retry_after_ms=30_000)
    story.expect("transferring", phase="recall").expect_timers("stage")
    assert story.session.timers["stage"] - story.now_ms == 30_000
    story.fires(StageOverdue).takes_part("agent").expect("conferenced", *FLAGS)


def test_first_call_waits_as_long_as_twilio_asked_when_it_refused_to_dial_the_target():
    story = blind_from_bridge().refused("target", status=429, code=20429, retry_after_ms=30_000)
    story.expect("transferring", phase="recall").expect_timers("stage")
    assert story.session.timers["stage"] - story.now_ms == 30_000
    story.fires(StageOverdue).expect("transferring", "dial agent to the gate").takes_part("agent")
    story.expect("conferenced", *FLAGS)


def test_fallback_destination_is_dialed_at_once_although_twilio_asked_to_wait():
    """Only calls to the agent have a pause before them."""
    story = blind_from_bridge(policy=FALLBACK).refused("target", status=429, code=20429, retry_after_ms=30_000)
    story.expect("transferring", "dial target")


def test_second_call_does_not_come_sooner_because_twilio_asked_for_less():
    story = failed_from_bridge().refused("agent", status=429, code=20429, retry_after_ms=1_000)
    assert story.session.timers["stage"] - story.now_ms == 4_000


def test_agent_takes_the_second_call():
    story = failed_from_bridge().placed("agent").call("agent", "no-answer").fires(StageOverdue)
    story.takes_part("agent").expect("conferenced", *FLAGS)
    story.expect_concluded(("transfer", "recalled", "busy, recall no-answer"))
    story.call("former agent", "completed").expect("conferenced", outcome="stale")


@pytest.mark.parametrize("decision", ["rejected", "no-confirmation"])
def test_agent_may_turn_the_recall_away_at_the_gate(decision):
    story = failed_from_bridge(Policy(confirm_phones=True)).placed("agent").gate("agent").gate("agent", decision)
    story.expect("transferring", phase="recall").expect_transfer("failed", f"busy, recall {decision}")


def test_recall_without_callbacks_is_verified_and_given_up():
    story = failed_from_bridge().placed("agent").fires(DialOverdue).expect("transferring", "look")
    story.rings_on("agent").fires(DialOverdue).expect("transferring", "hang up agent").expect_timers("stage")
    story.expect_transfer("failed", "busy, recall no-answer")


def test_customer_who_hangs_up_while_the_agent_is_rung_again_stops_it():
    story = failed_from_bridge().placed("agent").call("customer", "completed")
    story.expect("ended", "end room", "hang up agent", reason="customer-left")
    # The transfer had failed before that, and its sender knows why.
    story.expect_concluded(("transfer", "failed", "busy, customer-left"), ("session", "ended", "customer-left"))


def test_end_while_the_agent_is_rung_again_does_not_turn_a_failure_into_a_cancellation():
    story = failed_from_bridge().placed("agent").end().expect("ended", "end room", "hang up agent", reason="command")
    story.expect_command("transfer-1", "accepted", "failed", reason="busy").expect_transfer("failed", "busy, command")
    story.expect_concluded(("transfer", "failed", "busy, command"), ("session", "ended", "command"))


def test_customer_who_hangs_up_in_the_pause_ends_it():
    story = failed_from_bridge().placed("agent").call("agent", "busy").call("customer", "completed")
    story.expect("ended", "end room", reason="customer-left")


def test_agent_who_leaves_at_once_after_the_recall_is_not_rung_for_ever():
    """The agent was back and then left an ordinary call; the customer is disconnected after the grace."""
    story = failed_from_bridge().takes_part("agent").leaves("agent").expect("conferenced")
    assert "lone" in story.session.timers


def test_recalled_agent_can_transfer_again():
    story = failed_from_bridge().takes_part("agent").confirms("customer", "agent")
    story.transfer("warm", CAROL, command_id="transfer-2").confirms("agent").expect("transferring", "dial target")
    story.expect_parties(customer="connected", agent="connected", target_1="left", target="dialing")
    story.takes_part("target").expect_command("transfer-2", "accepted", "done")


def test_agent_who_is_removed_from_a_recall_is_not_rung_a_second_time():
    story = as_conference(failed_from_bridge()).placed("agent").remove("agent").expect("transferring", "hang up agent")
    story.call("agent", "canceled").expect("ended", "say goodbye to customer", reason="recall-failed")
    story.expect_command("remove-1", "accepted", "done").expect_transfer("failed", "busy, recall cancelled")


def test_customer_talks_to_an_added_party_when_the_agent_is_removed_from_a_recall():
    story = added().transfer("blind", BOB).confirms("customer").leaves("agent").placed("target").call("target", "busy")
    story.expect("transferring", "dial agent to the gate", phase="recall").placed("agent").remove("agent")
    story.call("agent", "canceled").confirms("customer").expect("conferenced").expect_held()


def test_steps_are_refused_while_the_agent_is_rung_again():
    failed_from_bridge().complete("late").expect_refused("late", "the agent has left or is leaving", "end")


# ---- what leads there --------------------------------------------------------------------------------------------


def test_target_who_is_not_reached_after_complete_leads_to_a_recall():
    story = ringing("warm").complete().confirms("customer").leaves("agent").call("target", "no-answer")
    story.expect("transferring", "dial agent to the gate", phase="recall").expect_held("customer")
    story.expect_command("complete-1", "accepted", "done")
    story.expect_command("transfer-1", "accepted", "failed", reason="no-answer")


def test_target_failing_before_the_agent_is_released_is_dropped():
    """The agent is on his way out: he is rung again when he is out, or he would be busy."""
    story = ringing("warm").complete().confirms("customer").call("target", "busy").expect("transferring")
    story.expect_command("complete-1", "accepted").call("agent", "completed")
    story.expect("transferring", "dial agent to the gate", phase="recall")
    story.takes_part("agent")
    story.expect("transferring", "unhold customer").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_command("complete-1", "accepted", "done")


def test_target_who_hangs_up_before_the_customer_is_back_leads_to_a_recall():
    story = dialing("blind").leaves("agent").takes_part("target").leaves("target")
    story.expect("transferring", "dial agent to the gate", phase="recall").expect_transfer("failed", "hung-up")


@pytest.mark.parametrize("first, second", [("agent", "target"), ("target", "agent")])
def test_no_one_is_left_in_silence_when_agent_and_target_both_hang_up(first, second):
    story = talking("consult").leaves(first).leaves(second)
    if first == "agent":
        story.expect("transferring", "dial agent to the gate", phase="recall")
    else:
        assert story.session.state == "transferring"
        assert story.session.phase == "recall"
    story.expect_transfer("failed", "hung-up" if first == "agent" else "target-left")


def test_target_dialed_into_an_ended_conference_is_tracked_until_gone():
    """The agent's leave ended the conference; the customer waits in another one, which the target can't join."""
    story = ringing("warm").leaves("agent").conference_ends().expect("transferring", "hang up target")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect_timers("stage")
    story.fires(StageOverdue).expect("transferring", "look")
    story.reads(customer="in-progress", target="completed", conference=OTHER_CONFERENCE, inside=("customer",))
    story.expect("transferring", "dial agent to the gate", phase="recall")


# ---- someone else -----------------------------------------------------------------------------------------------


def test_fallback_destination_is_tried_once():
    story = failed_from_bridge(FALLBACK).expect("transferring", "dial target", phase="blind")
    assert story.last.effects[0].to == CAROL
    story.expect_command("transfer-1", "accepted", "failed", reason="busy").takes_part("target")
    story.expect("conferenced", *FLAGS).expect_attempts((BOB, "busy"), (CAROL, "answered"))
    story.expect_concluded(("transfer", "failed", "busy, fallback answered"))


def test_fallback_destination_that_fails_is_the_end():
    story = failed_from_conference(FALLBACK).expect("transferring", "dial target").placed("target")
    story.call("target", "no-answer").expect("ended", "say goodbye to customer", reason="fallback-failed")
    found = "busy, fallback no-answer"
    story.expect_concluded(("transfer", "failed", found), ("session", "ended", "fallback-failed"))


def test_late_callback_of_the_first_target_does_not_touch_the_fallback():
    story = failed_from_bridge(FALLBACK).call("former target", "completed").expect("transferring", outcome="stale")
    assert story.session.parties["target"].status == "dialing"


# ---- no one else -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [failed_from_bridge, failed_from_conference])
def test_customer_hears_why_and_is_hung_up_without_recall_when_fallback_is_end(begin):
    story = begin(END).expect("ended", "say goodbye to customer", reason="transfer-failed")
    assert story.last.effects[0].sentence == "transfer-failed"
    story.expect_concluded(("transfer", "failed", "busy"), ("session", "ended", "transfer-failed"))
    story.expect_command("transfer-1", "accepted", "failed", reason="busy")


def test_agent_who_is_still_leaving_is_waited_for_before_the_end():
    """Only then is it known that no one is left for the customer."""
    story = dialing("blind", policy=END).placed("target").call("target", "busy").expect("transferring")
    story.succeeds("hang_up_call", "agent", story.session.parties["agent"].hang_up_effect_id)
    story.fires(StageOverdue).expect("transferring", "look", "hang up agent").call("agent", "completed")
    story.expect("ended", "say goodbye to customer", reason="transfer-failed")


# ---- what Twilio does not confirm --------------------------------------------------------------------------------


def test_unhold_for_the_recalled_agent_is_verified():
    story = failed_from_conference().takes_part("agent").fires(ConfirmOverdue).expect("transferring", "look")
    update = story.unconfirmed[-1]
    story.does("customer")
    story.succeeds("update_participant", "customer", update.effect_id)
    story.reads(conference=CONFERENCE, inside=("customer", "agent")).expect(
        "conferenced", "flag customer", "flag agent"
    ).expect_held()
