"""Warm transfers: the target joins customer and agent, all three talk, and the agent leaves."""

import pytest

from conferral.statemachine.events import ConfirmOverdue, End, StageOverdue
from tests.statemachine.call_legs import unanswered
from tests.statemachine.scenario import BOB, CAROL, CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, conferenced, dialing, ringing, talking

COMPLETED = ("transfer", "completed", "")


def test_warm_transfer_out_of_a_conference():
    story = conferenced().transfer("warm").expect("transferring", "unflag agent", phase="warm")
    story.expect_timers("confirm", "stage").expect_command("transfer-1", "accepted")
    story.confirms("agent").expect("transferring", "dial target").expect_timers().expect_transfer("dialing")
    assert story.last.effects[0].early_media  # the agent hears it ring
    assert story.last.effects[0].conference == CONFERENCE
    story.placed("target").call("target", "ringing").expect_transfer("ringing")
    story.call("target", "in-progress").joins("target").expect("transferring", phase="warm").expect_timers()
    story.expect_transfer("merged").expect_command("transfer-1", "accepted", "done").expect_concluded()
    story.complete().expect("transferring", "hang up agent").expect_command("complete-1", "accepted")
    story.leaves("agent").expect("conferenced", "flag agent").expect_command("complete-1", "accepted", "done")
    story.expect_transfer("completed").expect_concluded(COMPLETED).expect_attempts((BOB, "answered"))
    story.expect_parties(customer="connected", agent="connected", agent_1="left")
    assert story.session.parties["agent"].label == "target-1"
    story.confirms("target").expect_timers()  # the leg that was dialed as the target


def test_warm_transfer_of_a_bridged_call_converts_first():
    story = Scenario().answered().transfer("warm").expect("converting", "move agent").expect_timers("convert")
    story.expect_command("transfer-1", "accepted").joins("agent").dial_ends("completed").joins("customer")
    # The agent is to be able to leave: his flag is not set only to be cleared again.
    story.expect("transferring", "dial target", "flag customer", phase="warm")
    story.confirms("customer").takes_part("target").expect_transfer("merged")
    story.expect_command("transfer-1", "accepted", "done")


def test_transfer_requested_during_conversion_begins_when_both_have_joined():
    story = (
        Scenario().answered().convert().transfer("warm").expect("converting").expect_command("transfer-1", "accepted")
    )
    story.joins("agent").joins("customer").expect("transferring", "dial target", "flag customer")
    story.expect_command("convert-1", "accepted", "done")


def test_transfer_also_begins_when_its_conversion_is_found_by_a_read():
    story = Scenario().answered().transfer("warm")
    story.legs["customer"].in_conference = story.legs["agent"].in_conference = True
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("transferring", "dial target", "flag customer")


def test_transfer_whose_conversion_is_refused_leaves_the_two_talking():
    story = Scenario().answered().transfer("warm").fails("redirect_call", "agent", code=21218).expect("bridged")
    story.expect_command("transfer-1", "accepted", "failed", reason="Twilio refused (HTTP 400, code 21218)")
    story.expect_transfer("failed", "Twilio refused (HTTP 400, code 21218)").expect_timers()
    story.expect_concluded(("transfer", "failed", "Twilio refused (HTTP 400, code 21218)"))
    story.transfer("warm", command_id="transfer-2").expect("converting", "move agent")


@unanswered
def test_target_who_is_not_reached_leaves_agent_and_customer_talking(status, sip, reason):
    story = ringing("warm").call("target", status, sip=sip).expect("conferenced", "flag agent")
    story.expect_command("transfer-1", "accepted", "failed", reason=reason).expect_transfer("failed", reason)
    story.expect_concluded(("transfer", "failed", reason)).expect_attempts((BOB, reason)).expect_held()
    story.confirms("agent").expect("conferenced").expect_timers()


