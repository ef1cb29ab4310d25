"""Who is offered to whom, and what becomes of an offer. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

from conferral.statemachine.guards import awaits_offer, next_offer_number
from conferral.statemachine.parts import Attempt
from conferral.statemachine.reasons import Reason
from conferral.statemachine.session import Session
from conferral.storage.offers import DEADLINE_MS, Claim, Desk

#: After a rejection, how long the caller is not offered to the same agent; after any other attempt, milliseconds.
REJECTED_MS, PAUSE_MS = 60_000, 5_000
#: When an offer is sent again in case it was lost; and after how long without a trace the agent gets another one: once
#: no worker may decide the offer, even if their clocks differ. Milliseconds.
REPEAT_MS, LOST_MS = 2_000, 10_000


class Verdict(Enum):
    """What to do about an offer."""

    #: The desk rings.
    KEEP = "keep"
    #: Nothing is known of it yet.
    WAIT = "wait"
    #: It may be lost, so it is sent once more.
    REPEAT = "repeat"
    END = "end"
    END_AND_AWAY = "end-and-away"


def next_offers(
    sessions: Iterable[Session], desks: Mapping[str, Desk], now_ms: int
) -> Iterator[tuple[Session, str, int]]:
    """Yield a session, an agent's address, and the attempt's number, in order.

    Who has waited longest comes first; the desk that has been free longest is rung. While that caller may not be
    offered to a free desk yet, the desk is kept for them. A caller with an open offer gets no other.
    """
    free = {address: desk for address, desk in desks.items() if desk.free_since_ms}
    offered = {desk.claim.session_id for desk in desks.values() if desk.claim is not None}
    for session in sorted(sessions, key=lambda one: (one.queued_since_ms, one.id)):
        if session.id in offered or not awaits_offer(session, now_ms):
            continue
        own = [free[one] for one in dict.fromkeys(session.agents) if one in free]
        due_ms = {desk.address: offered_again_ms(session, desk.address) for desk in own}
        own = [desk for desk in own if due_ms[desk.address] <= now_ms + PAUSE_MS]
        due = [desk for desk in own if due_ms[desk.address] <= now_ms]
        if due:
            address = min(due, key=lambda desk: desk.free_since_ms).address
            yield session, address, next_offer_number(session, address)
            del free[address]
        elif own:
            del free[min(own, key=lambda desk: due_ms[desk.address]).address]


def attempts_of(session: Session, address: str) -> list[Attempt]:
    """Return how an agent was rung for a call, oldest first."""
    return [one for one in session.attempts if one.to == address]


def offered_again_ms(session: Session, address: str) -> int:
    """Return from when on an agent may get the call, Unix ms.

    Rings from before the caller waited don't count.
    """
    attempts = [one for one in attempts_of(session, address) if one.ended_at_ms > session.queued_since_ms]
    pauses_ms = (REJECTED_MS if one.result == Reason.REJECTED else PAUSE_MS for one in attempts)
    return max((one.ended_at_ms + pause_ms for one, pause_ms in zip(attempts, pauses_ms, strict=True)), default=0)


def judge(session: Session | None, address: str, claim: Claim, now_ms: int, *, may_be_loading: bool = False) -> Verdict:
    """Return what to do about an offer that an agent has.

    One whose page `may_be_loading` again is not away.
    """
    attempts = [] if session is None else attempts_of(session, address)
    if len(attempts) < claim.number:
        can_be_decided = session is not None and session.is_live
        age_ms = now_ms - claim.deadline_ms + DEADLINE_MS
        if not can_be_decided or age_ms >= LOST_MS:
            return Verdict.END
        return Verdict.REPEAT if age_ms >= REPEAT_MS else Verdict.WAIT
    attempt = attempts[claim.number - 1]
    if not attempt.result and session is not None and session.is_live:
        return Verdict.KEEP
    is_away = session is not None and not may_be_loading and _shows_absence(session, attempt)
    return Verdict.END_AND_AWAY if is_away else Verdict.END


def _shows_absence(session: Session, attempt: Attempt) -> bool:
    """Whether no one answered the agent's phone, or none was registered.

    A request that Twilio refused says nothing of the agent: it placed no call.
    """
    was_called = any(party.dial_id == attempt.dial_id and party.call_sid for party in session.parties.values())
    return attempt.result == Reason.NO_ANSWER or (attempt.result == Reason.FAILED and was_called)
