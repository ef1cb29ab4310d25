"""Timers: waits for the next one that is due in any partition held here, and moves it onto the stream.

Partitions are asked side by side: on a cluster the node of some may be silent, and the others do not wait for it.
"""

import asyncio
import math
from collections.abc import Collection

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.containment import Where, contain
from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import note_unreachable
from conferral.worker.held import HeldPartition
from conferral.worker.leases import LeaseKeeper

log = structlog.get_logger()

#: How often every partition is asked, due or not, seconds: timers may have come back with an older copy of Redis.
LOOK_EVERY_S = 1.0
#: Longest wait, seconds: another partition may have been taken meanwhile. Also how long a partition is left alone whose
#: Redis was out of reach.
WAIT_MAX_S = 0.5
#: Shortest wait, seconds: due times are whole milliseconds.
WAIT_MIN_S = 0.002


async def fire_timers(stop: asyncio.Event, keeper: LeaseKeeper, clock: Clock, metrics: Metrics) -> None:
    """Fires timers until the process stops, each by its partition's own time.

    Args:
        stop: Set when the process is to stop.
        keeper: The partitions held here.
        clock: Of this process.
        metrics: Where unforeseen errors are counted.
    """
    looked_s = float("-inf")
    firing: dict[int, asyncio.Task[None]] = {}
    while not stop.is_set():
        keeper.timers_changed.clear()
        for number in [number for number, task in firing.items() if task.done()]:
            firing.pop(number).result()
        looks_anyway = clock.monotonic_s() - looked_s >= LOOK_EVERY_S
        if looks_anyway:
            looked_s = clock.monotonic_s()
        for held in keeper.held.values():
            if held.number not in firing and held.goes_on and (looks_anyway or held.until_timer_ms() <= 0):
                firing[held.number] = asyncio.get_running_loop().create_task(_fire(held, metrics))
        await _wait(keeper, firing)
    for result in await asyncio.gather(*firing.values(), return_exceptions=True):
        if result is not None:
            raise result


async def _fire(held: HeldPartition, metrics: Metrics) -> None:
    try:
        with contain(Where.TIMER, metrics, passing=(LeaseLostError, StoreError), partition=held.number) as boundary:
            await held.fire_timers()
        if boundary.unexpected is not None:
            await asyncio.sleep(WAIT_MAX_S)
    except LeaseLostError:
        held.lose()
    except StoreError as error:
        note_unreachable(error, partition=held.number)
        await asyncio.sleep(WAIT_MAX_S)


async def _wait(keeper: LeaseKeeper, firing: Collection[int]) -> None:
    """Until the next timer is due, but for those of partitions that are being asked: their answers wake us."""
    waiting = [held for held in keeper.held.values() if held.goes_on and held.number not in firing]
    until_due_ms = min((held.until_timer_ms() for held in waiting), default=math.inf)
    wait_s = min(WAIT_MAX_S, max(WAIT_MIN_S, until_due_ms / 1000))
    try:
        async with asyncio.timeout(wait_s):
            await keeper.timers_changed.wait()
    except TimeoutError:
        return