def test_target_who_hangs_up_counts_as_cancel():
    story = talking("warm").leaves("target").expect("conferenced", "flag agent")
    story.expect_transfer("cancelled", "target-left").expect_concluded(("transfer", "cancelled", "target-left"))
    story.expect_command("transfer-1", "accepted", "done")


def test_agent_who_hangs_up_counts_as_complete():
    story = talking("warm").leaves("agent").expect("conferenced", "flag agent").expect_transfer("completed")
    story.expect_parties(customer="connected", agent="connected", agent_1="left").expect_concluded(COMPLETED)


def test_customer_hanging_up_releases_everyone():
    """The target had the customer, so the transfer is completed."""
    story = talking("warm").leaves("customer").expect("ended", "end room", reason="customer-left")
    story.expect_transfer("completed").expect_concluded(COMPLETED, ("session", "ended", "customer-left"))


def test_customer_hanging_up_while_the_agent_is_released_completes_the_transfer():
    story = talking("warm").complete().leaves("customer").expect("ended", "end room")
    story.expect_command("complete-1", "accepted", "done")
    story.expect_concluded(COMPLETED, ("session", "ended", "customer-left"))


def test_customer_hanging_up_while_the_target_is_released_fails_the_transfer():
    story = talking("warm").cancel().leaves("customer")
    story.expect_concluded(("transfer", "failed", "customer-left"), ("session", "ended", "customer-left"))


def test_customer_who_hangs_up_while_the_target_rings_lets_the_target_go_by_its_own_call():
    """Ending a conference does not reach a phone that rings."""
    story = ringing("warm").leaves("customer").expect("ended", "end room", "hang up target", reason="customer-left")
    story.expect_command("transfer-1", "accepted", "failed", reason="customer-left")
    story.expect_attempts((BOB, "cancelled"))


def test_agent_who_hangs_up_while_the_target_rings_has_made_it_a_blind_transfer():
    story = ringing("warm").leaves("agent").expect("transferring", "hold customer", phase="blind")
    assert story.last.effects[-1].wait_audio == "ringback"
    story.confirms("customer").expect("transferring").expect_held("customer")
    story.call("target", "in-progress").expect("transferring", "unhold customer").joins("target")
    story.confirms("customer").expect("conferenced", "flag customer", "flag agent").expect_transfer(
        "completed"
    ).expect_held()
    story.expect_command("transfer-1", "accepted", "done").expect_concluded(COMPLETED)
    story.expect_parties(customer="connected", agent="connected", agent_1="left")


def test_complete_while_the_target_rings_lets_the_agent_go_at_once():
    story = ringing("warm").complete().expect("transferring", "hold customer", phase="blind")
    story.confirms("customer").expect("transferring", "hang up agent").expect_command("complete-1", "accepted")
    story.leaves("agent").expect("transferring").expect_command("complete-1", "accepted", "done")
    story.call("target", "in-progress").expect("transferring", "unhold customer").joins("target")
    story.confirms("customer").expect("conferenced", "flag customer", "flag agent").expect_transfer("completed")
    story.expect_command("transfer-1", "accepted", "done")


def test_cancel_while_the_target_rings_stops_it():
    story = ringing("warm").cancel().expect("transferring", "hang up target").expect_command("cancel-1", "accepted")
    story.expect_command("transfer-1", "accepted", "failed", reason="cancelled")
    story.call("target", "canceled").expect("conferenced", "flag agent").expect_command("cancel-1", "accepted", "done")
    story.expect_transfer("cancelled", "command").expect_concluded(("transfer", "cancelled", "command"))
    story.expect_attempts((BOB, "cancelled"))


def test_cancel_before_the_targets_call_is_known_hangs_it_up_as_soon_as_it_is():
    story = dialing("warm").cancel().expect("transferring").placed("target").expect("transferring", "hang up target")
    story.call("target", "completed").expect("conferenced", "flag agent").expect_command("cancel-1", "accepted", "done")


