"""Stories of recordings: by command, of the customer's call from its answer, and of a conference from its start."""

import pytest

from conferral.statemachine.events import LoneOverdue, StageOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.command_scenarios import (
    OTHER_RECORDING,
    RECORDING,
    Orders,
    consulting_recorded,
    ordering,
    recorded,
    recorded_conference,
    refused_because,
)
from tests.statemachine.scenario import CONFERENCE, CUSTOMER_CALL, OTHER_CONFERENCE, OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, conferenced, outbound, talking
from tests.support.each import each


def running() -> Orders:
    """The customer's call is recorded by command."""
    story = ordering().record("start").expect("conferenced", "record customer").recorded()
    return story.expect_command("record-start", "accepted", "done").expect_recording("in-progress")


def consult(story: Orders) -> Orders:
    """A consult begins, and the customer is on hold."""
    return story.transfer("consult").confirms("agent").confirms("customer")


def pausing() -> Orders:
    """A consult begins, and Twilio was asked to pause the conference's recording."""
    return consult(recorded_conference())


# ---- by command --------------------------------------------------------------------------------------------------


def test_customers_call_is_recorded_paused_resumed_and_stopped():
    story = running()
    assert story.last_of(type(story.effects[-1])).call_sid == CUSTOMER_CALL
    for action, status in (("pause", "paused"), ("resume", "in-progress"), ("stop", "stopped")):
        story.record(action).expect("conferenced", f"{status} recording")
        effect = story.last.effects[0]
        assert (effect.recording_sid, effect.call_sid, effect.conference_sid) == (RECORDING, CUSTOMER_CALL, "")
        assert effect.target == CUSTOMER_CALL
        story.recorded().expect_command(f"record-{action}", "accepted", "done").expect_recording(status)
    story.expect_no_orders()


@pytest.mark.parametrize("begin", [Scenario().answered, outbound], ids=["inbound", "outbound"])
def test_bridged_call_is_recorded_without_a_conference(begin):
    ordering(begin).record("start").expect("bridged", "record customer").recorded().expect_recording("in-progress")


def test_recording_continues_through_conversion_and_transfer():
    story = ordering(Scenario().answered).record("start").recorded().convert().joins("agent").joins("customer")
    story.confirms("customer", "agent").transfer("warm").confirms("agent").expect("transferring", "dial target")
    story.takes_part("target").record("pause").expect("transferring", "paused recording").recorded()
    story.expect_command("record-pause", "accepted", "done")


def test_customers_own_recording_continues_in_another_conference():
    story = ordering(Scenario().answered).record("start").recorded().convert().joins("agent")
    story.leaves("agent", status="in-progress", reason="participant_updated_via_api").conference_ends()
    story.joins("customer", conference=OTHER_CONFERENCE).expect_recording("in-progress")


def test_stopped_recording_is_started_again():
    story = running().record("stop").recorded().record("start", "again").expect("conferenced", "record customer")
    story.recorded(sid=OTHER_RECORDING).expect_command("again", "accepted", "done")
    assert story.session.recording.sid == OTHER_RECORDING


def test_end_of_the_first_recording_is_not_taken_for_the_end_of_the_second():
    story = running().record("stop").recorded().record("start", "again")
    story.recording("completed", of_conference=False).expect("conferenced", outcome="stale")
    story.recorded(sid=OTHER_RECORDING).expect_recording("in-progress")
    story.recording("completed", of_conference=False).expect_recording("in-progress")


def test_consult_waits_for_a_requested_stop_of_the_recording_which_stays_stopped():
    story = recorded_conference().record("stop").expect("conferenced", "stopped recording")
    consult(story).expect("transferring").expect_timers("stage")
    story.recorded().expect("transferring", "dial target").expect_recording("stopped")


def test_customers_own_recording_is_paused_and_resumed_during_a_consult():
    story = consult(running()).takes_part("target").record("pause").recorded().record("resume")
    story.expect("transferring", "in-progress recording").recorded()
    story.expect_command("record-resume", "accepted", "done")


