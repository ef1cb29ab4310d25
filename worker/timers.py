"""Timers: waits for the next one that is due in any partition held here, and moves it onto the stream."""

import asyncio

import structlog

from runtime.clock import StoreClock
from runtime.errors import LeaseLostError, StoreError
from worker.leases import LeaseKeeper

log = structlog.get_logger()

#: How often every partition is asked, due or not, milliseconds: timers may have come back with an older copy of Redis.
LOOK_EVERY_MS = 1_000
#: Longest wait, seconds: Redis's clock may be corrected meanwhile.
WAIT_MAX_S = 0.5
#: Shortest wait, seconds: due times are whole milliseconds.
WAIT_MIN_S = 0.002


async def fire_timers(stop: asyncio.Event, keeper: LeaseKeeper, store_clock: StoreClock) -> None:
    """Fires timers until the process stops."""
    looked_ms = 0
    while not stop.is_set():
        keeper.timers_changed.clear()
        now_ms = store_clock.now_ms()
        looks_anyway = now_ms - looked_ms >= LOOK_EVERY_MS
        if looks_anyway:
            looked_ms = now_ms
        for held in list(keeper.held.values()):
            if held.goes_on and (held.timer_is_due(now_ms) or looks_anyway):
                try:
                    await held.fire_timers()
                except LeaseLostError:
                    held.lose()
                except StoreError as error:
                    log.warning("store_unreachable", partition=held.number, reason=str(error))
                    await asyncio.sleep(WAIT_MAX_S)
        await _wait(keeper, store_clock)


async def _wait(keeper: LeaseKeeper, store_clock: StoreClock) -> None:
    due = [held.next_timer_ms for held in keeper.held.values() if held.goes_on and held.next_timer_ms is not None]
    wait_s = min(WAIT_MAX_S, max(WAIT_MIN_S, (min(due) - store_clock.now_ms()) / 1000)) if due else WAIT_MAX_S
    try:
        async with asyncio.timeout(wait_s):
            await keeper.timers_changed.wait()
    except TimeoutError:
        return
