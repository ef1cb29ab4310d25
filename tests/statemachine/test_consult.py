"""Consults: agent and target talk while the customer is held; swap, merge, complete and cancel, one step at a time."""

import pytest

from conferral.statemachine.events import ConfirmOverdue, DialOverdue, LeaveOverdue, StageOverdue
from tests.statemachine.command_scenarios import ordering, supervised
from tests.statemachine.conference_scenarios import ConferenceScenario, as_conference
from tests.statemachine.scenario import BOB, CAROL, CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import (
    FLAGS,
    blind_from_bridge,
    conferenced,
    dialing,
    ringing,
    succeeds_all,
    talking,
)

COMPLETED = ("transfer", "completed", "")


def merged() -> Scenario:
    return talking("consult").merge().expect("transferring", "unhold customer").confirms("customer")


def swapped() -> Scenario:
    """The agent talks to the customer, the target is on hold."""
    story = talking("consult").swap().expect("transferring", "hold target")
    return story.confirms("target").expect("transferring", "unhold customer").confirms("customer")


# ---- to the target and together ----------------------------------------------------------------------------------


def at_gate(mode: str, **options: object) -> Scenario:
    """Who waits for the target hears ringing, and the target has answered at the gate."""
    return dialing(mode, **options).placed("target").gate("target").expect("transferring")


def test_agent_hears_ringing_while_the_target_is_dialed_to_the_gate():
    story = conferenced().transfer("consult", confirm=True).confirms("agent")
    story.expect("transferring", "hold customer", "hold agent")
    assert [effect.wait_audio for effect in story.last.effects if effect.hold] == ["music", "ringback"]
    story.confirms("customer").expect("transferring", "dial target to the gate").confirms("agent").placed("target")
    story.expect_held("customer", "agent").gate("target").expect("transferring")
    # The callback of the join may come late; they would not hear each other.
    story.gate("target", "accepted").expect("transferring", "unhold agent").confirms("agent").joins("target")
    story.expect("transferring").expect_transfer("consulting").expect_held("customer")


def test_agent_hears_ringing_although_a_supervisor_comes_from_the_gate():
    story = ordering(at_gate, "consult", confirm=True).supervise(confirm=True)
    story.expect("transferring", "dial supervisor to the gate").placed("supervisor")
    story.gate("supervisor").gate("supervisor", "accepted").expect("transferring").expect_held("customer", "agent")
    story.gate("target", "accepted").expect("transferring", "unhold agent")


def test_agent_hears_ringing_until_the_target_has_heard_the_brief():
    story = at_gate("consult", brief="an invoice").gate("target", "accepted").expect("transferring")
    story.joins("target").expect("transferring", "unhold agent").expect_transfer("consulting")


def test_agent_hears_a_target_of_a_ring_group_at_once_since_the_brief_came_before_the_choice():
    story = dialing("consult", BOB, CAROL, brief="an invoice").placed("target-1").gate("target-1")
    story.gate("target-1", "accepted").expect("transferring", "unhold agent")


@pytest.mark.parametrize("decision", ["rejected", "no-confirmation"])
def test_agent_and_customer_talk_again_when_the_target_is_turned_away_at_the_gate(decision):
    story = at_gate("consult", confirm=True).gate("target", decision)
    story.expect("transferring", "unhold customer", "unhold agent").confirms("customer", "agent")
    story.expect("conferenced", "flag agent").expect_held().expect_transfer("failed", decision)


@pytest.mark.parametrize("mode, held", [("monitor", ["hold agent"]), ("whisper", []), ("barge", [])])
def test_agent_hears_ringing_unless_a_supervisor_talks_to_them(mode, held):
    """No one can whisper to a party on hold."""
    story = supervised(mode).transfer("consult", confirm=True).expect("transferring", "hold customer", *held)
    story.confirms("customer").expect("transferring", "dial target to the gate")