@pytest.mark.parametrize("action", ["start", "pause", "stop"])
def test_record_command_refused_by_twilio_fails(action):
    story = (ordering() if action == "start" else running()).record(action, "it").not_recorded()
    story.expect_command("it", "accepted", "failed", reason="Twilio refused (HTTP 400, code 0)").expect_no_orders()


@pytest.mark.parametrize("action", ["start", "pause", "stop"])
def test_record_command_of_unknown_outcome_fails(action):
    story = (ordering() if action == "start" else running()).record(action, "it").not_known_to_be_recorded()
    story.expect_command("it", "accepted", "failed", reason="unknown: Twilio gave no answer").expect_no_orders()


def test_recording_that_is_gone_is_over():
    story = running().record("pause").not_recorded(gone=True).expect_recording("completed")
    refused_because(story.record("stop"), "record-stop", "not recording")


def test_recording_that_was_refused_may_be_tried_again_and_can_not_be_paused():
    story = ordering().record("start").not_recorded()
    refused_because(story.record("pause"), "record-pause", "not recording")
    story.record("start", "again").expect("conferenced", "record customer").recorded()
    story.expect_command("again", "accepted", "done")


def test_refused_where_there_is_nothing_to_change_or_something_runs_already():
    for action in ("pause", "resume", "stop"):
        refused_because(ordering().record(action, "it"), "it", "not recording")
    refused_because(running().record("start", "it"), "it", "already recording")
    refused_because(ordering(Scenario().comes_in).record("start", "it"), "it", "no one has answered yet")


@pytest.mark.parametrize("begin", [
    lambda: Scenario().answered(), lambda: Scenario().answered().convert(), conferenced, lambda: talking("warm"),
], ids=["bridged", "converting", "conferenced", "transferring"])  # fmt: skip
def test_recording_is_not_changed_while_another_change_is_under_way(begin):
    story = ordering(begin).record("start").record("stop", "late")
    refused_because(story, "late", "another change to the recording is in progress")
    story.recorded().expect_command("record-start", "accepted", "done").expect_recording("in-progress")
    story.record("stop", "again").recorded().expect_command("again", "accepted", "done").expect_recording("stopped")


def test_command_already_in_effect_is_done():
    running().record("resume").expect("conferenced").expect_command("record-resume", "done")
    running().record("pause").recorded().record("pause", "again").expect_command("again", "done")


def test_end_fails_a_pending_recording():
    story = ordering().record("start").end().expect("ended", "end room")
    story.expect_command("record-start", "accepted", "failed", reason="command")


def test_consult_is_not_on_the_customers_own_recording():
    consult(running()).expect("transferring", "dial target")


# ---- callbacks ---------------------------------------------------------------------------------------------------


def test_callbacks_report_recording_url_and_duration():
    story = running().recording("completed", of_conference=False, url="https://example.com/r", duration_s=7)
    recording = story.session.recording
    assert (recording.status, recording.url, recording.duration_s) == ("completed", "https://example.com/r", 7)


def test_callback_of_the_end_is_taken_after_the_end():
    story = running().end().recording("completed", of_conference=False, url="https://example.com/r", duration_s=7)
    story.expect("ended").expect_recording("completed")
    assert story.session.recording.duration_s == 7


def test_callback_after_the_end_of_a_session_without_a_recording():
    ordering(Scenario().answered).end().recording("completed", of_conference=False).expect("ended", outcome="stale")


def test_late_callback_of_the_start_does_not_undo_a_pause():
    story = running().record("pause").recording("in-progress", of_conference=False).recorded()
    story.recording("in-progress", of_conference=False).expect_recording("paused")


def test_foreign_recording_is_ignored():
    story = running().recording("completed", sid=OTHER_RECORDING, of_conference=False)
    story.expect("conferenced", outcome="stale").expect_recording("in-progress")


# ---- CONFERRAL_RECORD=customer -----------------------------------------------------------------------------------


def recorded_outbound() -> Orders:
    """An operator's call in which the customer has just answered."""
    story = Orders(Policy(record="customer"), session_id=OUTBOUND).calls_out().placed("agent").gate("agent")
    return story.gate("agent", "accepted").call("customer", "ringing").call("customer", "in-progress")