def test_cancel_while_all_three_talk_lets_the_target_go():
    story = talking("warm").cancel().expect("transferring", "hang up target")
    story.leaves("target").expect("conferenced", "flag agent").expect_command("cancel-1", "accepted", "done")
    story.expect_concluded(("transfer", "cancelled", "command"))


def test_cancel_before_any_dial():
    story = conferenced().transfer("warm").cancel().expect("conferenced").expect_command("cancel-1", "accepted", "done")
    story.expect_concluded(("transfer", "cancelled", "command"))
    # The flag that was to be cleared is wanted again; what was asked is awaited first.
    story.confirms("agent").expect("conferenced", "flag agent").confirms("agent").expect_timers()


def test_cancel_while_it_converts_leaves_both_in_the_conference():
    story = Scenario().answered().transfer("warm").cancel().expect("converting")
    story.expect_command("transfer-1", "accepted", "failed").expect_command("cancel-1", "accepted", "done")
    story.joins("agent").joins("customer").expect("conferenced", *FLAGS)
    story.expect_concluded(("transfer", "cancelled", "command"))


def test_complete_during_conversion_continues_as_blind():
    story = Scenario().answered().transfer("warm").complete().expect("converting").joins("agent").joins("customer")
    story.expect("transferring", "hold customer", phase="blind").confirms("customer")
    story.expect("transferring", "hang up agent", "dial target")


def test_flag_not_confirmed_by_twilio_fails_the_transfer_and_no_one_is_dialed():
    story = conferenced().transfer("warm").fires(ConfirmOverdue).expect("transferring", "look")
    story.is_unknown("read_calls").fires(ConfirmOverdue).expect("transferring", "look")
    story.fires(StageOverdue).expect("conferenced")
    story.expect_command("transfer-1", "accepted", "failed", reason="end-flag-unconfirmed").expect_attempts()
    story.expect_concluded(("transfer", "failed", "end-flag-unconfirmed"))


def test_flag_with_lost_callback_is_found_by_a_read():
    story = conferenced().transfer("warm").fires(ConfirmOverdue).expect("transferring", "look")
    story.does("agent")
    story.reads(conference=CONFERENCE, inside=("customer", "agent")).expect("transferring", "dial target")


def test_agent_hanging_up_before_their_flag_is_cleared_ends_the_conference():
    """The customer's action leads into a fresh conference, to wait there for the target."""
    story = conferenced().transfer("warm").conference_ends(by="agent").expect("transferring", phase="blind")
    story.expect_timers("stage").joins("customer", conference=OTHER_CONFERENCE, starts=False).expect(
        "transferring", "dial target"
    )
    assert story.last.effects[0].conference == OTHER_CONFERENCE
    assert not story.last.effects[0].early_media  # the customer has ring-back of his own
    story.placed("target").call("target", "in-progress").joins("target", conference=OTHER_CONFERENCE)
    story.expect("conferenced", *FLAGS).expect_concluded(COMPLETED)


def test_agent_leave_may_be_reported_before_the_conference_end():
    story = conferenced().transfer("warm").leaves("agent").expect("transferring", "hold customer", phase="blind")
    story.conference_ends(by="agent").expect("transferring")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("transferring", "dial target")


def test_customer_moved_away_externally_leaves_no_one_in_silence():
    """The customer's call continues elsewhere, controlled by another app: it is left alone; all others are hung up."""
    story = ringing("warm").leaves("customer", status="in-progress", reason="participant_updated_via_api")
    story.expect("ended", "end room", "hang up target", reason="moved")


def test_second_transfer_after_a_completed_one_is_the_new_agents():
    story = talking("warm").complete().leaves("agent").confirms("target").expect_timers()
    story.transfer("warm", CAROL, command_id="transfer-2").expect("transferring", "unflag agent")
    story.confirms("target").expect("transferring", "dial target").takes_part("target").complete("complete-2")
    assert story.last.effects[0].call_sid == story.legs["former target"].call_sid
    story.leaves("former target").expect("conferenced", "flag agent")
    story.expect_parties(customer="connected", agent="connected", agent_1="left", agent_2="left")
    assert [party.label for party in story.session.parties.values()] == [
        "customer-1",
        "agent-1",
        "target-1",
        "target-2",
    ]
    assert [one.id.rpartition(":")[2] for one in story.outcome_records] == ["transfer-1", "transfer-2"]


