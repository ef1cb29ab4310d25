"""Stories of someone who is removed: each party, in each state, and what becomes of the others."""

import pytest

from conferral.statemachine.events import LoneOverdue, Park, PendingCommandOverdue
from tests.statemachine.command_scenarios import added, ordering, refused_because
from tests.statemachine.conference_scenarios import called, waiting, waiting_at_gate
from tests.statemachine.scenario import BOB, CAROL, CONFERENCE, OTHER_CONFERENCE, OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import (
    FLAGS,
    blind_from_bridge,
    dialing,
    outbound,
    ringing,
    succeeds_all,
    talking,
)

# ---- over the bridge and on the way ------------------------------------------------------------------------------


def test_customer_who_is_removed_ends_a_bridged_call():
    story = ordering(Scenario().answered).remove("customer").expect("ended", "hang up customer", "hang up agent")
    story.expect_command("remove-1", "accepted").succeeds("hang_up_call", effect_id=story.effects[-2].effect_id)
    story.expect_command("remove-1", "accepted").succeeds("hang_up_call", effect_id=story.effects[-1].effect_id)
    story.expect_command("remove-1", "accepted", "done")
    assert story.session.end_reason == "command"


def test_removing_the_agent_hangs_them_up_and_ends_the_bridge():
    story = ordering(Scenario().answered).remove("agent").expect("bridged", "hang up agent").dial_ends("completed")
    story.expect("ended", reason="agent-left").expect_command("remove-1", "accepted", "done")


def test_agent_of_an_outbound_call_who_is_removed_takes_the_customer_along():
    story = ordering(outbound).remove("agent").expect("bridged", "hang up agent").call("agent", "completed")
    story.expect("ended", reason="agent-left").expect_command("remove-1", "accepted", "done")


def test_ringing_agent_is_hung_up_once_the_call_is_known():
    story = ordering(Scenario().comes_in).remove("agent").expect("bridged").call("agent", "initiated")
    story.expect("bridged", "hang up agent").call("agent", "canceled").dial_ends("no-answer")
    story.expect("ended").expect_command("remove-1", "accepted", "done")


@pytest.mark.parametrize("is_found", [True, False])
@pytest.mark.parametrize("is_unknown_first", [True, False])
def test_agent_who_is_removed_while_no_one_knows_whether_their_phone_rings_ends_it(is_unknown_first, is_found):
    story = ordering(Scenario(session_id=OUTBOUND).calls_out)
    if is_unknown_first:
        story.unknown_outcome("agent").remove("agent")
    else:
        story.remove("agent").unknown_outcome("agent")
    story.expect("bridged", "find agent")
    if is_found:
        story.found("agent").expect("bridged", "hang up agent").call("agent", "canceled")
    else:
        story.found("agent", call_sid="")
    story.expect("ended", reason="agent-failed").expect_command("remove-1", "accepted", "done")
    story.expect_command("call-1", "accepted", "failed", reason="agent-failed")


def test_agent_who_is_removed_before_the_caller_has_joined_is_not_dialed():
    story = called(other_agents=(BOB,)).remove("agent").expect("conferenced").joins("customer", starts=False)
    story.expect("conferenced", "dial agent").expect_command("remove-1", "accepted", "done")
    assert story.session.parties["agent"].address == BOB


@pytest.mark.parametrize("begin", [waiting, waiting_at_gate])
@pytest.mark.parametrize("is_removed_first", [True, False])
@pytest.mark.parametrize("is_hung_up_first", [True, False])
def test_agent_who_is_removed_while_the_caller_loses_the_conference_is_not_dialed_again(
    begin, is_removed_first, is_hung_up_first
):
    story = begin().placed("agent").call("agent", "ringing")
    story = story.remove("agent").conference_ends() if is_removed_first else story.conference_ends().remove("agent")
    dials = story.session.dials
    if is_hung_up_first:
        story.call("agent", "canceled")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False)
    if not is_hung_up_first:
        story.expect("conferenced").call("agent", "canceled")
    story.expect_command("remove-1", "accepted", "done")
    if begin is waiting:
        story.expect("ended", "say goodbye to customer")
        assert story.session.dials == dials
    else:
        story.expect("conferenced", "dial agent to the gate")  # the other agent
        assert (story.session.dials, story.session.agent_number) == (dials + 1, 1)


def test_agent_who_is_removed_while_it_converts_ends_it():
    story = ordering(Scenario().answered().convert).remove("agent").expect("converting", "hang up agent")
    story.call("agent", "completed").expect("converting").joins("customer")
    story.expect("ended", "end room", "hang up customer")
    story.expect_command("remove-1", "accepted", "done").expect_command("convert-1", "accepted", "failed")


