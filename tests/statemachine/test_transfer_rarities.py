"""Rare events during a transfer: another conference, refusals before the start, and commands between two steps."""

import pytest

from conferral.statemachine.events import AgeOverdue, ConferenceStarted, ReadOverdue
from conferral.statemachine.parts import ConferenceAttributes
from tests.statemachine.command_scenarios import ordering, recorded, recorded_conference, supervised
from tests.statemachine.conference_scenarios import browser, parked_from_bridge, retrieving
from tests.statemachine.scenario import BOB, CONFERENCE, OTHER_CONFERENCE
from tests.statemachine.test_recovery import with_leg
from tests.statemachine.transfer_scenarios import FLAGS, blind_from_bridge, conferenced, dialing, talking


def test_start_of_another_conference_does_not_move_the_transfer_there():
    story = talking("consult")
    story.take(ConferenceStarted(**story.common(OTHER_CONFERENCE, 1), conference_sid=OTHER_CONFERENCE)).expect(
        "transferring"
    )
    assert story.session.conference_sid == CONFERENCE


def test_late_join_of_the_agent_does_not_undo_the_leave():
    story = dialing("warm").placed("target").call("target", "ringing")
    last = story.sequences[CONFERENCE]
    story.leaves("agent", sequence=last + 2).expect("transferring", "hold customer", phase="blind")
    story.joins("agent", sequence=last + 1).expect("transferring", outcome="stale", phase="blind")
    assert not story.session.parties["agent"].in_conference


@pytest.mark.parametrize("code", [16001, 16099])
def test_target_who_can_not_be_added_before_the_start_is_dialed_as_a_call_of_its_own(code):
    story = blind_from_bridge().expect("transferring", "dial target")
    story.refused("target", code=code).expect("transferring", "dial target to the gate").expect_transfer("dialing")
    assert not story.session.parties["target"].early_media
    story.takes_part("target").expect("conferenced", "flag customer", "flag agent").expect_attempts((BOB, "answered"))


@pytest.mark.parametrize("code, is_alone", [(16001, True), (16099, True), (20001, True), (16099, False)])
def test_customer_who_can_not_be_held_before_the_start_is_moved_to_hear_music(code, is_alone):
    story = conferenced().transfer("blind").confirms("agent").expect("transferring", "hold customer")
    hold = story.last.effects[-1]
    if is_alone:
        story.call("agent", "completed")
    story.fails("update_participant", "customer", code=code, effect_id=hold.effect_id)
    if code == 20001 or not is_alone:
        story.expect("transferring")
        return
    story.expect("transferring", "move customer", phase="blind")
    assert not story.session.parties["customer"].desired_hold


def test_whispering_that_twilio_refuses_during_a_transfer_becomes_listening():
    story = (
        supervised(begin=lambda: talking("warm"))
        .supervise("whisper", "supervise-2")
        .expect("transferring", "whisper supervisor")
    )
    story.update_refused("supervisor", code=16027).expect("transferring")
    story.expect_command("supervise-2", "accepted", "failed", reason="Twilio refused (HTTP 400, code 16027)")
    assert story.session.parties["supervisor"].supervises == "monitor"


def test_transfer_that_is_too_old_ends():
    story = talking("warm").fires(AgeOverdue).reads().expect("ended", "end room", reason="too-old")
    story.expect_transfer("failed", "too-old")


def test_recording_that_was_refused_over_the_bridge_is_started_in_the_conference():
    story = recorded("customer").expect("bridged", "record customer").not_recorded().expect("bridged")
    story.transfer("blind").dial_ends("completed").call("agent", "completed").joins("customer", starts=False)
    story.expect("transferring", "dial target", "record customer").recorded().expect_recording("in-progress")


def test_recording_that_was_paused_for_a_consult_is_resumed_up_to_five_times():
    story = ordering(recorded_conference).transfer("consult").confirms("agent", "customer").recorded()
    story.takes_part("target").complete().confirms("customer").leaves("agent")
    story.expect("conferenced", "in-progress recording", *FLAGS)
    for effects in [["in-progress recording"]] * 4 + [[]]:
        story.not_recorded().expect("conferenced", *effects)
    ordering(conferenced).record("start").recorded().record("pause").recorded().record("resume").not_recorded().expect(
        "conferenced"
    )


@pytest.mark.parametrize("party", ["target", "agent"])
def test_no_one_is_removed_while_the_transfer_is_withdrawn(party):
    story = ordering(talking, "consult").cancel().expect("transferring", "hang up target")
    story.remove(party).expect_refused("remove-1", "the transfer is already ending", allowed=("convert", "end"))


