"""Reservations of dials within the limits: a command's, a session's own, and dials that the limits refuse."""

from conferral.statemachine.effects import Dial, effect_id
from conferral.statemachine.events import ParkOverdue, Retrieve
from conferral.statemachine.session import Session
from tests.statemachine.command_scenarios import added, supervised
from tests.statemachine.conference_scenarios import parked, waiting
from tests.statemachine.scenario import BOB, CAROL, OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, dialing


def reservations(story: Scenario) -> list[str]:
    """The reservations of all dials so far."""
    return [effect.reservation for effect in story.effects if isinstance(effect, Dial)]


def own(session: Session, party: str) -> str:
    """A reservation of a session's own: the same for a dial that is decided again, and without a SID."""
    return effect_id(session.id, "", 0, "dial", session.parties[party].label)


def test_command_that_dials_uses_its_reservations():
    assert reservations(dialing("consult")) == ["transfer-1#1"]
    assert reservations(dialing("warm", BOB, CAROL)) == ["transfer-1#1", "transfer-1#2"]
    assert reservations(blind_from_bridge()) == ["transfer-1#1"]
    assert reservations(added()) == ["add-1#1"]
    assert reservations(supervised()) == ["supervise-1#1"]
    assert reservations(parked().command(Retrieve, "retrieve-1", to=CAROL)) == ["retrieve-1#1"]


def test_call_uses_its_second_reservation_for_the_customer_of_a_conference():
    assert reservations(Scenario(session_id=OUTBOUND).calls_out()) == ["call-1#1"]
    story = Scenario(session_id=OUTBOUND).calls_out(mode="conference")
    story.placed("agent").call("agent", "ringing").gate("agent").gate("agent", "accepted").joins("agent", starts=False)
    assert reservations(story) == ["call-1#1", "call-1#2"]


def test_dials_that_no_command_asked_for_have_reservations_of_their_own():
    story = waiting()
    assert reservations(story) == [own(story.session, "agent")]
    story = parked().fires(ParkOverdue)
    assert reservations(story) == [own(story.session, "agent")]
    story = blind_from_bridge().placed("target").call("target", "busy")
    assert reservations(story) == ["transfer-1#1", own(story.session, "agent")]


def test_repeated_dial_that_twilio_refused_needs_no_second_reservation():
    story = dialing("warm", caller_id="+14155550100").refused("target")
    assert reservations(story) == ["transfer-1#1", ""]
