"""Sessions of a call that has come back: its earlier legs, and voice requests that were sent again."""

from conferral.statemachine.events import CallProgressed, CallsOverdue, ReadOverdue
from tests.statemachine.conference_scenarios import ConferenceScenario
from tests.statemachine.scenario import AGENT_CALL, Scenario

CALL = "CA" + "1" * 32
SECOND = f"{CALL}-2"


def visits(**given) -> ConferenceScenario:
    return ConferenceScenario(session_id=SECOND).comes_in(**given)


def test_session_rebuilt_by_the_agents_callback_belongs_to_the_call_in_its_id():
    event = CallProgressed(
        session_id=SECOND, token="t", party="agent", call_sid=AGENT_CALL, status="in-progress", address="client:alice"
    )
    story = Scenario(session_id=SECOND).take(event).expect("bridged", phase="connected")
    assert story.session.customer.call_sid == CALL


def test_call_of_an_earlier_session_is_not_taken_for_the_agents():
    story = visits(former_calls=(AGENT_CALL,)).fires(CallsOverdue).expect("bridged", "look")
    story.reads(customer="in-progress", agent="in-progress").expect("ended", reason="moved")


def test_caller_whom_the_dial_never_rang_for_is_elsewhere_and_is_left_alone():
    story = visits().fires(CallsOverdue).expect("bridged", "look")
    story.reads(customer="in-progress", agent="completed").expect("ended", reason="moved")
    story.sweep_finds("call-live", "customer").expect("ended", "look")
    story.reads(customer="in-progress").expect("ended")


def test_caller_who_never_reached_the_conference_is_elsewhere_and_is_left_alone():
    story = visits(mode="conference").expect("conferenced", phase="ringing")
    story.fires(ReadOverdue).expect("conferenced", "look", phase="ringing")
    story.reads(customer="in-progress").expect("conferenced", phase="ringing")
    story.later(60_000).fires(ReadOverdue).expect("conferenced", "look", phase="ringing")
    story.reads(customer="in-progress").expect("ended", reason="moved")
    story.sweep_finds("call-live", "customer").expect("ended", "look")
    story.reads(customer="in-progress").expect("ended")