def test_customer_is_off_hold_when_the_target_leaves_the_gate():
    story = at_gate("blind", confirm=True).gate("target", "accepted").expect("transferring", "unhold customer")
    story.confirms("customer").leaves("agent").joins("target").expect("conferenced", *FLAGS)


def test_customer_hears_music_again_if_the_target_never_arrives_from_the_gate():
    story = at_gate("blind", confirm=True).leaves("agent").gate("target", "accepted").confirms("customer")
    story.call("target", "completed").expect("transferring", "dial agent to the gate", "hold customer")
    assert story.last.effects[-1].wait_audio == "music"


def test_answer_without_a_join_is_read_soon_if_the_customer_is_on_hold():
    story = dialing("blind").placed("target").call("target", "in-progress")
    assert story.session.timers["dial"] - story.now_ms == 1_000
    story = dialing("consult").placed("target").call("target", "in-progress")
    assert story.session.timers["dial"] - story.now_ms == 5_000


def test_customer_is_held_before_the_target_is_dialed():
    story = conferenced().transfer("consult").expect("transferring", "unflag agent", phase="consult")
    story.confirms("agent").expect("transferring", "hold customer").expect_timers("confirm", "stage")
    assert story.last.effects[-1].wait_audio == "music"
    story.confirms("customer").expect("transferring", "dial target").expect_held("customer").expect_timers()
    assert story.last.effects[0].early_media
    story.takes_part("target").expect("transferring").expect_transfer("consulting").expect_timers()
    story.expect_command("transfer-1", "accepted", "done").expect_held("customer")


def test_consult_of_a_bridged_call_converts_first_and_sets_no_flag():
    story = (
        Scenario().answered().transfer("consult").expect("converting", "move agent").joins("agent").joins("customer")
    )
    story.expect("transferring", "hold customer", phase="consult").confirms("customer")
    story.expect("transferring", "dial target").takes_part("target")
    story.expect_transfer("consulting").expect_held("customer")


def test_complete_lets_the_customer_back_before_the_agent_goes():
    story = talking("consult").complete().expect("transferring", "unhold customer").expect_held("customer")
    story.confirms("customer").expect("transferring", "hang up agent").expect_command("complete-1", "accepted")
    story.leaves("agent").expect("conferenced", "flag customer", "flag agent").expect_held().expect_concluded(COMPLETED)
    story.expect_command("complete-1", "accepted", "done").expect_transfer("completed")
    story.expect_parties(customer="connected", agent="connected", agent_1="left").expect_attempts((BOB, "answered"))


def test_merge_brings_all_three_together():
    story = merged().expect("transferring").expect_command("merge-1", "accepted", "done").expect_transfer("merged")
    story.expect_held().expect_timers().complete().expect("transferring", "hang up agent")
    story.leaves("agent").expect("conferenced", "flag customer", "flag agent").expect_concluded(COMPLETED)


def test_swap_holds_the_one_before_it_lets_the_other_back():
    story = swapped().expect("transferring").expect_command("swap-1", "accepted", "done").expect_held("target")
    story.expect_transfer("consulting")
    story.swap("swap-2").expect("transferring", "hold customer").confirms("customer")
    story.expect("transferring", "unhold target").expect_held("customer", "target").confirms("target")
    story.expect_held("customer").expect_command("swap-2", "accepted", "done")


def test_complete_after_a_swap_lets_the_target_back():
    story = swapped().complete().expect("transferring", "unhold target").confirms("target")
    story.expect("transferring", "hang up agent").leaves("agent").expect(
        "conferenced", "flag customer", "flag agent"
    ).expect_held()


def test_merge_after_a_swap_lets_the_target_back():
    story = swapped().merge().expect("transferring", "unhold target").confirms("target").expect_held()
    story.expect_command("merge-1", "accepted", "done").expect_transfer("merged")


# ---- cancel, and the target leaves -------------------------------------------------------------------------------


