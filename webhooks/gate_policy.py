"""Gate policy: what an answered call hears, by session and key. Pure."""

from enum import StrEnum

from conferral.statemachine.events import GateDecision
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, OUTBOUND, TARGET
from conferral.statemachine.states import Opening, PartyStatus, SessionMode, State
from conferral.storage.codecs.session_view import PartyView, SessionView
from conferral.telephony.phrases import GATE_REJECTIONS, Phrase

#: Times that the gate decides, count: after the answer, and after each of the two prompts for a key.
QUESTIONS_MAX = 3
_ACCEPT_DIGIT = "1"


class GateRoute(StrEnum):
    """Where an accepted call goes."""

    CONFERENCE = "conference"
    #: The agent of a `call` with mode `conference`: starts the conference, and waits there for the customer.
    EMPTY_CONFERENCE = "empty-conference"
    #: The agent of a `call`: to the customer, by an ordinary `<Dial>`.
    CUSTOMER = "customer"
    NOWHERE = "nowhere"


def route_of(view: SessionView | None, dial_id: str) -> GateRoute:
    """Return where to connect the party that answered this dial."""
    name = view.dialed_by(dial_id) if view else ""
    if view is None or not name:
        return GateRoute.NOWHERE
    if view.state == State.ENDED or _has_left(view.parties[name]):
        return GateRoute.NOWHERE
    is_agent_of_call = view.direction == OUTBOUND and name == AGENT
    if is_agent_of_call and view.mode == SessionMode.CONFERENCE and view.opening != Opening.OVER:
        return GateRoute.EMPTY_CONFERENCE
    if view.state == State.BRIDGED and is_agent_of_call:
        return GateRoute.CUSTOMER
    if view.state == State.TRANSFERRING or (view.state == State.CONFERENCED and _joins_conference(view, name)):
        return GateRoute.CONFERENCE
    return GateRoute.NOWHERE


def _joins_conference(view: SessionView, name: str) -> bool:
    """Whether a dialed party joins without a transfer; a target is too late."""
    if name in (CUSTOMER, AGENT):
        return view.opening != Opening.OVER
    return name != TARGET and not name.startswith(f"{TARGET}-")


def decide(view: SessionView | None, dial_id: str, *, question: int, pressed: str) -> GateDecision | None:
    """Decide by the session and the key; return None to prompt for a key."""
    # A party that declined gets the same answer to a repeated request, whatever the session has done since.
    if question > 1 and pressed not in ("", _ACCEPT_DIGIT):
        return GateDecision.REJECTED
    if question >= QUESTIONS_MAX and not pressed:
        return GateDecision.NO_CONFIRMATION
    if view is None or route_of(view, dial_id) is GateRoute.NOWHERE:
        return GateDecision.TAKEN if _was_answered_elsewhere(view, dial_id) else GateDecision.TOO_LATE
    must_press = question > 1 or view.parties[view.dialed_by(dial_id)].confirm
    return GateDecision.ACCEPTED if not must_press or (question > 1 and pressed) else None


def released_dials(view: SessionView, dial_id: str) -> tuple[str, ...]:
    """Return the ring group's dials whose parties have left or are leaving."""
    # A winner may hang up on the way into the conference. Another party can then take the call.
    ring_group = view.parties[view.dialed_by(dial_id)].ring_group
    targets = (party for party in view.parties.values() if party.ring_group == ring_group and party.dial_id != dial_id)
    return tuple(target.dial_id for target in targets if target.dial_id and _has_left(target))


def _has_left(party: PartyView) -> bool:
    return party.is_leaving or party.status == PartyStatus.LEFT


def _was_answered_elsewhere(view: SessionView | None, dial_id: str) -> bool:
    """Whether another party of the ring group has taken the call."""
    name = view.dialed_by(dial_id) if view else ""
    if view is None or not name or not view.parties[name].ring_group:
        return False
    return any(
        other.ring_group == view.parties[name].ring_group
        and other.status == PartyStatus.CONNECTED
        and not other.is_leaving
        for other in view.parties.values()
    )


def refusal_phrase(decision: GateDecision, view: SessionView | None) -> Phrase:
    """Return what a refused party hears."""
    customer = view.parties.get(CUSTOMER) if view else None
    if (
        decision is GateDecision.TOO_LATE
        and view is not None
        and view.direction == INBOUND
        and customer is not None
        and customer.status == PartyStatus.LEFT
        and not customer.is_leaving  # otherwise we hung up on the caller
    ):
        return Phrase.CALLER_HUNG_UP
    return GATE_REJECTIONS[decision]
