"""A call was stored as one that waits in a conference, and bridged: Redis had stored it though its reply was lost."""

import pytest

from conferral.statemachine.events import RingOverdue
from tests.statemachine.conference_scenarios import CLIENT_SESSION, ConferenceScenario, called, waiting


def test_caller_whose_agent_is_rung_by_a_dial_is_bridged():
    story = called().call("agent", "initiated", dial="").expect("bridged", outcome="moved", phase="ringing")
    story.expect_timers("ring").call("agent", "ringing", dial="").call("agent", "in-progress", dial="")
    story.expect("bridged", phase="connected").expect_timers()
    story.convert().expect("converting", "move agent")


def test_answer_may_be_all_that_is_heard():
    called().call("agent", "in-progress", dial="").expect("bridged", phase="connected")


def test_agent_who_does_not_answer_ends_it_as_in_any_bridge():
    story = called().call("agent", "busy", dial="").expect("bridged").dial_ends("busy")
    story.expect("ended", reason="agent-busy")


def test_browser_whose_callee_is_rung_by_a_dial_is_bridged():
    story = ConferenceScenario(session_id=CLIENT_SESSION).calls_from_browser().call("customer", "ringing", dial="")
    story.expect("bridged", phase="ringing")
    story.call("customer", "in-progress", dial="").expect("bridged", phase="connected")
    assert not story.session.is_group


def test_missing_callbacks_lead_to_a_read():
    called().call("agent", "ringing", dial="").fires(RingOverdue).expect("bridged", "look")


@pytest.mark.parametrize("heard", ["join", "action"])
def test_caller_who_was_heard_of_in_the_conference_is_not_bridged(heard):
    """His document was the conference's; a callback of a call that no one ordered is none of the session's."""
    story = waiting() if heard == "join" else called().dial_ends("completed", dial="conference")
    story.call("agent", "initiated", dial="").expect("conferenced", phase="ringing")
