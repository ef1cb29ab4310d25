"""Dials and their outcomes: what flows and exploration do not reach."""

from functools import partial

import pytest

from conferral.statemachine.effects import Dial, FindCall
from conferral.statemachine.events import CallsOverdue, DialOverdue
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.conference_scenarios import (
    SECOND_CALL,
    as_conference,
    called_in,
    retrieving,
    waiting,
)
from tests.statemachine.scenario import ALICE, BOB, CAROL, OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, dialing, searched_in_vain
from tests.support.people import AGENT_PHONE

DAN = "+14155550199"


@pytest.mark.parametrize("how", ["nothing", "refused", "unknown"])
def test_gated_dial_that_is_not_found_has_failed(how):
    story = searched_in_vain(dialing("warm", confirm=True).unknown_outcome("target"), "target", how)
    story.expect("conferenced", "flag agent").expect_transfer("failed", "unknown")
    story.gate("target").expect("conferenced", "hang up target")


PARAMS = {"params": "name=Ada"}


def params_dialed(story: Scenario) -> list[str]:
    """The parameters of the dials, and of the search for one, that the last event led to."""
    return [effect.options.params for effect in story.last.effects if isinstance(effect, Dial | FindCall)]


def test_every_command_that_dials_passes_its_params_on_and_no_other_dial_has_them():
    assert params_dialed(Scenario(session_id=OUTBOUND).calls_out(**PARAMS)) == ["name=Ada"]
    assert params_dialed(called_in(**PARAMS)) == [""]  # the customer's
    assert params_dialed(retrieving(**PARAMS)) == ["name=Ada"]
    assert params_dialed(ordering().add(**PARAMS).confirms("customer", "agent")) == ["name=Ada"]
    assert params_dialed(ordering().supervise(**PARAMS).confirms("customer", "agent")) == ["name=Ada"]
    assert params_dialed(dialing("warm", BOB, CAROL, **PARAMS)) == ["name=Ada"] * 2
    story = blind_from_bridge(**PARAMS)
    assert params_dialed(story) == ["name=Ada"]
    assert params_dialed(story.refused("target", code=16099)) == ["name=Ada"]  # dialed again, to the gate
    assert params_dialed(story.unknown_outcome("target").fires(DialOverdue)) == ["name=Ada"]
    story.found("target", call_sid="").fires(DialOverdue)
    assert params_dialed(story.found("target", call_sid="")) == [""]  # the recall


def test_phone_of_the_last_transfer_is_hung_up_when_its_call_is_known():
    """Its dial waited for Twilio while another target took the call."""
    story = dialing("warm", BOB, CAROL).takes_part("target-1").complete().leaves("agent")
    story.transfer("blind", DAN, command_id="transfer-2").expect("transferring", "unflag agent")
    story.placed("target-2").expect("transferring", "hang up target-2")


def lost_ring_group(mode: str, *, is_reported_before: bool) -> Scenario:
    """Two targets ring, of which Redis has forgotten all callbacks: the calls are unknown, and one target answers."""
    begin = blind_from_bridge if mode == "blind" else partial(dialing, mode)
    story = as_conference(begin(BOB, CAROL)).sweep_finds("writes-lost", conference="").expect("transferring", "look")
    names = ("target-1", "target-2") if is_reported_before else ("target-1",)
    for name in names:
        story.unknown_outcome(name)
    return story.gate("target-1").gate("target-1", "accepted").joins("target-1")


@pytest.mark.parametrize("mode", ["blind", "warm", "consult"])
def test_target_of_a_lost_ring_group_is_hung_up_when_another_answers(mode):
    story = lost_ring_group(mode, is_reported_before=True)
    assert "find target-2" in story.words()
    story.found("target-2")
    assert story.last.effects[0].call_sid == story.legs["target-2"].call_sid
    story.expect(story.session.state, "hang up a call")
    story.gate("target-2").expect(story.session.state)


def called(**options) -> Scenario:
    return Scenario(session_id=OUTBOUND).calls_out(**options)


def test_refused_dial_ends_it():
    called().refused("agent").expect("ended", reason="agent-failed").expect_command("call-1", "accepted", "failed")


@pytest.mark.parametrize("decision", ["", "accepted"])
@pytest.mark.parametrize("mode", ["bridge", "conference"])
def test_agent_missing_from_a_lost_end_is_hung_up_at_the_gate(mode, decision):
    """Redis has forgotten that the agent answered, and `end` is decided again before the gate's event."""
    story = called(mode=mode).unknown_outcome("agent").end().expect("ended", "find agent")
    story.gate("agent", "no-confirmation").expect("ended", outcome="stale")
    story.gate("agent", decision).expect("ended", "hang up a call")
    assert story.last.effects[0].call_sid == story.legs["agent"].call_sid


@pytest.mark.parametrize("mode", ["bridge", "conference"])
def test_check_after_a_loss_searches_for_an_unknown_dial_of_an_ended_session(mode):
    """Redis has lost the gate's event, too: nothing else names the call."""
    story = called(mode=mode).unknown_outcome("agent").end()
    story = as_conference(story).sweep_finds("writes-lost", conference="").expect("ended", "find agent")
    assert story.last.effects[0].dial_id == story.legs["agent"].dial
    story.found("agent").expect("ended", "hang up a call")
    assert story.last.effects[0].call_sid == story.legs["agent"].call_sid


