"""Timers: waits for the next one that is due in any partition held here, and moves it onto the stream."""

import asyncio
import math

import structlog

from runtime.clock import Clock
from runtime.errors import LeaseLostError, StoreError
from worker.leases import LeaseKeeper

log = structlog.get_logger()

#: How often every partition is asked, due or not, seconds: timers may have come back with an older copy of Redis.
LOOK_EVERY_S = 1.0
#: Longest wait, seconds: another partition may have been taken meanwhile.
WAIT_MAX_S = 0.5
#: Shortest wait, seconds: due times are whole milliseconds.
WAIT_MIN_S = 0.002


async def fire_timers(stop: asyncio.Event, keeper: LeaseKeeper, clock: Clock) -> None:
    """Fires timers until the process stops, each by its partition's own time."""
    looked_s = float("-inf")
    while not stop.is_set():
        keeper.timers_changed.clear()
        looks_anyway = clock.monotonic_s() - looked_s >= LOOK_EVERY_S
        if looks_anyway:
            looked_s = clock.monotonic_s()
        for held in list(keeper.held.values()):
            if held.goes_on and (looks_anyway or held.until_timer_ms() <= 0):
                try:
                    await held.fire_timers()
                except LeaseLostError:
                    held.lose()
                except StoreError as error:
                    log.warning("store_unreachable", partition=held.number, reason=str(error))
                    await asyncio.sleep(WAIT_MAX_S)
        await _wait(keeper)


async def _wait(keeper: LeaseKeeper) -> None:
    until_due_ms = min((held.until_timer_ms() for held in keeper.held.values() if held.goes_on), default=math.inf)
    wait_s = min(WAIT_MAX_S, max(WAIT_MIN_S, until_due_ms / 1000))
    try:
        async with asyncio.timeout(wait_s):
            await keeper.timers_changed.wait()
    except TimeoutError:
        return
