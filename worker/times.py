"""The two times: the workers', which is Redis's, and Twilio's.

All workers share one time, `StoreClock.now_ms`; sessions and timers have it. Twilio's is in callbacks and in answers.
Both are Unix milliseconds, and they can't be compared.
"""

from collections.abc import Iterable

from conferral.statemachine.events import Command, Event
from conferral.statemachine.record import replace


def in_workers_time(events: Iterable[Event], now_ms: int, twilio_now_ms: int | None) -> list[Event]:
    """Return events with the workers' time instead of Twilio's.

    Without Twilio's time, when such an event happened is unknown (0).
    """
    aligned = []
    for event in events:
        at_ms = event.occurred_at_ms
        if at_ms and not isinstance(event, Command):  # a command has Redis's time
            at_ms = 0 if twilio_now_ms is None else now_ms - (twilio_now_ms - at_ms)
        aligned.append(event if at_ms == event.occurred_at_ms else replace(event, occurred_at_ms=at_ms))
    return aligned


def to_twilio_time(at_ms: int, now_ms: int, twilio_now_ms: int) -> int:
    """Return Twilio's time of a moment in the workers'."""
    return twilio_now_ms - (now_ms - at_ms)
