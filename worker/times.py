"""Aligns clocks: the workers' time, Redis's, and Twilio's.

All workers share one time, `StoreClock.now_ms`: Redis's as if no one had ever set its clock. Sessions and timers have
it. Redis's own time is in what Redis stamped, Twilio's in callbacks and in answers. All are Unix milliseconds.
"""

from conferral.runtime.clock import CLOCK_JUMP_MS, StoreClock
from conferral.statemachine.events import Command, Event
from conferral.statemachine.record import moved_back, replace
from conferral.statemachine.session import Session


def session_in_our_time(session: Session, now_ms: int) -> Session:
    """Return a session whose newest time is not ahead of the workers' time.

    If it is, Redis's clock has been set back since another worker read it, and that worker counted from then. All its
    times move back together, so each still is equally long ago. Its timers keep their names, which have their due time;
    a takeover fires those that would be due late.
    """
    ahead_ms = session.updated_at_ms - now_ms
    return session if ahead_ms < CLOCK_JUMP_MS else moved_back(session, ahead_ms)


def event_in_our_time(event: Event, now_ms: int, twilio_now_ms: int | None) -> Event:
    """Return an event whose time is the workers'.

    Twilio's timestamps can't be compared with a session's times. Without Twilio's time, the event's is unknown (0).
    """
    if isinstance(event, Command) or not event.occurred_at_ms:
        return event  # a command has Redis's time
    occurred_at_ms = 0 if twilio_now_ms is None else now_ms - (twilio_now_ms - event.occurred_at_ms)
    return replace(event, occurred_at_ms=occurred_at_ms)


def from_redis_time(at_ms: int, clock: StoreClock) -> int:
    """Return the workers' time of a moment in Redis's; 0, unknown, stays 0."""
    return at_ms and at_ms + clock.offset_ms


def to_redis_time(at_ms: int, clock: StoreClock) -> int:
    """Return Redis's time of a moment in the workers'."""
    return at_ms - clock.offset_ms


def to_twilio_time(at_ms: int, now_ms: int, twilio_now_ms: int) -> int:
    """Return Twilio's time of a moment in the workers'."""
    return twilio_now_ms - (now_ms - at_ms)
