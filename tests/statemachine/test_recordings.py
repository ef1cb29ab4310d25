"""Each recording is reported once: by a callback, or by the search that follows the end."""

from typing import Any

from conferral.statemachine.effects import FindRecording
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.record import replace
from tests.statemachine.call_legs import CONFERENCE, CUSTOMER_CALL
from tests.statemachine.command_scenarios import OTHER_RECORDING, RECORDING, Orders, ordering, recorded_conference
from tests.statemachine.scenario import Scenario
from tests.support.each import each

STARTED_MS = 1_700_000_000_000


def recorded_call() -> Orders:
    return ordering(Scenario().answered).record("start").recorded()


def reported(story: Scenario) -> list[tuple[str, str]]:
    return [(one.recording_sid, one.result) for one in story.conclusions if one.kind == "recording"]


def searched(story: Scenario) -> list[str]:
    """What Twilio is asked for, by the SID that is known."""
    return [effect.target for effect in story.last.effects if isinstance(effect, FindRecording)]


def found(story: Scenario, status: str = "completed", sid: str = RECORDING, **given: Any) -> Scenario:
    return story.succeeds("find_recording", recording_sid=sid, status=status, **given)


@each("status", ["completed", "absent", "failed"])
def test_recording_is_reported_as_soon_as_it_is_over_however_often_twilio_says_so(status):
    story = recorded_call().recording("in-progress", of_conference=False).recording(status, of_conference=False)
    assert reported(story) == [(RECORDING, status)]
    story.recording("completed", of_conference=False)
    assert reported(story) == [(RECORDING, status)]
    assert not searched(story.end())
    assert story.conclusions[-1].recordings == (RECORDING,)


def test_report_says_what_twilio_made_and_when():
    facts = {"url": "https://example.com/RE", "channels": 2, "duration_s": 42, "started_at_ms": STARTED_MS}
    story = recorded_call().recording("completed", of_conference=False, **facts)
    (one,) = story.conclusions
    assert (one.id, one.source, one.channels, one.url) == (
        f"{story.session.id}:recording-{RECORDING}",
        "call",
        2,
        facts["url"],
    )
    assert (one.started_at_ms, one.ended_at_ms, one.code) == (STARTED_MS, STARTED_MS + 42_000, "")


def test_absent_recording_has_a_code_and_no_address():
    story = recorded_conference().recording("absent", url="https://example.com/RE", code=16101)
    (one,) = story.conclusions
    assert (one.source, one.url, one.code) == ("conference", "", "16101")


def test_recording_that_no_callback_reports_is_found_after_the_end_and_reported_once():
    story = recorded_call().end()
    assert searched(story) == [RECORDING]
    found(story)
    assert reported(story) == [(RECORDING, "completed")]
    story.recording("completed", of_conference=False)
    found(story)
    assert reported(story) == [(RECORDING, "completed")]


def test_recording_of_a_conference_is_searched_for_by_the_conference_until_its_own_sid_is_known():
    assert searched(recorded_conference().end()) == [CONFERENCE]
    assert searched(recorded_conference().recording("in-progress").end()) == [RECORDING]


def test_recording_whose_start_has_no_answer_is_searched_for_by_its_call():
    story = ordering(Scenario().answered).record("start").not_known_to_be_recorded().end()
    assert searched(story) == [CUSTOMER_CALL]
    found(story)
    assert reported(story) == [(RECORDING, "completed")]
    assert story.session.recordings[RECORDING]


def test_recording_that_twilio_refused_to_start_is_not_searched_for():
    story = ordering(Scenario().answered).record("start").not_recorded().end()
    assert not searched(story)


def test_search_that_finds_nothing_reports_nothing():
    story = recorded_conference().end()
    found(story, "", "")
    assert not reported(story)


def test_each_recording_of_a_call_is_reported():
    story = recorded_call().record("stop").recorded(sid="").record("start", "again").recorded(sid=OTHER_RECORDING)
    assert story.recording("completed", of_conference=False).session.recordings == {
        RECORDING: True,
        OTHER_RECORDING: False,
    }
    assert searched(story.end()) == [OTHER_RECORDING]
    assert story.conclusions[-1].recordings == (RECORDING, OTHER_RECORDING)


def test_late_callback_about_the_first_recording_leaves_the_search_for_the_second():
    story = recorded_call().record("stop").recorded(sid="").record("start", "again").not_known_to_be_recorded()
    story.recording("completed", of_conference=False)
    assert story.session.recordings == {CUSTOMER_CALL: False, RECORDING: True}
    assert searched(story.end()) == [CUSTOMER_CALL]


def test_end_does_not_wait_for_the_search():
    story = recorded_call().end()
    (command,) = story.session.pending_commands
    searches = {effect.effect_id for effect in story.last.effects if isinstance(effect, FindRecording)}
    assert searches
    assert searches.isdisjoint(command.effects)


def test_session_awaits_a_search_until_the_recording_is_reported():
    story = recorded_call().end()
    (search,) = (effect for effect in story.last.effects if isinstance(effect, FindRecording))
    assert story.session.awaits(search)
    story.recording("completed", of_conference=False)
    assert not story.session.awaits(search)
    assert story.session.awaits(replace(search, recording_sid=OTHER_RECORDING))


def test_configuration_of_the_number_goes_into_the_request():
    attributes = ConferenceAttributes(recording_configuration="with-transcript")
    story = ordering(Scenario().answered)
    story.session = replace(story.session, attributes=attributes)
    story.record("start")
    (start,) = story.last.effects
    assert start.configuration == "with-transcript"
