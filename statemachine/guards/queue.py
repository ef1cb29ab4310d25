"""Guards on a caller who waits in a queue, and on offers."""

from conferral.statemachine import events
from conferral.statemachine.events import Event
from conferral.statemachine.guards.transfer import next_place
from conferral.statemachine.session import Session
from conferral.statemachine.states import Phase, Place
from conferral.statemachine.step import Draft

#: For how long it counts that no desk is there, milliseconds: the task `queue` says so again.
_DESKS_LEFT_MS = 5_000


def may_enter_queue(session: Session) -> bool:
    """Whether the session may soon enter a queue: then presence counts."""
    transfer = session.running_transfer
    if transfer is not None:
        return Place.QUEUE in transfer.places_left
    return session.phase is Phase.RINGING and Place.QUEUE in session.fallback


def queue_is_next(draft: Draft, _event: Event) -> bool:
    """Whether the caller waits in a queue next."""
    return next_place(draft) == Place.QUEUE


def queue_has_no_desk(draft: Draft, event: Event) -> bool:
    """Whether a queue is next, and there is no one to wait for."""
    return queue_is_next(draft, event) and not draft.presence.has_desk(draft.session.agents)


def no_offer_rings(draft: Draft, _event: Event) -> bool:
    """Whether no agent is being rung for a caller in a queue."""
    return draft.session.agent.is_gone


def has_no_desk_now(draft: Draft, event: events.DesksLeft) -> bool:
    """Whether no agent is being rung, and the event has just come.

    From a partition that stood still, it may come after desks have returned.
    """
    arrived_ms = event.arrived_at_ms or draft.now_ms
    return draft.now_ms < arrived_ms + _DESKS_LEFT_MS and no_offer_rings(draft, event)


def awaits_offer(session: Session, now_ms: int) -> bool:
    """Whether a caller can be offered to a desk now."""
    is_queued = session.is_live and session.phase is Phase.QUEUED and session.agent.is_gone
    return is_queued and session.customer.in_conference and now_ms < session.parked_until_ms


def next_offer_number(session: Session, address: str) -> int:
    """Return the number of the next offer to an agent, from 1."""
    return 1 + sum(one.to == address for one in session.attempts)


def can_be_offered(draft: Draft, event: events.Offer) -> bool:
    """Whether the caller waits, no one rings, and the offer is the next one."""
    is_next = event.number == next_offer_number(draft.session, event.to)
    return is_next and awaits_offer(draft.session, draft.now_ms)
