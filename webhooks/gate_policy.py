"""What a call is told that was placed by REST and stands at our gate: decided from the session and the key. Pure.

Who may pass is decided once more by Redis, which gives a dial to one call and a contest to one dial.
"""

from enum import StrEnum

from conferral.statemachine.events import GateDecision
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, OUTBOUND, TARGET
from conferral.statemachine.states import Opening, PartyStatus, SessionMode, State
from conferral.storage.ingest.port import PartyView, SessionView
from conferral.telephony.phrases import GATE_REJECTIONS, Phrase

#: How often the gate's document is asked for: after the answer, and after each of the two questions for a key.
REQUESTS_MAX = 3
#: The key that takes the call.
_ACCEPT_DIGIT = "1"


class GateRoute(StrEnum):
    """Where a call goes that is let in."""

    #: Into the session's conference.
    CONFERENCE = "conference"
    #: The agent of a `call` with mode `conference`: into the conference, which he starts, to wait for the customer.
    EMPTY_CONFERENCE = "empty-conference"
    #: The agent of a `call`: to the customer, by an ordinary `<Dial>`.
    CUSTOMER = "customer"
    #: Nobody waits for it (any more).
    NOWHERE = "nowhere"


def route_of(view: SessionView | None, dial_id: str) -> GateRoute:
    """Where a dial leads as things stand.

    Args:
        view: The session; None when nobody knows it.
        dial_id: The dial that made the call.
    """
    name = view.dialled_by(dial_id) if view else ""
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
    """Whether somebody is dialled into a conference in which no transfer runs.

    Those are supervisors, parties that were added, and whoever a conference from the start waits for. A target is late.
    """
    if name in (CUSTOMER, AGENT):
        return view.opening != Opening.OVER
    return name != TARGET and not name.startswith(f"{TARGET}-")


def decide(view: SessionView | None, dial_id: str, *, question: int, pressed: str) -> GateDecision | None:
    """What becomes of the call, as far as it is up to the call and the session; None while a key is asked for.

    Who was asked and does not take the call is told the same however often the request is repeated, whatever has become
    of the session in between.

    Args:
        view: The session; None when nobody knows it.
        dial_id: The dial that made the call.
        question: 1 after the answer, 2 and 3 after a question for a key.
        pressed: What was pressed then, empty for nothing.
    """
    if question > 1 and pressed not in ("", _ACCEPT_DIGIT):
        return GateDecision.REJECTED
    if question >= REQUESTS_MAX and not pressed:
        return GateDecision.NO_CONFIRMATION
    if view is None or route_of(view, dial_id) is GateRoute.NOWHERE:
        return GateDecision.TAKEN if _was_answered_elsewhere(view, dial_id) else GateDecision.TOO_LATE
    must_press = question > 1 or view.parties[view.dialled_by(dial_id)].confirm
    if not must_press or (question > 1 and pressed):
        return GateDecision.ACCEPTED
    return None


def released_targets(view: SessionView, dial_id: str) -> tuple[str, ...]:
    """Dials that ring or rang for the same call, and whose people have left or are to leave.

    Whoever has won a contest may hang up on the way into the conference. The call is still there to be taken then.

    Args:
        view: The session.
        dial_id: A dial that brings somebody in.
    """
    ring_group = view.parties[view.dialled_by(dial_id)].ring_group
    targets = (party for party in view.parties.values() if party.ring_group == ring_group and party.dial_id != dial_id)
    return tuple(target.dial_id for target in targets if target.dial_id and _has_left(target))


def _has_left(party: PartyView) -> bool:
    return party.is_leaving or party.status == PartyStatus.LEFT


def _was_answered_elsewhere(view: SessionView | None, dial_id: str) -> bool:
    """Whether somebody else who rang for the same call has it, so that this one is only late."""
    name = view.dialled_by(dial_id) if view else ""
    if view is None or not name or not view.parties[name].ring_group:
        return False
    return any(
        other.ring_group == view.parties[name].ring_group
        and other.status == PartyStatus.CONNECTED
        and not other.is_leaving
        for other in view.parties.values()
    )


def refusal_phrase(decision: GateDecision, view: SessionView | None) -> Phrase:
    """What somebody hears whom the gate turns away."""
    customer = view.parties.get(CUSTOMER) if view else None
    if (
        decision is GateDecision.TOO_LATE
        and view is not None
        and view.direction == INBOUND
        and customer is not None
        and customer.status == PartyStatus.LEFT
        and not customer.is_leaving  # else it was us who let the caller go
    ):
        return Phrase.CALLER_HUNG_UP
    return GATE_REJECTIONS[decision]