@pytest.mark.parametrize("how", ["nothing", "refused", "unknown", "no answer"])
def test_agent_who_talks_is_searched_for_until_the_call_is_found(how):
    story = called().unknown_outcome("agent").call("customer", "in-progress").fires(DialOverdue)
    story.expect("bridged", "find agent")
    if how == "nothing":
        story.found("agent", call_sid="")
    elif how != "no answer":
        (story.fails if how == "refused" else story.is_unknown)("find_call", "agent")
    story.fires(DialOverdue).expect("bridged", "find agent", phase="connected").found("agent")
    assert story.session.parties["agent"].call_sid == story.legs["agent"].call_sid


@pytest.mark.parametrize("how", ["nothing", "refused", "unknown"])
def test_dial_that_is_not_found_ends_it_and_is_never_repeated(how):
    story = searched_in_vain(called().unknown_outcome("agent"), "agent", how)
    story.expect("ended", reason="agent-failed")
    assert [effect.kind for effect in story.effects].count("create_call") == 1
    story.call("agent", "ringing").expect("ended", "hang up a call")


def rings(*others):
    return as_conference(Scenario().comes_in(other_agents=others or (BOB,)).call("agent", "ringing"))


@pytest.mark.parametrize("status, phase", [
    ("initiated", "ringing"), ("ringing", "ringing"), ("in-progress", "connected"),
])  # fmt: skip
def test_callback_of_the_next_agent_may_come_before_the_action_of_the_first(status, phase):
    story = rings().call("agent", "busy").next_agent().call("agent", status, agent_number=1)
    story.expect("bridged", phase=phase)
    assert story.session.parties["agent"].call_sid == SECOND_CALL
    story.dial_ends("busy", call_status="ringing").expect("bridged", outcome="stale", phase=phase)
    story.call("former agent", "busy", token="late").expect("bridged", outcome="stale", phase=phase)
    assert story.session.parties["agent"].address == BOB


def test_next_agent_that_answered_is_found_by_the_read():
    story = rings().call("agent", "busy").fires(CallsOverdue).next_agent()
    story.reads(customer="in-progress", **{"former agent": "busy"}, agent="in-progress")
    story.expect("bridged", phase="connected").expect_timers()
    assert story.session.agent_number == 1


def test_callback_names_the_agent_whose_call_a_read_showed_first():
    """After a restart of Redis, a session reads before it sees the callbacks that waited."""
    story = as_conference(Scenario().comes_in(other_agents=(BOB,))).next_agent()
    story.reads(customer="in-progress", agent="in-progress").expect("bridged", phase="connected")
    assert story.session.parties["agent"].address == ALICE
    story.call("agent", "in-progress", agent_number=1).expect("bridged", phase="connected")
    agent = story.session.parties["agent"]
    assert (agent.address, agent.call_sid, story.session.agent_number) == (BOB, SECOND_CALL, 1)


def test_read_between_two_agents_ends_nothing():
    """The action's answer is in transit; if it never arrives, Twilio hangs the caller up, and a read shows it."""
    story = rings().call("agent", "busy").fires(CallsOverdue).reads(customer="ringing", agent="busy")
    story.expect("bridged", phase="ringing").expect_timers("calls").fires(CallsOverdue).expect("bridged", "look")
    story.reads(customer="completed", agent="busy").expect("ended", reason="agent-busy")


def test_attempt_of_an_agent_who_declined_says_so_although_the_action_came_first():
    """The action only knows that the line was busy, and rings the next agent."""
    story = as_conference(Scenario().comes_in(other_agents=(BOB,))).dial_ends("busy", call_status="ringing")
    assert [one.result for one in story.session.attempts] == ["busy", ""]
    story.call("agent", "busy", sip=603)
    assert [one.result for one in story.session.attempts] == ["rejected", ""]


REFUSED = {"call_status": "ringing", "failed_with_callers_number": True}


def phone_rings(*others):
    return as_conference(Scenario().comes_in(agent_address=AGENT_PHONE, other_agents=others)).call("agent", "initiated")


def test_agent_whose_second_dial_fails_too_is_given_up():
    story = phone_rings().dial_ends("failed", **REFUSED).dial_ends("failed", call_status="ringing", agent_number=1)
    story.expect("bridged").fires(CallsOverdue).expect("ended", reason="agent-failed")


def test_agent_of_an_outbound_call_is_not_dialed_again_by_the_bridge():
    called().placed("agent").dial_ends("failed", **REFUSED).expect("bridged")


TWO = {"other_agents": (BOB,)}


def test_call_that_is_refused_too_is_not_placed_again():
    story = waiting(**TWO).refused("agent", code=16099).expect("conferenced", "dial agent to the gate")
    story.refused("agent", code=16099).expect("conferenced", "dial agent")
    assert story.last.effects[0].to == BOB


@pytest.mark.parametrize(
    "options, code", [({"caller_id": "+14155550100"}, 21210), ({}, 16099)], ids=["caller-id", "gate"]
)
def test_only_a_dial_that_twilio_refused_before_is_a_redial_and_counts_no_second_time(options, code):
    story = dialing("warm", **options)
    assert [effect.is_redial for effect in story.last.effects if isinstance(effect, Dial)] == [False]
    story.refused("target", code=code)
    assert [effect.is_redial for effect in story.last.effects if isinstance(effect, Dial)] == [True]
