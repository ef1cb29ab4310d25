"""Timer loop: fires due timers per partition, because a node may hang."""

import asyncio
import math
from collections.abc import Collection

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from conferral.worker.ownership import Ownership

#: Maximum wait, seconds; a new timer ends it.
WAIT_MAX_S = 5.0
PAUSE_S = 0.5
#: Minimum wait, seconds: due times are whole milliseconds.
WAIT_MIN_S = 0.002


async def fire_timers(stop: asyncio.Event, ownership: Ownership, metrics: Metrics) -> None:
    """Fire timers until the process stops."""
    firing: dict[int, asyncio.Task[None]] = {}
    while not stop.is_set():
        ownership.timers_changed.clear()
        for number in [number for number, task in firing.items() if task.done()]:
            firing.pop(number).result()
        for consumer in ownership.consumers.values():
            if consumer.number not in firing and consumer.is_active and consumer.timers.ms_until_due() <= 0:
                task = asyncio.get_running_loop().create_task(_fire_due(consumer, metrics))
                task.add_done_callback(lambda _: ownership.timers_changed.set())
                firing[consumer.number] = task
        await _wait_until_due(ownership, firing)
    for result in await asyncio.gather(*firing.values(), return_exceptions=True):
        if result is not None:
            raise result


async def _fire_due(consumer: PartitionConsumer, metrics: Metrics) -> None:
    """Fire one partition's due timers; after an error they stay due, so pause."""
    try:
        passing = (LeaseLostError, StoreError)
        with contain(ItemKind.TIMER, metrics, passing=passing, partition=consumer.number) as boundary:
            await consumer.timers.fire()
        if boundary.unexpected is not None:
            await asyncio.sleep(PAUSE_S)
    except LeaseLostError:
        consumer.mark_lost()
    except StoreError as error:
        log_unreachable(error, partition=consumer.number)
        await asyncio.sleep(PAUSE_S)


async def _wait_until_due(ownership: Ownership, firing: Collection[int]) -> None:
    idle = [held for held in ownership.consumers.values() if held.is_active and held.number not in firing]
    until_due_ms = min((held.timers.ms_until_due() for held in idle), default=math.inf)
    await pause(ownership.timers_changed, min(WAIT_MAX_S, max(WAIT_MIN_S, until_due_ms / 1000)))