def test_cancel_lets_the_customer_back_when_the_target_is_gone():
    """Not before: the customer would hear the end of their talk."""
    story = talking("consult").cancel().expect("transferring", "hang up target").expect_held("customer")
    story.leaves("target").expect("transferring", "unhold customer").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_command(
        "cancel-1", "accepted", "done"
    ).expect_held()
    story.expect_concluded(("transfer", "cancelled", "command"))


def test_cancel_while_the_target_rings():
    story = ringing("consult").cancel().expect("transferring", "hang up target").call("target", "canceled")
    story.expect("transferring", "unhold customer").confirms("customer").expect(
        "conferenced", "flag customer", "flag agent"
    )
    story.expect_command("cancel-1", "accepted", "done")
    story.expect_command("transfer-1", "accepted", "failed", reason="cancelled")


def test_cancel_during_customer_hold_releases_the_hold():
    story = conferenced().transfer("consult").confirms("agent").cancel()
    story.expect("transferring", "unhold customer").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_attempts().expect_command(
        "cancel-1", "accepted", "done"
    )


@pytest.mark.parametrize("begin", [lambda: talking("consult"), swapped], ids=["talking", "swapped"])
def test_target_who_hangs_up_counts_as_cancel(begin):
    story = begin().leaves("target")
    if story.session.parties["customer"].held:
        story.expect("transferring", "unhold customer").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_held().expect_transfer("cancelled", "target-left")
    story.expect_concluded(("transfer", "cancelled", "target-left"))


@pytest.mark.parametrize("status, reason", [("busy", "busy"), ("no-answer", "no-answer"), ("failed", "failed")])
def test_target_who_is_not_reached_lets_the_customer_back(status, reason):
    story = ringing("consult").call("target", status).expect("transferring", "unhold customer").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_command(
        "transfer-1", "accepted", "failed", reason=reason
    )
    story.expect_concluded(("transfer", "failed", reason)).expect_held()


# ---- agent and customer leave ------------------------------------------------------------------------------------


def test_agent_who_hangs_up_in_a_consult_leaves_customer_and_target_together():
    story = talking("consult").leaves("agent").expect("transferring", "unhold customer").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_held().expect_concluded(COMPLETED)


def test_agent_who_hangs_up_after_a_swap_leaves_customer_and_target_together():
    story = swapped().leaves("agent").expect("transferring", "unhold target").confirms("target")
    story.expect("conferenced", "flag customer", "flag agent").expect_held().expect_concluded(COMPLETED)


def test_agent_who_hangs_up_while_the_target_rings_leaves_a_customer_who_hears_ringing():
    """He is held already, with music; ring-back is asked for again."""
    story = ringing("consult").leaves("agent").expect("transferring", phase="blind").expect_held("customer")
    story.call("target", "in-progress").expect("transferring", "unhold customer").joins("target").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_concluded(COMPLETED)


def test_agent_who_hangs_up_while_the_customer_is_being_held():
    story = conferenced().transfer("consult").confirms("agent").leaves("agent").expect("transferring", phase="blind")
    story.confirms("customer").expect("transferring", "dial target").answers("target")
    story.expect("transferring", "unhold customer").joins("target").confirms("customer").expect(
        "conferenced", "flag customer", "flag agent"
    )


@pytest.mark.parametrize(
    "begin, transfer",
    [
        (lambda: talking("consult"), ("failed", "customer-left")),
        (swapped, ("failed", "customer-left")),
        (merged, ("completed", "")),
    ],
    ids=["talking", "swapped", "merged"],
)
def test_customer_hanging_up_releases_everyone(begin, transfer):
    story = begin().leaves("customer").expect("ended", "end room", reason="customer-left")
    story.expect_concluded(("transfer", *transfer), ("session", "ended", "customer-left"))


@pytest.mark.parametrize("options", [{}, {"confirm": True}], ids=["dialed directly", "past the gate"])
def test_agent_who_hangs_up_before_the_answered_target_is_seen_to_join_leaves_a_customer_off_hold(options):
    """On hold, the customer would hear music, and the target nothing, until the join is reported."""
    story = dialing("consult", **options).answers("target").leaves("agent")
    story.expect("transferring", "unhold customer", phase="blind").joins("target").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_concluded(COMPLETED)


