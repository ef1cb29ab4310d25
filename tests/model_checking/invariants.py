"""What holds wherever a run stands, and what holds once nothing can happen any more but by someone's will."""

from conferral.statemachine.effects import UpdateParticipant
from conferral.statemachine.session import AGENT, CUSTOMER, Session
from conferral.statemachine.states import (
    WITHOUT_AGENT,
    Opening,
    ParticipantUpdate,
    Phase,
    State,
    TransferMode,
    TransferStage,
    TransferStatus,
)
from tests.model_checking import clock_steps
from tests.model_checking.canonical_values import NOW_MS
from tests.model_checking.configuration import AloneParty, ModelInputs, Place
from tests.model_checking.decision import BrokenLawError
from tests.model_checking.twilio_states import Leg

#: How long someone may be left alone, milliseconds: the grace, one sweep, and the reads that follow from it.
LONELY_MAX_MS = 30_000
_OPEN = frozenset({"accepted"})
# ---- what a place remembers --------------------------------------------------------------------------------------


def noted(system: ModelInputs, before: Place, after: Place) -> Place:
    """The place with what it has to remember for the laws: who is lonely, and what the sweep would find."""
    if (
        after.exchange == before.exchange
        and after.session == before.session
        and after.down_until_ms == before.down_until_ms
        and after.copy == before.copy
    ):
        return after
    since = dict(after.lonely)
    lonely = tuple(
        AloneParty(leg.sid, since.get(leg.sid, NOW_MS))
        for leg in system.exchanges.legs[after.exchange]
        if _is_lonely(system, after, leg)
    )
    is_different = bool(clock_steps.difference(system, after, NOW_MS))
    return after._replace(
        lonely=lonely,
        differs_since_ms=(after.differs_since_ms or NOW_MS) if is_different else 0,
    )


def _is_lonely(system: ModelInputs, place: Place, leg: Leg) -> bool:
    if leg.is_foreign or leg.hears in ("", "parties", "speech", "digits"):
        return False
    session, legs = system.sessions.known[place.session], system.exchanges.legs[place.exchange]
    if any(other.status in ("queued", "ringing") for other in legs if other is not leg):
        return False  # someone is on the way: that ends by itself
    if leg.hears == "silence":
        # Next to someone who is held or muted one is not alone.
        return not leg.conference_sid or not _has_company(session, legs, leg)
    return not _waits_for_a_reason(session, legs, leg)


def _waits_for_a_reason(session: Session, legs: tuple[Leg, ...], leg: Leg) -> bool:
    """Whether someone who hears ringing or music does so for a reason."""
    if session.state is State.TRANSFERRING or session.phase in (Phase.PARKED, Phase.QUEUED, Phase.RINGING):
        return True
    if session.version and session.opening is not Opening.OVER:
        return True
    return leg.held and _has_company(session, legs, leg)


def _has_company(session: Session, legs: tuple[Leg, ...], leg: Leg) -> bool:
    supervisors = {party.call_sid for party in session.parties.values() if party.is_supervisor}
    others = (other for other in legs if other is not leg and other.sid not in supervisors)
    return any(other.conference_sid == leg.conference_sid for other in others)


# ---- at every moment ---------------------------------------------------------------------------------------------


def check(system: ModelInputs, place: Place) -> None:
    """Raises where a law is broken."""
    for sid, since_ms in place.lonely:
        if since_ms < NOW_MS - LONELY_MAX_MS:
            raise BrokenLawError("no one is stranded", f"{_who(system, place, sid)} has heard nobody for over 30 s")
    doubled = system.exchanges.dialed_twice[place.exchange]
    if doubled:
        raise BrokenLawError("no one is dialed twice for one intent", doubled)
    if not place.has_lost or (is_at_rest(system, place) and not place.down_until_ms):
        # Redis may have forgotten that the consult is over; the check of the session finds out.
        _check_consult(system, place)
    if clock_steps.next_due_ms(system, place) is None and is_at_rest(system, place):
        check_at_rest(system, place)


def is_at_rest(system: ModelInputs, place: Place) -> bool:
    """Whether nothing is under way at this moment."""
    return not system.exchanges.fetches[place.exchange] and not clock_steps.is_moving(system, place)


def _check_consult(system: ModelInputs, place: Place) -> None:
    session = system.sessions.known[place.session]
    transfer = session.transfer
    if transfer is None or not transfer.is_running or transfer.mode is not TransferMode.CONSULT:
        return
    if session.state is not State.TRANSFERRING or transfer.step_name in ("merge", "complete"):
        return
    if transfer.status is TransferStatus.MERGED:
        return
    customer, agent = session.parties[CUSTOMER], session.parties[AGENT]
    if agent.is_gone or agent.is_leaving or session.phase is not Phase.CONSULT:
        return
    legs = {leg.sid: leg for leg in system.exchanges.legs[place.exchange]}
    targets = {party.call_sid for party in session.targets if party.call_sid}
    if agent.call_sid not in legs:
        return  # the agent has hung up: now the two shall hear each other, and a callback may not have reported it
    heard = legs[customer.call_sid].whom if customer.call_sid in legs else ()
    if not targets.isdisjoint(heard):
        raise BrokenLawError("the customer never hears a consult", f"stage {transfer.stage}")


