"""Aligns clocks: the workers' time, Redis's, and Twilio's.

All workers share one time, `StoreClock.now_ms`: Redis's as if no one had ever set its clock. Sessions and timers have
it. Redis's own time is in what Redis stamped, Twilio's in callbacks and in answers. All are Unix milliseconds.
"""

from collections.abc import Iterable, Mapping

from conferral.runtime.clock import CLOCK_JUMP_MS, StoreClock
from conferral.statemachine.events import Command, Event
from conferral.statemachine.record import moved_back, replace
from conferral.statemachine.session import Session


def align(
    events: Iterable[Event], sessions: Mapping[str, Session], now_ms: int, twilio_now_ms: int | None
) -> tuple[list[Event], dict[str, Session]]:
    """Return events and sessions in the workers' time.

    Twilio's timestamps can't be compared with a session's times. Without Twilio's time, such an event's is unknown (0).

    A session may be ahead: Redis's clock has been set back since another worker read it, and that worker counted from
    then. All its times move back together, so each still is equally long ago. Its timers keep their names, which have
    their due time; a takeover fires those that would be due late.
    """
    aligned_events, aligned_sessions = [], {}
    for event in events:
        at_ms = event.occurred_at_ms
        if at_ms and not isinstance(event, Command):  # a command has Redis's time
            at_ms = 0 if twilio_now_ms is None else now_ms - (twilio_now_ms - at_ms)
        aligned_events.append(event if at_ms == event.occurred_at_ms else replace(event, occurred_at_ms=at_ms))
    for name, session in sessions.items():
        ahead_ms = session.updated_at_ms - now_ms
        aligned_sessions[name] = session if ahead_ms < CLOCK_JUMP_MS else moved_back(session, ahead_ms)
    return aligned_events, aligned_sessions


def from_redis_time(at_ms: int, clock: StoreClock) -> int:
    """Return the workers' time of a moment in Redis's; 0, unknown, stays 0."""
    return at_ms and at_ms + clock.offset_ms


def to_redis_time(at_ms: int, clock: StoreClock) -> int:
    """Return Redis's time of a moment in the workers'."""
    return at_ms - clock.offset_ms


def to_twilio_time(at_ms: int, now_ms: int, twilio_now_ms: int) -> int:
    """Return Twilio's time of a moment in the workers'."""
    return twilio_now_ms - (now_ms - at_ms)
