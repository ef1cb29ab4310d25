"""A sentence before a recording: what the flows do not reach."""

import pytest

from tests.statemachine.command_scenarios import Orders, ordering, recorded
from tests.statemachine.conference_scenarios import parked
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import conferenced, dialing, talking

SAY = "This call is being recorded."
UNHEARD = "a party on hold would not hear the sentence"


def converting() -> Scenario:
    return Scenario().answered().convert()


def warm() -> Scenario:
    return dialing("warm")


def consulting() -> Scenario:
    return talking("consult")


def heard_by_all(story: Orders) -> Orders:
    """Everyone has heard the sentence, and Twilio records."""
    return story.played(command="record-start").recorded().expect_command("record-start", "accepted", "done")


@pytest.mark.parametrize("begin", [Scenario().answered, converting])
def test_sentence_waits_for_the_conversion(begin):
    story = ordering(begin).record("start", say=SAY).expect_command("record-start", "accepted")
    story.joins("agent").joins("customer").expect("conferenced", "play to all", "flag customer", "flag agent")
    heard_by_all(story).expect_recording("in-progress")


@pytest.mark.parametrize("begin", [conferenced, warm])
def test_sentence_is_said_to_all_first(begin):
    heard_by_all(ordering(begin).record("start", say=SAY)).expect_recording("in-progress")


@pytest.mark.parametrize("begin", [Scenario().answered, converting, conferenced, warm])
def test_only_start_has_a_sentence(begin):
    ordering(begin).record("pause", say=SAY).expect_refused("record-pause", "only start has a sentence")


@pytest.mark.parametrize("begin", [parked, consulting])
def test_no_sentence_is_said_while_someone_is_on_hold(begin):
    ordering(begin).record("start", say=SAY).expect_refused("record-start", UNHEARD)


@pytest.mark.parametrize("begin", [converting, conferenced, warm])
def test_sentence_is_not_said_over_another_announcement(begin):
    story = ordering(begin).announce().record("start", say=SAY)
    story.expect_refused("record-start", "another announcement is playing")


@pytest.mark.parametrize("state", ["bridged", "converting"])
def test_no_sentence_is_said_if_the_conference_is_recorded_from_its_start(state):
    story = recorded("true") if state == "bridged" else recorded("true").convert()
    story.record("start", say=SAY).expect_refused("record-start", "already recording").expect(state)


def test_nothing_is_recorded_if_a_recording_begins_during_the_sentence():
    """A session that Redis lost, and a sweep found, does not know that its conference is recorded."""
    story = ordering(conferenced).record("start", say=SAY).recording("in-progress").played(command="record-start")
    story.expect_command("record-start", "accepted", "failed", reason="already recording")