def test_complete_while_the_target_rings_lets_the_agent_go():
    story = ringing("consult").complete().expect("transferring", "hang up agent", phase="blind").leaves("agent")
    story.expect("transferring").expect_command("complete-1", "accepted", "done").expect_held("customer")
    story.call("target", "in-progress").expect("transferring", "unhold customer").joins("target").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_command("transfer-1", "accepted", "done")


# ---- what Twilio does not confirm --------------------------------------------------------------------------------


def test_unconfirmed_hold_fails_the_transfer_and_no_one_is_dialed():
    story = conferenced().transfer("consult").confirms("agent").fires(ConfirmOverdue).expect("transferring", "look")
    story.fires(ConfirmOverdue).fires(StageOverdue).expect("transferring", "unhold customer").expect_attempts()
    story.expect_command("transfer-1", "accepted", "failed", reason="hold-failed")
    # A read checks whether the customer is held after all; here they are not.
    update = story.unconfirmed[-1]
    story.is_unknown("update_participant", "customer", update.effect_id).reads(
        conference=CONFERENCE, inside=("customer", "agent")
    )
    story.expect("conferenced", "look", "flag agent").expect_held().expect_concluded(
        ("transfer", "failed", "hold-failed")
    )


def test_hold_that_is_confirmed_too_late_is_undone():
    story = conferenced().transfer("consult").confirms("agent").fires(StageOverdue)
    story.expect("transferring", "unhold customer").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_held().expect_concluded(
        ("transfer", "failed", "hold-failed")
    )


def test_hold_with_a_lost_callback_is_found_by_a_read():
    story = conferenced().transfer("consult").confirms("agent").fires(ConfirmOverdue).expect("transferring", "look")
    story.does("customer")
    story.reads(conference=CONFERENCE, inside=("customer", "agent")).expect("transferring", "dial target").expect_held(
        "customer"
    )


def test_hold_refused_by_twilio_is_requested_again_after_a_read():
    story = conferenced().transfer("consult").confirms("agent")
    story.fails("update_participant", "customer", status=500, effect_id=story.unconfirmed[-1].effect_id)
    story.fires(ConfirmOverdue).expect("transferring", "look").reads(
        conference=CONFERENCE, inside=("customer", "agent")
    )
    story.expect("transferring", "hold customer").confirms("customer").expect("transferring", "dial target")


def test_unconfirmed_unhold_is_read_until_confirmed():
    story = talking("consult").complete().expect("transferring", "unhold customer")
    for _ in range(12):
        story.fires(ConfirmOverdue).expect("transferring", "look").is_unknown("read_calls")
    story.fires(ConfirmOverdue)
    story.fails("update_participant", "customer", status=500, effect_id=story.unconfirmed[-1].effect_id)
    story.reads(conference=CONFERENCE, inside=("customer", "agent", "target")).expect("transferring", "unhold customer")
    story.confirms("customer").expect("transferring", "hang up agent")


def test_swap_with_an_unconfirmed_hold_is_reverted():
    story = talking("consult").swap().fires(ConfirmOverdue).fires(StageOverdue)
    story.expect("transferring", "unhold target")
    story.expect_command("swap-1", "accepted", "failed", reason="hold-failed")
    story.fails("update_participant", "target", status=500, effect_id=story.unconfirmed[-1].effect_id)
    story.reads(conference=CONFERENCE, inside=("customer", "agent", "target")).expect("transferring").expect_held(
        "customer"
    )
    story.swap("swap-2").expect("transferring", "hold target")


def test_swap_whose_hold_is_confirmed_too_late_is_undone():
    story = talking("consult").swap().fires(StageOverdue).expect("transferring", "unhold target")
    story.confirms("target").expect_held("customer").swap("swap-2").expect("transferring", "hold target")


