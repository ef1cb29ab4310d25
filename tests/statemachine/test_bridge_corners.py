"""Rare events over the bridge: late and repeated callbacks, and commands that can't be carried out."""

import pytest

from conferral.statemachine.conference_attributes import ConferenceAttributes
from tests.statemachine.command_scenarios import LAWYER, ordering, recorded, refused_because
from tests.statemachine.conference_scenarios import as_conference
from tests.statemachine.scenario import BOB, CUSTOMER_NUMBER, OUTBOUND, Scenario

OTHER_NUMBER = "+14155550160"


def test_end_of_an_earlier_agent_whose_call_was_never_known_does_not_end_the_next_one():
    story = as_conference(Scenario().comes_in(other_agents=(BOB,))).dial_ends("busy", call_status="ringing")
    story.call("agent", "busy").expect("bridged", outcome="stale", phase="ringing").expect_timers("ring")
    agent = story.session.parties["agent"]
    assert (agent.address, agent.status, agent.call_sid) == (BOB, "dialing", "")


def test_unknown_word_for_the_status_of_a_call_changes_nothing():
    story = Scenario().comes_in().call("agent", "ringing")
    before = story.session.parties
    story.call("agent", "paging").expect("bridged", phase="ringing").expect_timers("ring")
    assert story.session.parties == before


def test_action_that_is_requested_again_does_not_put_off_the_end():
    story = Scenario().comes_in().dial_ends("no-answer", call_status="ringing").expect_timers("leave")
    due_ms = story.session.timers["leave"]
    story.later(1_000).dial_ends("no-answer", call_status="ringing").expect("bridged", outcome="stale")
    assert story.session.timers["leave"] == due_ms


def test_call_whose_caller_id_was_refused_does_not_open_the_gate_when_it_shows_up_after_all():
    story = Scenario(session_id=OUTBOUND).calls_out(caller_id=OTHER_NUMBER).expect("bridged", "dial agent to the gate")
    assert story.last.effects[0].caller_id == OTHER_NUMBER
    story.refused("agent", code=21212).expect("bridged", "dial agent to the gate", phase="ringing")
    assert story.last.effects[0].caller_id == ""
    dial_id = story.session.parties["agent"].dial_id
    story.gate("former agent").expect("bridged", phase="ringing")
    story.gate("former agent", "accepted").expect("bridged", phase="ringing")
    agent = story.session.parties["agent"]
    assert (agent.dial_id, agent.call_sid, agent.answered) == (dial_id, "", False)


def test_party_can_not_be_added_under_a_name_that_is_taken():
    story = ordering(Scenario().answered).add("agent").expect("bridged", outcome="refused")
    story.expect_refused("add-1", "a party with this name is already on the call", "convert", "transfer", "end")


def test_party_can_not_be_added_to_a_full_call():
    story = ordering(Scenario().comes_in, attributes=ConferenceAttributes(max_participants=2)).call(
        "agent", "in-progress"
    )
    story.add().expect_refused("add-1", "the conference is full", "convert", "transfer", "end")


def test_recording_over_the_bridge_is_neither_started_nor_resumed_while_it_runs():
    story = ordering(Scenario().answered).record("start").recorded()
    refused_because(story.record("start", "again"), "again", "already recording")
    story.record("resume").expect("bridged").expect_command("record-resume", "done")
    story.record("pause").expect("bridged", "paused recording").recorded()
    story.record("pause", "again-2").expect("bridged").expect_command("again-2", "done")


def test_recording_of_a_conference_that_has_failed_is_not_started_over_the_bridge():
    """Its callback overtook the join that shows the conference."""
    story = recorded("true").recording("absent").expect("bridged").expect_recording("absent")
    refused_because(story.record("start"), "record-start",
                    "the conference's recording was stopped and can't be restarted")  # fmt: skip


@pytest.mark.parametrize("address", [LAWYER, CUSTOMER_NUMBER])
def test_refused_add_does_not_take_the_name(address):
    story = ordering(Scenario().answered).add("agent", to=address).add("lawyer", "add-2", to=address)
    story.expect("converting", "move agent").expect_command("add-2", "accepted")


def test_end_of_a_dial_into_a_conference_does_not_end_the_bridge():
    story = Scenario().answered().dial_ends("completed", call_status="completed", dial="conference")
    story.expect("bridged", outcome="stayed", phase="connected").expect_timers()
