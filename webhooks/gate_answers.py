"""What a call is told that was placed by REST and stands at our gate: decided from the session and the key. Pure.

Who may pass is decided once more by Redis, which gives a dial to one call and a contest to one dial.
"""

from enum import StrEnum

from conferral.statemachine.events import GateDecision
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, OUTBOUND, TARGET
from conferral.statemachine.states import Opening, PartyStatus, SessionMode, State
from conferral.storage.ingest import PartyFacts, SessionFacts
from conferral.telephony.phrases import TURNED_AWAY, Phrase

#: How often the gate's document is asked for: after the answer, and after each of the two questions for a key.
ASKED_MAX = 3
#: The key that takes the call.
_TAKES = "1"


class Way(StrEnum):
    """Where a call goes that is let in."""

    #: Into the session's conference.
    CONFERENCE = "conference"
    #: The agent of a `call` with mode `conference`: into the conference, which he starts, to wait for the customer.
    EMPTY_CONFERENCE = "empty-conference"
    #: The agent of a `call`: to the customer, by an ordinary `<Dial>`.
    CUSTOMER = "customer"
    #: Nobody waits for it (any more).
    NOWHERE = "nowhere"


def way_of(facts: SessionFacts | None, dial_id: str) -> Way:
    """Where a dial leads as things stand.

    Args:
        facts: The session; None when nobody knows it.
        dial_id: The dial that made the call.
    """
    name = facts.dialled_by(dial_id) if facts else ""
    if facts is None or not name:
        return Way.NOWHERE
    if facts.state == State.ENDED or _is_out(facts.parties[name]):
        return Way.NOWHERE
    is_agent_of_call = facts.direction == OUTBOUND and name == AGENT
    if is_agent_of_call and facts.mode == SessionMode.CONFERENCE and facts.opening != Opening.OVER:
        return Way.EMPTY_CONFERENCE
    if facts.state == State.BRIDGED and is_agent_of_call:
        return Way.CUSTOMER
    if facts.state == State.TRANSFERRING or (facts.state == State.CONFERENCED and _is_dialled_in(facts, name)):
        return Way.CONFERENCE
    return Way.NOWHERE


def _is_dialled_in(facts: SessionFacts, name: str) -> bool:
    """Whether somebody is dialled into a conference in which no transfer runs.

    Those are supervisors, parties that were added, and whoever a conference from the start waits for. A target is late.
    """
    if name in (CUSTOMER, AGENT):
        return facts.opening != Opening.OVER
    return name != TARGET and not name.startswith(f"{TARGET}-")


def decide(facts: SessionFacts | None, dial_id: str, *, asked: int, pressed: str) -> GateDecision | None:
    """What becomes of the call, as far as it is up to the call and the session; None while a key is asked for.

    Who was asked and does not take the call is told the same however often the request is repeated, whatever has become
    of the session in between.

    Args:
        facts: The session; None when nobody knows it.
        dial_id: The dial that made the call.
        asked: 1 after the answer, 2 and 3 after a question for a key.
        pressed: What was pressed then, empty for nothing.
    """
    if asked > 1 and pressed not in ("", _TAKES):
        return GateDecision.REJECTED
    if asked >= ASKED_MAX and not pressed:
        return GateDecision.NO_CONFIRMATION
    if facts is None or way_of(facts, dial_id) is Way.NOWHERE:
        return GateDecision.TAKEN if _has_lost(facts, dial_id) else GateDecision.TOO_LATE
    must_press = asked > 1 or facts.parties[facts.dialled_by(dial_id)].confirm
    if not must_press or (asked > 1 and pressed):
        return GateDecision.ACCEPTED
    return None


def gone_rivals(facts: SessionFacts, dial_id: str) -> tuple[str, ...]:
    """Dials that ring or rang for the same call, and whose people have left or are to leave.

    Whoever has won a contest may hang up on the way into the conference. The call is still there to be taken then.

    Args:
        facts: The session.
        dial_id: A dial that brings somebody in.
    """
    contest = facts.parties[facts.dialled_by(dial_id)].contest
    rivals = (party for party in facts.parties.values() if party.contest == contest and party.dial_id != dial_id)
    return tuple(rival.dial_id for rival in rivals if rival.dial_id and _is_out(rival))


def _is_out(party: PartyFacts) -> bool:
    return party.is_leaving or party.status == PartyStatus.LEFT


def _has_lost(facts: SessionFacts | None, dial_id: str) -> bool:
    """Whether somebody else who rang for the same call has it, so that this one is only late."""
    name = facts.dialled_by(dial_id) if facts else ""
    if facts is None or not name or not facts.parties[name].contest:
        return False
    return any(
        other.contest == facts.parties[name].contest and other.status == PartyStatus.CONNECTED and not other.is_leaving
        for other in facts.parties.values()
    )


def sentence(decision: GateDecision, facts: SessionFacts | None) -> Phrase:
    """What somebody hears whom the gate turns away."""
    customer = facts.parties.get(CUSTOMER) if facts else None
    if (
        decision is GateDecision.TOO_LATE
        and facts is not None
        and facts.direction == INBOUND
        and customer is not None
        and customer.status == PartyStatus.LEFT
        and not customer.is_leaving  # else it was us who let the caller go
    ):
        return Phrase.CALLER_HUNG_UP
    return TURNED_AWAY[decision]