def test_customer_who_is_removed_while_it_converts_ends_it():
    ordering(Scenario().answered().convert).remove("customer").expect("ended", "hang up customer", "hang up agent")


def test_agent_who_is_removed_while_it_converts_for_a_transfer_has_handed_over():
    story = ordering(Scenario().answered).transfer("warm").remove("agent").expect("converting")
    story.joins("agent").joins("customer").expect("transferring", "hold customer", phase="blind").confirms("customer")
    story.expect("transferring", "hang up agent", "dial target").leaves("agent")
    story.expect_command("remove-1", "accepted", "done")


def test_agent_who_is_removed_while_it_converts_for_a_park_is_hung_up():
    story = ordering(Scenario().answered).convert().command(Park, "park-1")
    story.remove("agent").expect("converting", "hang up agent")


# ---- in a conference ---------------------------------------------------------------------------------------------


def test_customer_who_is_removed_ends_the_conference():
    story = ordering().remove("customer").expect("ended", "end room", reason="command")
    succeeds_all(story).expect_command("remove-1", "accepted", "done")


def test_customer_who_is_removed_ends_a_conference_of_many_too():
    added().remove("customer").expect("ended", "end room", reason="command")


def test_agent_who_is_removed_leaves_the_customer_alone():
    story = ordering().remove("agent").expect("conferenced", "hang up agent").expect_command("remove-1", "accepted")
    story.leaves("agent").expect_command("remove-1", "accepted", "done").expect_timers("lone").fires(LoneOverdue)
    story.expect("ended", "end room", reason="agent-left")


@pytest.mark.parametrize("name", ["agent", "lawyer"])
def test_one_of_many_who_is_removed_leaves_the_others_talking(name):
    story = added().remove(name).expect("conferenced", f"hang up {name}").leaves(name).expect("conferenced")
    story.expect_timers().expect_command("remove-1", "accepted", "done").expect_no_orders()


def test_party_is_named_by_its_call_too():
    story = added()
    story.remove(story.legs["lawyer"].call_sid).expect("conferenced", "hang up lawyer")


def test_participant_of_foreign_origin_may_be_removed():
    story = ordering().joins("guest").remove("guest-1").expect("conferenced", "hang up guest-1").leaves("guest")
    story.expect_command("remove-1", "accepted", "done")


def test_party_that_rings_stops_ringing():
    story = ordering().add().confirms("customer", "agent").placed("lawyer").remove("lawyer")
    story.expect("conferenced", "hang up lawyer").call("lawyer", "canceled").expect("conferenced").expect_timers()
    story.expect_command("remove-1", "accepted", "done")
    story.expect_command("add-1", "accepted", "failed", reason="cancelled")


def test_party_whose_call_is_not_known_yet_is_hung_up_as_soon_as_it_is():
    story = ordering().add().confirms("customer", "agent").remove("lawyer").expect("conferenced")
    story.placed("lawyer").expect("conferenced", "hang up lawyer").call("lawyer", "canceled")
    story.expect_command("remove-1", "accepted", "done").expect_timers()


def test_added_party_that_is_removed_before_it_is_dialed_is_not_dialed():
    story = ordering().add().remove("lawyer").expect("conferenced").expect_command("remove-1", "done")
    story.expect_command("add-1", "accepted", "failed", reason="cancelled").expect_no_orders()
    story.confirms("customer", "agent").expect("conferenced").expect_timers()
    story.add(command_id="add-2").expect("conferenced", "dial lawyer")


def test_supervisor_who_is_removed_before_the_dial_is_not_dialed():
    story = ordering().supervise().remove("supervisor").expect_command("remove-1", "done")
    story.expect_command("supervise-1", "accepted", "failed", reason="cancelled").expect_no_orders()
    story.confirms("customer").expect("conferenced", "flag customer")
    story.confirms("agent").expect("conferenced", "flag agent")


@pytest.mark.parametrize("name", ["lawyer", "supervisor"])
def test_party_that_is_removed_while_its_dial_waits_for_a_conversion_is_not_dialed(name):
    story = ordering(Scenario().answered)
    story = story.add() if name == "lawyer" else story.supervise()
    story.remove(name).expect("converting").expect_command("remove-1", "done")
    story.joins("agent").joins("customer").expect("conferenced", *FLAGS).expect_no_orders()


def test_party_that_is_removed_before_it_is_dialed_leaves_other_dials_to_come():
    story = ordering().add().add("expert", "add-2", to=CAROL).remove("lawyer")
    story.confirms("customer", "agent").expect("conferenced", "dial expert")