def test_customer_hang_up_seen_only_by_a_read_ends_the_call():
    story = talking("consult").complete().fires(ConfirmOverdue)
    story.reads(
        customer="completed",
        agent="in-progress",
        target="in-progress",
        conference=CONFERENCE,
        inside=("agent", "target"),
    )
    story.expect("ended", "end room", reason="customer-left")


@pytest.mark.parametrize("step, expected", [("swap", "target"), ("complete", ""), ("cancel", "")])
def test_customer_outside_the_conference_without_an_end_is_read(step, expected):
    """His `<Dial>` is over and he can't be unheld; what became of his call is asked."""
    story = talking("consult").dial_ends("completed", dial="conference").expect("transferring")
    getattr(story, step)()
    if step == "cancel":
        story.leaves("target")
    if expected:
        story.confirms(expected)
    story.fires(StageOverdue)
    assert "look" in story.words()
    story.expect_timers("stage")
    story.reads(customer="completed", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    assert story.session.end_reason == "customer-left"


# ---- commands that come at a wrong moment ------------------------------------------------------------------------


@pytest.mark.parametrize("first, name", [("swap", "swap"), ("merge", "merge")])
@pytest.mark.parametrize("second", ["swap", "merge"])
def test_one_step_after_the_other(first, name, second):
    story = getattr(getattr(talking("consult"), first)(), second)("late")
    story.expect_refused("late", f"{name} is still in progress", "convert", "complete", "cancel", "end")


@pytest.mark.parametrize("second", ["complete", "swap", "merge"])
def test_nothing_but_cancel_comes_between_complete_and_the_agents_leaving(second):
    story = getattr(talking("consult").complete(), second)("late")
    story.expect_refused("late", "complete is still in progress", "convert", "cancel", "end")


def test_complete_overtakes_a_swap():
    story = talking("consult").swap().complete().expect("transferring", "unhold customer", "unhold target")
    story.expect_command("swap-1", "accepted", "failed", reason="superseded by complete")
    story.confirms("customer", "target")
    story.expect("transferring", "hang up agent").expect_held()


def test_complete_overtakes_a_merge():
    story = talking("consult").merge().complete().expect("transferring")
    story.expect_command("merge-1", "accepted", "failed", reason="superseded by complete")
    story.confirms("customer").expect("transferring", "hang up agent").expect_held()


@pytest.mark.parametrize("first", ["swap", "merge", "complete"])
def test_cancel_overtakes_a_step(first):
    story = getattr(talking("consult"), first)().cancel().expect("transferring", "hang up target")
    story.expect_command(f"{first}-1", "accepted", "failed", reason="superseded by cancel").leaves("target")
    story.confirms("customer").expect("conferenced", "flag customer", "flag agent").expect_held()
    story.expect_command("cancel-1", "accepted", "done")


@pytest.mark.parametrize("command", ["swap", "merge"])
def test_nothing_to_swap_or_merge_when_all_talk(command):
    story = getattr(merged(), command)("late")
    story.expect_refused(
        "late", "no consult is in progress: all parties are talking", "convert", "complete", "cancel", "end"
    )


def test_all_consult_commands_are_allowed_during_a_consult():
    story = talking("consult").transfer("warm", command_id="late")
    allowed = ("convert", "complete", "cancel", "swap", "merge", "end")
    story.expect_refused("late", "another transfer is in progress", *allowed)


# ---- without callbacks -----------------------------------------------------------------------------------------------


def test_customer_joined_to_an_unreported_target_is_held_before_the_next_dial():
    """Otherwise they would count as hearing music, and would hear the consult."""
    story = blind_from_bridge().placed("target").gate("target").gate("target", "accepted").fires(DialOverdue)
    story.reads(customer="in-progress", target="in-progress", conference=CONFERENCE, inside=("customer", "target"))
    story.expect("conferenced", *FLAGS).confirms("customer", "target")  # who is the agent by now
    story.transfer("consult", CAROL, command_id="consult-1").confirms("target").expect(
        "transferring", "hold customer", phase="consult"
    )


# ---- a swap that Redis has forgotten ---------------------------------------------------------------------------------


def rolled_back_to_before_swap() -> ConferenceScenario:
    """In truth customer and agent talk, and the target is on hold."""
    story = as_conference(talking("consult"))
    story.legs["customer"].held, story.legs["target"].held = False, True
    return as_conference(
        story.sweep_finds("rolled-back", conference="").expect("transferring", "look").expect_timers("leave")
    )


def rolled_back_in_conference() -> ConferenceScenario:
    return as_conference(
        as_conference(conferenced()).sweep_finds("rolled-back", conference="").expect("conferenced", "look")
    )


def shows_all(story: Scenario, **given: int) -> Scenario:
    inside = [name for name in ("customer", "agent", "target") if name in story.session.parties]
    return story.reads(**dict.fromkeys(inside, "in-progress"), conference=CONFERENCE, inside=tuple(inside), **given)


def test_target_held_by_a_lost_swap_is_unheld_after_the_second_read():
    """A late callback reports a part of it, so the first read may be older than what is known."""
    story = rolled_back_to_before_swap()
    began = story.session.version
    story.changes("customer", kind="participant-unhold").expect("transferring", "hold customer").confirms("customer")
    shows_all(story, version=began).expect("transferring", "look")
    shows_all(story).expect("transferring", "unhold target").expect_held("customer", "target")
    story.confirms("target").expect("transferring").expect_held("customer").expect_timers()


@pytest.mark.parametrize("begin", [rolled_back_to_before_swap, rolled_back_in_conference])
def test_reads_after_a_rollback_continue_until_one_is_newer_than_the_session(begin):
    story = begin()
    state = story.session.state.value
    for _ in range(3):
        shows_all(story, version=story.session.facts_version - 1).expect(state, "look")
    story.fails("read_calls").expect(state).fires(LeaveOverdue).expect(state, "look")
    shows_all(story)
    assert "leave" not in story.session.timers


def test_swap_is_not_given_up_before_the_read_that_follows_a_rollback():
    """Redis has forgotten the second half of the swap, and the time of the first half is over."""
    story = as_conference(talking("consult").swap().expect("transferring", "hold target"))
    story.legs["customer"].held, story.legs["target"].held = False, True
    story = as_conference(story.later(5_000)).sweep_finds("rolled-back", conference="").expect("transferring", "look")
    assert story.session.timers["stage"] > story.now_ms
    story.succeeds("update_participant", "target", story.session.parties["target"].update_effect_id)
    shows_all(story, version=story.session.facts_version - 1).expect("transferring", "look")
    shows_all(story).expect("transferring").expect_held("target").expect_command("swap-1", "accepted", "done")


def test_target_whom_twilio_refuses_to_hang_up_is_hung_up_again_later_and_later():
    story = talking("consult").cancel().expect("transferring", "hang up target")
    waits_s = []
    for _ in range(10):
        hang_up = next(effect for effect in reversed(story.effects) if effect.kind == "hang_up_call")
        story.fails("hang_up_call", "target", effect_id=hang_up.effect_id)
        waits_s.append((story.session.timers["stage"] - story.now_ms) // 1000)
        story.fires(StageOverdue).expect("transferring", "look", "hang up target")
        story.reads(conference=CONFERENCE, inside=("customer", "agent", "target"), target="in-progress")
    assert waits_s == [2, 2, 2, 2, 2, 2, 4, 8, 16, 32]
    story.leaves("target").expect("transferring", "unhold customer")


def test_target_who_is_gone_stays_as_they_are_when_another_is_hung_up_again():
    story = succeeds_all(dialing("consult", BOB, CAROL).placed("target-2").takes_part("target-1"))
    gone = story.call("target-2", "canceled").cancel().session.parties["target-2"]
    assert story.fires(StageOverdue).session.parties["target-2"] == gone