def check_holds(system: ModelInputs, before: Place, after: Place) -> None:
    """Raises where a customer is put on hold to wait for someone, and hears someone who stays.

    Redis may have lost who was dialed, or moved: the join shows it a moment later.
    """
    session = system.sessions.known[after.session]
    if session.phase not in WITHOUT_AGENT or not system.flow.start_first or after.has_lost:
        return
    legs = {leg.sid: leg for leg in system.exchanges.legs[after.exchange]}
    for number in set(after.line) - set(before.line):
        effect = system.orders[number].effect
        if isinstance(effect, UpdateParticipant) and effect.update == ParticipantUpdate.HOLD:
            heard = legs[effect.call_sid].whom if effect.call_sid in legs else ()
            if any(_stays(session, sid) for sid in heard):
                raise BrokenLawError("no one who talks is put on hold to wait", effect.party)


def _stays(session: Session, sid: str) -> bool:
    """Whether no one has removed who is heard; until a dial is answered, the session doesn't know its call."""
    party = session.find_party(call_sid=sid)
    if party is None:
        return not any(dialed.is_leaving and not dialed.call_sid for dialed in session.parties.values())
    return not party.is_leaving


# ---- once nothing happens any more -------------------------------------------------------------------------------


def check_at_rest(system: ModelInputs, place: Place) -> None:
    """Raises where what the session believes is not so, or where it waits for nothing."""
    session, legs = system.sessions.known[place.session], system.exchanges.legs[place.exchange]
    if place.lonely:
        sid = place.lonely[0].sid
        raise BrokenLawError(
            "no one is stranded", f"{_who(system, place, sid)} hears nobody, and nothing happens any more"
        )
    if not session.version:
        if legs:
            raise BrokenLawError("every call has a session", f"{len(legs)} calls go on and nobody knows them")
        return
    if session.state is State.ENDED:
        if legs:
            raise BrokenLawError("the end is an end", f"{_who(system, place, legs[0].sid)} is still {legs[0].status}")
    else:
        _check_belief(session, legs)
        if place.line or place.asides:
            raise BrokenLawError("every order is carried out", "one is left")
    for command_id, status in place.reported:
        if status in _OPEN:
            raise BrokenLawError(
                "every command has an outcome", f"{command_id} is {status}, and nothing happens any more"
            )


def _check_belief(session: Session, legs: tuple[Leg, ...]) -> None:
    if not legs:
        raise BrokenLawError("a session ends when all have hung up", f"it is {session.state}, {session.phase}")
    there = {party.call_sid: party for party in session.parties.values() if not party.is_gone}
    if set(there) != {leg.sid for leg in legs}:
        wrong = sorted(party.name for sid, party in there.items() if sid not in {leg.sid for leg in legs})
        more = f"it believes that {', '.join(wrong)} is there" if wrong else "a call goes on that it does not know"
        raise BrokenLawError("what is believed is so", more)
    if session.state is State.BRIDGED:
        if session.phase is not Phase.CONNECTED or any(leg.conference_sid for leg in legs):
            raise BrokenLawError("a session waits for something", f"it is bridged, {session.phase}")
        return
    is_settled = session.state is State.CONFERENCED and session.phase is Phase.CONNECTED
    transfer = session.transfer
    talks = (
        session.state is State.TRANSFERRING
        and transfer is not None
        and transfer.stage in (TransferStage.TALKING, TransferStage.UNHOLDING)
        and transfer.step_name != "merge"
    )
    if not is_settled and not talks:
        stage = transfer.stage if transfer is not None and transfer.is_running else session.phase
        raise BrokenLawError(
            "a session waits for something", f"it is {session.state}, {stage}, and nothing happens any more"
        )
    for leg in legs:
        party = there[leg.sid]
        if party.in_conference != bool(leg.conference_sid) or leg.conference_sid not in ("", session.conference_sid):
            where = "in" if party.in_conference else "out of"
            raise BrokenLawError("what is believed is so", f"{party.name} is believed {where} the conference")
        if (party.held, party.muted) != (leg.held, leg.muted) and not party.is_supervisor:
            held = f"held {leg.held}, muted {leg.muted}"
            raise BrokenLawError("what is believed is so", f"{party.name} is {held}, and is believed otherwise")


def _who(system: ModelInputs, place: Place, sid: str) -> str:
    party = system.sessions.known[place.session].find_party(call_sid=sid)
    leg = next((leg for leg in system.exchanges.legs[place.exchange] if leg.sid == sid), None)
    return party.name if party is not None else f"the call to {leg.to}" if leg is not None else sid