def test_party_that_is_removed_before_its_dial_in_a_transfer_leaves_the_transfer():
    story = ordering().add().transfer("warm").remove("lawyer").expect("transferring").expect_command("remove-1", "done")
    story.confirms("customer", "agent").expect("transferring", "dial target")


def test_removed_agent_need_not_wait_for_the_dial_of_one_who_is_removed_too():
    story = ordering().add().remove("agent").expect("conferenced").remove("lawyer", "remove-2")
    story.expect("conferenced", "hang up agent")


def test_removed_party_dialed_with_unknown_outcome_is_hung_up_if_it_appears():
    story = ordering().add(confirm=True).confirms("customer", "agent").unknown_outcome("lawyer").remove("lawyer")
    story.expect("conferenced", "find lawyer").expect_command("remove-1", "accepted", "done").expect_timers()
    story.call("lawyer", "ringing").expect("conferenced", "hang up lawyer")


def test_party_at_the_gate_is_hung_up():
    story = ordering().add(confirm=True).confirms("customer", "agent").placed("lawyer").gate("lawyer").remove("lawyer")
    story.expect("conferenced", "hang up lawyer").gate("lawyer", "too-late")
    story.expect_command("remove-1", "accepted", "done").expect_timers()


def test_party_that_comes_in_although_it_is_to_go_is_hung_up_once_more():
    story = ordering().add().confirms("customer", "agent").placed("lawyer").remove("lawyer").joins("lawyer")
    story.expect("conferenced", "hang up a call").call("lawyer", "completed")
    story.expect_command("remove-1", "accepted", "done").expect_timers()


def test_hang_up_without_callbacks_is_verified():
    """The customer is not left alone for a lost callback."""
    story = (
        ordering()
        .remove("agent")
        .expect_timers("pending_command")
        .fires(PendingCommandOverdue)
        .expect("conferenced", "look")
    )
    story.expect_command("remove-1", "accepted").expect_timers("pending_command")
    story.reads(agent="completed", customer="in-progress", conference=CONFERENCE, inside=("customer",)).expect_timers(
        "lone"
    )
    story.expect_command("remove-1", "accepted", "done")


@pytest.mark.parametrize("begin", [lambda: Scenario().answered(), lambda: Scenario().answered().convert()])
def test_hang_up_without_callbacks_is_verified_where_there_is_no_conference(begin):
    story = ordering(begin).remove("agent")
    state = story.session.state.value
    story.fires(PendingCommandOverdue).expect(state, "look").expect_command("remove-1", "accepted")
    assert "pending_command" in story.session.timers


def test_agent_removed_before_the_target_is_dialed_hands_over_blind():
    story = ordering().transfer("warm").expect("transferring", "unflag agent", phase="warm")
    story.remove("agent").expect("transferring", phase="blind").expect_command("remove-1", "accepted")


