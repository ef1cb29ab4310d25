"""After a loss of Redis, a command is decided again, and what it had led to shows before."""

import pytest

from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import LoneOverdue
from conferral.storage.agents import identities_of
from tests.statemachine.call_legs import Leg
from tests.statemachine.conference_scenarios import ConferenceScenario, as_conference
from tests.statemachine.scenario import ALICE, CONFERENCE, Scenario
from tests.statemachine.test_lost_agents import conferenced as desk_conferenced
from tests.statemachine.test_queue import queued
from tests.statemachine.transfer_scenarios import conferenced

BOTH = ("customer", "agent")


def lost(begin: Scenario) -> ConferenceScenario:
    """The session has read Twilio after a loss that was noted; `target` rings, of whose dial it knows nothing."""
    story = as_conference(begin).sweep_finds("writes-lost", conference="")
    story.legs["target"] = Leg("CA" + "8" * 32, "target", "target-2", dial="lost", is_gated=True)
    return story


def both_talk() -> ConferenceScenario:
    story = lost(conferenced())
    story.legs["customer"].end_on_exit = story.legs["agent"].end_on_exit = True
    return as_conference(story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=BOTH))


def agent_is_gone(begin=conferenced) -> ConferenceScenario:
    """Our own request, which Redis lost, has hung up the agent."""
    story = lost(begin())
    story.legs["customer"].end_on_exit = True
    return as_conference(
        story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer",))
    )


@pytest.mark.parametrize("shown_by", ["call", "gate"])
@pytest.mark.parametrize("is_before", [True, False])
def test_phone_that_answers_a_lost_dial_is_neither_hung_up_nor_rung_again(shown_by, is_before):
    """Its command is decided again before or after the answer shows, and dials after that."""
    story = both_talk()
    if is_before:
        story.transfer("warm", ALICE, confirm=True).expect("transferring", "unflag agent")
    state = story.session.state.value
    story = story.call("target", "in-progress") if shown_by == "call" else story.gate("target")
    story.expect(state)
    if not is_before:
        story.transfer("warm", ALICE, confirm=True).expect("transferring", "unflag agent")
    story.confirms("agent").expect("transferring").expect_parties(
        customer="connected", agent="connected", target="confirming"
    )
    story.gate("target", "accepted").joins("target").expect("transferring")
    story.expect_command("transfer-1", "accepted", "done").expect_transfer("merged")
    story.expect_attempts((ALICE, "answered"))


def test_phone_that_rings_for_a_lost_dial_rings_on():
    story = both_talk().call("target", "initiated").call("target", "ringing").expect("conferenced")
    story.transfer("warm", ALICE, confirm=True).confirms("agent").expect("transferring")
    story.gate("target").expect_transfer("confirming").gate("target", "accepted").joins("target")
    story.expect_command("transfer-1", "accepted", "done")


@pytest.mark.parametrize("happens", [
    lambda story: story.call("target", "no-answer"), lambda story: story.transfer("warm", confirm=True),
])  # fmt: skip
def test_another_phone_is_dialed(happens):
    """The call is over before its command is decided again, or the command is for another."""
    story = happens(both_talk().call("target", "ringing"))
    if story.session.transfer is None:
        story.transfer("warm", ALICE, confirm=True)
    story.confirms("agent").expect("transferring", "dial target to the gate")


def test_call_of_an_unknown_dial_is_hung_up_long_after_a_loss():
    both_talk().later(60_000).call("target", "in-progress").expect("conferenced", "hang up a call")


@pytest.mark.parametrize("command, phase", [("transfer", "blind"), ("park", "park")])
def test_agent_whom_a_lost_command_has_released_is_not_missed(command, phase):
    story = agent_is_gone().expect("conferenced").later(5_000)
    story = story.transfer("blind", ALICE) if command == "transfer" else story.park()
    story.expect("transferring", "hold customer", phase=phase).confirms("customer")
    story.expect_command(f"{command}-1", *(("accepted",) if command == "transfer" else ("accepted", "done")))


def test_commands_that_need_the_agent_are_refused_without():
    agent_is_gone().transfer("warm", ALICE).expect_refused("transfer-1", "one of the two parties has hung up")


def test_customer_whose_command_does_not_return_is_alone():
    story = agent_is_gone()
    began_ms = story.session.lost_at_ms
    story.fires(LoneOverdue).expect("ended", "end room")
    assert story.now_ms - began_ms == 10_000


def test_agent_with_a_desk_is_rung_again_only_if_no_command_returns():
    story = agent_is_gone(desk_conferenced).expect("conferenced")
    story.fires(LoneOverdue).expect("transferring", "hold customer", "look", phase="recall")


def test_bridge_whose_agent_a_lost_command_has_released_goes_on():
    story = lost(Scenario().answered()).reads(customer="in-progress", agent="completed")
    story.expect("bridged").transfer("blind", ALICE).expect("transferring", phase="blind")
    story.expect_command("transfer-1", "accepted")


def test_caller_whom_a_lost_command_has_moved_waits_for_it():
    story = lost(Scenario().answered())
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer",))
    story.expect("conferenced", "flag customer").transfer("blind", ALICE).expect(
        "transferring", "hold customer", phase="blind"
    )


def test_phone_that_answers_during_a_conversion_is_kept_for_its_command():
    story = lost(Scenario().answered().convert()).call("target", "ringing").expect("converting")
    story.gate("target").expect("converting")
    (lost_dial,) = story.session.lost_dials
    assert (lost_dial.call_sid, lost_dial.is_answered) == (story.legs["target"].call_sid, True)


def test_gate_of_an_unknown_dial_during_a_conversion_is_only_logged():
    story = lost(Scenario().answered().convert()).later(60_000).gate("target").expect("converting", "look")
    assert story.session.lost_dials == ()


@pytest.mark.parametrize("shown_by", ["read", "join"])
def test_agent_whose_offer_was_lost_has_an_address_once_a_read_shows_the_call(shown_by):
    """Otherwise, presence says that the agent is free, and the next caller is offered to them."""
    story = as_conference(queued().sweep_finds("writes-lost", conference=""))
    story.legs["agent"] = Leg("CA" + "8" * 32, "agent", "agent-2", dial="lost")
    if shown_by == "join":
        story.joins("agent")
        assert identities_of(story.session) == frozenset()
        assert story.words()[-1] == "look"
        (read,) = [one for one in story.effects if isinstance(one, ReadCalls)][-1:]
        assert read.unproven_sids == (story.legs["agent"].call_sid,)
    else:
        story.legs["agent"].in_conference = True
    story.reads(conference=CONFERENCE, inside=("customer", "agent"), agent="in-progress", to=ALICE)
    assert identities_of(story.session) == {"alice"}
    story.expect_parties(customer="connected", agent="connected")