def test_later_session_with_the_id_of_an_expired_one_has_outcome_records_of_its_own():
    stories = [Scenario(session_id="order-7"), Scenario(session_id="order-7")]
    stories[1].now_ms += 90_000
    for story in stories:
        story.answered().command(End, "end-1")
    first, later = (story.outcome_records[-1].id for story in stories)
    assert first != later


def test_second_transfer_after_a_failed_one_dials_again():
    story = ringing("warm").call("target", "busy").confirms("agent")
    story.transfer("warm", command_id="transfer-2").confirms("agent").expect("transferring", "dial target")
    story.expect_parties(customer="connected", agent="connected", target_1="left", target="dialing")
    assert story.session.parties["target"].label == "target-2"
    story.call("former target", "ringing").expect("transferring", "hang up target-1").takes_part("target")
    story.expect_transfer("merged").expect_attempts((BOB, "answered"))


# ---- commands that come at a wrong moment ------------------------------------------------------------------------

ANY_TIME = ("convert", "end")


@pytest.mark.parametrize("command, why", [
    ("transfer", "another transfer is in progress"),
    ("swap", "the target has not answered yet"),
    ("merge", "the target has not answered yet"),
])  # fmt: skip
def test_refused_while_the_target_rings(command, why):
    story = ringing("warm")
    give = {"transfer": lambda: story.transfer("blind", command_id="late")}.get(command) or (
        lambda: getattr(story, command)("late")
    )
    give().expect_refused("late", why, "convert", "complete", "cancel", "end")


@pytest.mark.parametrize("command", ["swap", "merge"])
def test_swap_and_merge_are_refused_when_all_three_talk(command):
    story = getattr(talking("warm"), command)("late")
    story.expect_refused(
        "late", "no consult is in progress: all parties are talking", "convert", "complete", "cancel", "end"
    )


@pytest.mark.parametrize("command", ["complete", "cancel", "swap", "merge"])
def test_refused_when_the_agent_is_on_the_way_out(command):
    story = getattr(talking("warm").complete(), command)("late")
    story.expect_refused("late", "the agent has left or is leaving", *ANY_TIME)


@pytest.mark.parametrize("command", ["complete", "cancel", "swap", "merge"])
def test_refused_when_the_target_is_on_the_way_out(command):
    story = getattr(talking("warm").cancel(), command)("late")
    story.expect_refused("late", "the transfer is already ending", *ANY_TIME)


@pytest.mark.parametrize("command", ["complete", "cancel", "swap", "merge"])
@pytest.mark.parametrize("story", [lambda: Scenario().answered(), conferenced, lambda: Scenario().answered().convert()],
                         ids=["bridged", "conferenced", "converting"])  # fmt: skip
def test_refused_without_a_transfer(story, command):
    story = getattr(story(), command)("late")
    story.expect_refused("late", "no transfer is in progress", "convert", "transfer", "end")


def test_transfer_is_refused_before_anyone_has_answered():
    Scenario().comes_in().transfer("warm").expect_refused("transfer-1", "no one has answered yet", "end")


def test_transfer_is_refused_when_the_agent_has_left_the_conference():
    story = conferenced().leaves("agent").transfer("warm")
    story.expect_refused("transfer-1", "one of the two parties has hung up", "convert", "end")


def test_end_of_a_running_transfer_hangs_up_everyone():
    story = ringing("warm").end().expect("ended", "end room", "hang up target", reason="command")
    story.expect_command("transfer-1", "accepted", "failed", reason="command")
    story.expect_concluded(("transfer", "cancelled", "command"), ("session", "ended", "command"))