def test_hang_up_that_a_read_does_not_show_either_is_given_up():
    story = ordering().remove("agent").fires(PendingCommandOverdue)
    story.reads(agent="in-progress", customer="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    story.fires(PendingCommandOverdue)
    story.expect_command("remove-1", "accepted", "failed", reason="unknown: Twilio did not confirm it")


def test_second_remove_of_one_is_done_with_the_first():
    story = added().remove("lawyer").remove("lawyer", "again").expect("conferenced").leaves("lawyer")
    story.expect_command("remove-1", "accepted", "done").expect_command("again", "accepted", "done")


def test_party_that_left_cannot_be_removed():
    refused_because(added().leaves("lawyer").remove("lawyer"), "remove-1", "no such party; parties: customer, agent")


def test_end_completes_a_pending_remove():
    added().remove("lawyer").end().expect("ended", "end room").expect_command("remove-1", "accepted", "done")


# ---- in a transfer -----------------------------------------------------------------------------------------------


def _flags_after(mode: str) -> tuple[str, ...]:
    """Those that are set again: a customer who was on hold has lost theirs."""
    return FLAGS if mode == "consult" else ("flag agent",)


@pytest.mark.parametrize("mode", ["warm", "consult"])
def test_agent_who_is_removed_from_a_transfer_has_completed_it(mode):
    story = ordering(talking, mode).remove("agent")
    if mode == "consult":
        story.expect("transferring", "unhold customer").confirms("customer")
    story.expect("transferring", "hang up agent").leaves("agent").expect("conferenced", *_flags_after(mode))
    story.expect_command("remove-1", "accepted", "done").expect_transfer("completed")


@pytest.mark.parametrize("mode", ["warm", "consult"])
def test_agent_who_is_removed_while_it_rings_makes_it_a_blind_one(mode):
    story = ordering(ringing, mode).remove("agent")
    if mode == "warm":
        story.expect("transferring", "hold customer", phase="blind").confirms("customer")
    assert "hang up agent" in story.words()
    story.leaves("agent").expect_command("remove-1", "accepted", "done").call("target", "in-progress")
    story.expect("transferring", "unhold customer").joins("target").confirms("customer").expect("conferenced", *FLAGS)


@pytest.mark.parametrize("mode", ["warm", "consult"])
@pytest.mark.parametrize("begin", [ringing, talking])
def test_target_who_is_removed_has_cancelled_it(begin, mode):
    story = ordering(begin, mode).remove("target").expect("transferring", "hang up target")
    story.call("target", "completed")
    if mode == "consult":
        story.expect("transferring", "unhold customer").confirms("customer")
    story.expect("conferenced", *_flags_after(mode)).expect_transfer("cancelled", "command")
    story.expect_command("remove-1", "accepted", "done").expect_held()


def test_one_of_several_who_is_removed_stops_ringing_and_the_other_may_still_take_it():
    story = ordering(dialing, "warm", BOB, CAROL).placed("target-1").placed("target-2").remove("target-1")
    story.expect("transferring", "hang up target-1").call("target-1", "canceled").expect("transferring")
    story.expect_command("remove-1", "accepted", "done").gate("target-2").gate("target-2", "accepted")
    story.joins("target-2").expect("transferring").expect_transfer("merged")


def test_all_of_several_who_are_removed_fail_the_transfer():
    story = ordering(dialing, "warm", BOB, CAROL).placed("target-1").placed("target-2")
    story.remove("target-1").remove("target-2", "remove-2").call("target-1", "canceled").call("target-2", "canceled")
    story.expect("conferenced", "flag agent").expect_command("transfer-1", "accepted", "failed", reason="cancelled")
    story.expect_command("remove-1", "accepted", "done").expect_command("remove-2", "accepted", "done")


def test_agent_who_was_released_is_not_removed_again():
    story = ordering(blind_from_bridge).placed("target").remove("agent")
    refused_because(story, "remove-1", "no such party; parties: customer, target")


def test_target_whom_the_agent_left_with_the_customer_is_not_removed():
    for story in (ordering(talking, "warm").complete(), ordering(talking, "consult").leaves("agent")):
        refused_because(story.remove("target"), "remove-1", "the agent has left or is leaving")


def test_fallback_follows_a_target_who_is_removed_after_the_agent_was_released():
    story = ordering(blind_from_bridge).placed("target").remove("target").expect("transferring", "hang up target")
    refused_because(story.remove("target", "remove-2"), "remove-2", "the agent has left or is leaving")
    story.call("target", "canceled").expect("transferring", "dial agent to the gate", phase="recall")
    story.expect_command("remove-1", "accepted", "done").expect_command("transfer-1", "accepted", "failed")


def test_customer_who_is_removed_ends_a_transfer():
    story = ordering(talking, "consult").remove("customer").expect("ended", "end room", reason="command")
    story.expect_transfer("cancelled", "command")


def test_party_the_transfer_does_not_depend_on_is_simply_hung_up():
    story = added().transfer("warm").takes_part("target").remove("lawyer").expect("transferring", "hang up lawyer")
    story.leaves("lawyer").expect("transferring").expect_command("remove-1", "accepted", "done")
    story.expect_transfer("merged")


def test_transfer_may_complete_while_the_lawyer_is_being_released():
    story = added().transfer("warm").takes_part("target").remove("lawyer").leaves("agent").expect("conferenced")
    story.leaves("lawyer").expect("conferenced").expect_command("remove-1", "accepted", "done").expect_timers()


@pytest.mark.parametrize("is_unknown_first", [True, False])
def test_search_for_a_removed_party_is_repeated_by_an_end_that_comes_before_its_result(is_unknown_first):
    """What was not done before the end is dropped; the phone may be ringing."""
    story = ordering().add(confirm=True).confirms("customer", "agent")
    story = story.unknown_outcome("lawyer").remove("lawyer") if is_unknown_first else story.remove("lawyer")
    story = story if is_unknown_first else story.unknown_outcome("lawyer")
    story.expect("conferenced", "find lawyer").end()
    story.expect("ended", "end room", "find lawyer")
    story.found("lawyer").expect("ended", "hang up a call")


def test_search_that_must_have_a_result_by_now_is_not_repeated_by_the_end():
    story = ordering().add(confirm=True).confirms("customer", "agent").unknown_outcome("lawyer").remove("lawyer")
    story.later(30_000).end().expect("ended", "end room")


def test_added_party_with_a_name_like_a_targets_was_not_cancelled():
    story = ordering().add("targeted").confirms("customer", "agent").takes_part("targeted").remove("targeted")
    story.call("targeted", "completed")
    assert story.session.parties["targeted"].left_reason == "completed"