def test_customers_call_is_recorded_from_its_answer():
    story = recorded("customer").expect("bridged", "record customer").recorded().expect_recording("in-progress")
    story.convert().joins("agent").joins("customer").expect("conferenced", "flag customer", "flag agent")


def test_recording_that_was_stopped_by_command_stays_so():
    story = recorded("customer").recorded().record("stop").recorded().convert().joins("agent").joins("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_recording("stopped")


def test_outbound_customer_who_can_not_be_recorded_over_the_bridge_is_once_converted():
    story = recorded_outbound().expect("bridged", "record customer").not_recorded()
    story.expect("bridged").convert().joins("customer").expect("converting", "record customer").recorded()
    story.expect_recording("in-progress").joins("agent").expect("conferenced", "flag customer", "flag agent")


@pytest.mark.parametrize("begin", [lambda: recorded("customer"), recorded_outbound],
                         ids=["inbound", "outbound"])  # fmt: skip
def test_recording_that_is_refused_again_is_left_alone(begin):
    story = begin().not_recorded().convert()
    for name in ("agent", "customer") if story.session.direction == "inbound" else ("customer", "agent"):
        story.joins(name)
        if "record customer" in story.words():
            story.not_recorded().expect("converting")
    story.expect("conferenced", "flag customer", "flag agent").confirms("customer", "agent").expect_timers()


def test_recording_unknown_to_the_session_is_started_once_converted():
    story = recorded("customer").not_known_to_be_recorded().expect("bridged").convert().joins("agent")
    story.expect("converting", "record customer")


def test_nothing_is_recorded_while_it_rings():
    story = Scenario(Policy(record="customer")).calls_out().placed("agent").gate("agent").gate("agent", "accepted")
    story.call("customer", "ringing").expect("bridged")


def test_customer_of_a_blind_transfer_is_recorded():
    story = recorded("customer").recorded().transfer("blind").dial_ends("completed").joins("customer", starts=False)
    story.expect("transferring", "dial target").takes_part("target").expect_recording("in-progress")


# ---- a conference from its start ---------------------------------------------------------------------------------


def test_conference_is_recorded_from_its_start_and_changed_by_its_sid():
    story = recorded_conference().record("pause").expect("conferenced", "paused recording")
    effect = story.last.effects[0]
    assert (effect.recording_sid, effect.call_sid, effect.conference_sid) == ("", "", CONFERENCE)
    story.recorded(sid="").record("resume").expect("conferenced", "in-progress recording").recorded(sid="")
    story.recording("in-progress").record("stop").expect("conferenced", "stopped recording")
    assert story.last.effects[0].recording_sid == RECORDING
    story.recorded(sid="").expect_recording("stopped")
    why = "the conference's recording was stopped and can't be restarted"
    refused_because(story.record("start", "late"), "late", why)


def test_conferences_recording_that_was_stopped_is_not_started_again_in_a_transfer():
    story = recorded_conference().record("stop").recorded().transfer("warm").confirms("agent").takes_part("target")
    story.expect("transferring", phase="warm").expect_recording("stopped").record("start", "late")
    why = "the conference's recording was stopped and can't be restarted"
    story.expect_refused("late", why, "convert", "complete", "cancel", "end").expect_recording("stopped")


def test_it_is_recorded_already():
    refused_because(recorded_conference().record("start"), "record-start", "already recording")


@pytest.mark.parametrize("came_of_it", ["recorded", "not_recorded"])
def test_consult_is_on_no_recording_though_the_customers_call_was_recorded_over_the_bridge(came_of_it):
    """From then on, the conference's own recording is meant; commands can't name the other one any more."""
    story = recorded("true").record("start").expect("bridged", "record customer")
    getattr(story, came_of_it)()
    stopped = ["stopped recording"] if came_of_it == "recorded" else []
    story.convert().joins("agent").joins("customer").expect("conferenced", *stopped, *FLAGS)
    if stopped:
        assert story.last.effects[0].recording_sid == RECORDING
        story.recorded().recording("completed", of_conference=False).expect("conferenced", outcome="stale")
    consult(story.confirms("customer", "agent")).expect("transferring", "paused recording")
    assert story.last.effects[0].conference_sid == CONFERENCE
    story.recorded().expect("transferring", "dial target")


def test_recording_paused_over_the_bridge_stays_paused_in_the_conference():
    story = recorded("true").record("start").recorded().record("pause").recorded()
    story.convert().joins("agent").joins("customer")
    story.expect("conferenced", "stopped recording", "paused recording", *FLAGS)
    story.recorded().expect_recording("paused")


def test_recording_being_started_over_the_bridge_is_stopped_for_the_conference_recording():
    story = recorded("true").record("start").convert().joins("agent").joins("customer")
    story.expect("conferenced", "stopped recording", *FLAGS)
    assert (story.last.effects[0].recording_sid, story.last.effects[0].call_sid) == ("", CUSTOMER_CALL)


def test_recording_pauses_in_a_consult():
    story = pausing().expect("transferring", "paused recording").expect_timers("stage")
    story.recorded().expect("transferring", "dial target").expect_recording("paused")


def goes_on(story: Orders) -> Orders:
    """What the last event ordered lets the recording go on, once."""
    assert story.words().count("in-progress recording") == 1
    return story.recorded().expect_recording("in-progress")


@each("how, ending", [
    ("all talk", lambda: consulting_recorded().merge().confirms("customer")),
    ("the target has left", lambda: consulting_recorded().cancel().leaves("target").confirms("customer")),
    ("the call is transferred", lambda: consulting_recorded().complete().confirms("customer").leaves("agent")),
    ("the agent has hung up", lambda: consulting_recorded().leaves("agent").confirms("customer")),
    ("no one answers", lambda: pausing().recorded().placed("target").call("target", "busy").confirms("customer")),
    ("the agent leaves before the answer", lambda: pausing().recorded().leaves("agent")),
])  # fmt: skip
def test_recording_resumes_when_a_consult_is_over(how, ending):
    goes_on(ending())


def test_recording_being_paused_resumes_when_the_agent_leaves():
    story = pausing().leaves("agent").expect("transferring", "dial target").recorded()
    story.expect("transferring", "in-progress recording").recorded().expect_recording("in-progress")


def test_recording_that_can_not_be_paused_is_stopped():
    story = pausing().not_recorded().expect("transferring", "stopped recording").recorded()
    story.expect("transferring", "dial target").takes_part("target").merge().confirms("customer")
    story.expect("transferring").expect_recording("stopped")


@pytest.mark.parametrize("how", ["not_recorded", "not_known_to_be_recorded"])
def test_recording_that_can_neither_be_paused_nor_stopped_fails_the_transfer(how):
    story = getattr(getattr(pausing(), how)(), how)().expect("transferring").fires(StageOverdue)
    story.expect("transferring", "unhold customer").expect_attempts()
    story.expect_command("transfer-1", "accepted", "failed", reason="recording-failed").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_concluded(
        ("transfer", "failed", "recording-failed")
    )


def test_unanswered_pause_fails_the_transfer_and_recording_resumes_once_paused():
    story = pausing().fires(StageOverdue).expect("transferring", "unhold customer")
    story.confirms("customer").expect("conferenced", "flag customer", "flag agent").recorded()
    story.expect("conferenced", "in-progress recording")


def test_recording_that_is_gone_is_no_reason_not_to_dial():
    pausing().not_recorded(gone=True).expect("transferring", "dial target")


def test_recording_paused_by_command_is_left_paused_after_a_consult():
    story = consult(recorded_conference().record("pause").recorded()).expect("transferring", "dial target")
    story.takes_part("target").complete().confirms("customer").leaves("agent")
    story.expect("conferenced", "flag customer", "flag agent").expect_recording("paused")


def test_pause_by_command_that_is_under_way_when_a_consult_begins_lasts_beyond_it():
    story = consult(recorded_conference().record("pause")).expect("transferring").expect_timers("stage")
    story.recorded().expect("transferring", "dial target").expect_command("record-pause", "accepted", "done")
    story.takes_part("target").complete().confirms("customer").leaves("agent")
    story.expect("conferenced", "flag customer", "flag agent").expect_recording("paused")


def test_pause_by_command_that_twilio_refuses_keeps_the_consult_from_beginning():
    story = consult(recorded_conference().record("pause")).not_recorded().expect("transferring")
    story.expect_command("record-pause", "accepted", "failed").fires(StageOverdue)
    story.expect("transferring", "unhold customer").expect_transfer("failed", "recording-failed")


@pytest.mark.parametrize("begin", [recorded_conference, lambda: recorded_conference().record("pause").recorded()],
                         ids=["running", "paused"])  # fmt: skip
def test_recording_cannot_be_resumed_in_a_consult(begin):
    story = consult(begin())
    if "paused recording" in story.words():
        story.recorded()
    why = "agent and target are talking without the customer"
    refused_because(story.takes_part("target").record("resume"), "record-resume", why)


def test_pause_in_a_consult_lasts_beyond_it():
    story = consulting_recorded().record("pause").expect("transferring").expect_command("record-pause", "done")
    story.merge().confirms("customer").expect("transferring").expect_recording("paused")
    goes_on(story.record("resume"))


def test_recording_stopped_in_a_consult_does_not_resume():
    story = consulting_recorded().record("stop").expect("transferring", "stopped recording").recorded()
    story.merge().confirms("customer").expect("transferring").expect_recording("stopped")


def test_resume_under_way_when_a_consult_begins_is_undone_before_the_dial():
    story = recorded_conference().record("pause").recorded().record("resume").transfer("consult")
    story.confirms("agent").recorded().expect_recording("in-progress")
    story.confirms("customer").expect("transferring", "paused recording").recorded()
    story.expect("transferring", "dial target")


def test_warm_transfer_is_recorded():
    recorded_conference().transfer("warm").confirms("agent").expect("transferring", "dial target")


def blind_done() -> Orders:
    """A blind transfer from the bridge has opened the conference, which is recorded from its start."""
    story = recorded("true").transfer("blind").dial_ends("completed").call("agent", "completed")
    story.joins("customer", starts=False).takes_part("target")
    return story.expect("conferenced", "flag customer", "flag agent")


def test_conference_that_a_blind_transfer_has_opened_is_recorded_from_its_start_too():
    story = blind_done().expect_recording("in-progress").confirms("customer", "target")
    story.transfer("consult", "client:dave", command_id="second").confirms("target")
    story.expect("transferring", "hold customer").confirms("customer").expect("transferring", "paused recording")


def test_conference_that_takes_the_place_of_another_has_a_recording_of_its_own():
    """The agent's leaving has ended the first one before his flag was cleared."""
    story = recorded_conference().recording("in-progress").transfer("warm").leaves("agent")
    story.conference_ends(by="agent").joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.recording("completed").expect("transferring", outcome="stale")
    story.placed("target").call("target", "in-progress").joins("target", conference=OTHER_CONFERENCE)
    story.expect("conferenced", "flag customer", "flag agent").expect_recording("in-progress")
    assert story.session.recording.sid == ""


def test_callback_reports_that_the_conference_is_recorded():
    story = ordering(conferenced).recording("in-progress").expect_recording("in-progress")
    consult(story).expect("transferring", "paused recording")


def test_customer_who_leaves_while_the_recording_is_being_paused():
    story = pausing().leaves("customer").expect("ended", "end room", reason="customer-left")
    story.recorded().expect("ended").recording("completed").expect_recording("completed")


def test_end_while_the_recording_is_being_paused():
    pausing().end().expect("ended", "end room", reason="command")


def test_lone_customer_of_a_recorded_conference_is_released():
    story = recorded_conference().leaves("agent").fires(LoneOverdue).expect("ended", "end room", reason="agent-left")
    story.recording("completed", duration_s=3).expect_recording("completed")