def test_agent_is_not_removed_before_the_completion_has_let_the_customer_back():
    story = ordering(talking, "consult").complete().expect("transferring", "unhold customer")
    story.remove("agent").expect_refused(
        "remove-1", "complete is still in progress", allowed=("convert", "cancel", "end")
    )


def test_no_one_whispers_to_an_agent_who_is_on_hold():
    story = ordering().hold("agent").confirms("agent").expect_held("agent")
    story.transfer("warm").supervise("whisper").expect_refused(
        "supervise-1", "the agent is on hold", allowed=("convert", "complete", "cancel", "end")
    )


@pytest.mark.parametrize("mode", ["warm", "consult", "blind"])
def test_target_is_dialed_into_a_full_conference_only_after_the_agent_leaves(mode):
    story = ordering(conferenced, attributes=ConferenceAttributes(max_participants=2)).transfer(mode)
    if mode == "blind":
        story.expect_command("transfer-1", "accepted")
    else:
        story.expect_refused("transfer-1", "the conference is full", allowed=("convert", "transfer", "end"))


def test_no_one_supervises_a_full_conference():
    story = (
        ordering(conferenced, attributes=ConferenceAttributes(max_participants=3)).transfer("warm").confirms("agent")
    )
    story.takes_part("target").supervise()
    story.expect_refused("supervise-1", "the conference is full", allowed=("convert", "complete", "cancel", "end"))


def test_customer_left_alone_by_a_guest_before_the_target_answers_is_held_to_hear_music():
    """The guest's join has started the conference, so its wait music is over."""
    story = blind_from_bridge().placed("target").call("target", "ringing").joins("guest").conference_starts()
    story.expect("transferring", phase="blind").leaves("guest").expect("transferring", "hold customer", phase="blind")
    story.confirms("customer").expect_held("customer")


def test_start_puts_no_one_on_hold_since_the_target_must_be_there():
    story = blind_from_bridge().placed("target").call("target", "ringing").conference_starts()
    story.expect("transferring", phase="blind").joins("target").expect("conferenced", *FLAGS)


def test_customer_is_held_once_a_read_shows_that_the_target_is_not_there():
    story = blind_from_bridge().placed("target").call("target", "ringing").conference_starts()
    shown = {"customer": "in-progress", "target": "ringing", "conference": CONFERENCE, "inside": ("customer",)}
    story.reads(**shown, version=story.session.version - 1).expect("transferring", phase="blind")
    story.later(1_000).fires(ReadOverdue).expect("transferring", "look", phase="blind")
    story.reads(**shown).expect("transferring", "hold customer", phase="blind")


def with_early_media():
    return blind_from_bridge().placed("target").call("target", "ringing")


def with_unknown_supervisor():
    return with_leg(parked_from_bridge(), "supervisor", "supervisor-9", muted=True, starts=False)


@pytest.mark.parametrize(("begin", "company"), [
    (parked_from_bridge, {}),
    (with_early_media, {"target": "ringing"}),
    (with_unknown_supervisor, {"supervisor": "in-progress"}),
])  # fmt: skip
def test_read_that_shows_no_one_who_talks_to_the_customer_does_not_end_the_music(begin, company):
    story = begin().later(60_000)
    story.reads(customer="in-progress", **company, conference=CONFERENCE, inside=("customer", *company))
    assert story.session.parties["customer"].waits_for_start


@pytest.mark.parametrize(("begin", "leaver", "state"), [
    (lambda: blind_from_bridge().placed("target"), "customer", "transferring"),
    (browser, "agent", "conferenced"),
], ids=["transferring", "browser"])  # fmt: skip
def test_waiting_party_who_is_said_to_have_hung_up_while_the_call_goes_on_will_be_back(begin, leaver, state):
    story = begin().leaves(leaver, status="in-progress", reason="participant_hung_up")
    assert (story.session.state.value, story.session.parties[leaver].is_gone) == (state, False)


def test_retriever_who_is_being_removed_is_not_removed_again():
    story = retrieving().placed("agent").call("agent", "ringing").remove("agent")
    story.expect("transferring", "hang up agent").remove("agent", "remove-2")
    story.expect_refused("remove-2", "the agent has left or is leaving", allowed=("end",))


def test_target_that_answered_and_fails_to_join_again_is_gone_at_once():
    """Only a phone that still rings may have refused; a call that was answered need not be waited for."""
    story = talking("warm").leaves("target", status="busy", reason="participant_add_failed")
    assert story.session.parties["target"].is_gone
