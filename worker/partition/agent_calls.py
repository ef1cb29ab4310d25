"""Which agents' rings and talks a decision ends. Pure."""

import re
from collections.abc import Iterator

from conferral.runtime.limits import IDENTITY
from conferral.statemachine.parts import Attempt
from conferral.statemachine.reasons import NOT_DIALED, Reason
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, SUPERVISOR, Party, Session
from conferral.storage.agent_calls import AgentCall, CallResult, EndedCall
from conferral.storage.codecs.text_codec import to_iso

_AGENT = re.compile(f"client:({IDENTITY})")
_ANSWERED = "answered"


def ended_calls(before: Session, after: Session) -> Iterator[EndedCall]:
    """Yield what one decision adds to agents' lists.

    A ring ends with its attempt's result, or with the session; a talk, with the agent's leg.
    """
    if before.is_ended or not before.version:
        return
    # The agents of a bridge, one after the other, have the same label.
    talked = {before.dial_of(party): party for party in before.parties.values() if _has_left(party, after)}
    for dial_id, party in talked.items():
        yield _talk(party, dial_id, after)
    known = {one.dial_id: one for one in _attempts(before)}
    for attempt in _attempts(after):
        was, identity = known.get(attempt.dial_id), _identity(attempt.to)
        is_over = bool(attempt.result) or after.is_ended
        is_new = is_over and (was is None or was.result != attempt.result or not attempt.result)
        if not (identity and is_new) or attempt.result in (_ANSWERED, *NOT_DIALED) or attempt.dial_id in talked:
            continue
        corrected = _ring(was, after) if was is not None and was.result else None
        yield EndedCall(identity, _ring(attempt, after), corrected)


def _attempts(session: Session) -> tuple[Attempt, ...]:
    return (*session.attempts, *(session.transfer.attempts if session.transfer is not None else ()))


def _identity(address: str) -> str:
    found = _AGENT.fullmatch(address)
    return found[1] if found else ""


def _has_left(party: Party, after: Session) -> bool:
    """Whether a browser's leg that took part is over."""
    is_agent = bool(_identity(party.address)) and not party.name.startswith(SUPERVISOR)
    if not (is_agent and party.is_connected) or (party.name == CUSTOMER and after.direction == INBOUND):
        return False
    legs = (one for one in after.parties.values() if (one.label, one.call_sid) == (party.label, party.call_sid))
    return after.is_ended or all(leg.is_gone for leg in legs)


def _talk(party: Party, dial_id: str, after: Session) -> EndedCall:
    rung_ms = next((one.started_at_ms for one in _attempts(after) if one.dial_id == dial_id), 0)
    talk_ms = max(0, after.updated_at_ms - party.status_since_ms)
    at_ms = rung_ms or party.dialed_at_ms or party.status_since_ms
    # The label keeps the name under which the leg was dialed.
    is_first = party.label.startswith(AGENT)
    call = _call(after, party.address, at_ms, CallResult.ANSWERED, round(talk_ms / 1000, 3), is_first=is_first)
    return EndedCall(_identity(party.address), call)


def _ring(attempt: Attempt, after: Session) -> AgentCall:
    is_first = attempt.party == AGENT
    return _call(after, attempt.to, attempt.started_at_ms, _result(attempt, after), None, is_first=is_first)


def _result(attempt: Attempt, after: Session) -> CallResult:
    if attempt.result == Reason.BUSY:
        return CallResult.BUSY
    if attempt.result == Reason.REJECTED:
        return CallResult.DECLINED
    others = (one for one in _attempts(after) if one.dial_id != attempt.dial_id and one.result == _ANSWERED)
    was_taken = any(one.answered_at_ms >= attempt.started_at_ms for one in others)
    return CallResult.TAKEN if was_taken or attempt.result == Reason.TAKEN else CallResult.MISSED


def _call(
    session: Session, own: str, at_ms: int, result: CallResult, talk_s: float | None, *, is_first: bool
) -> AgentCall:
    customer = session.customer.address
    other = session.agent.address if customer == own else customer
    direction = session.direction if is_first else INBOUND
    return AgentCall(
        session.id, to_iso(at_ms), other or None, session.number or None, session.ref or None, result, talk_s, direction
    )
