"""Timer loop: fires due timers of all held partitions by moving them onto their streams.

Partitions on one server are polled in one round trip. On a cluster, each is polled alone: an unresponsive node must not
delay the timers of other nodes.
"""

import asyncio
import math
from collections.abc import Collection, Sequence

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.worker.assignment.assignment import PartitionAssigner
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from conferral.worker.consumer.partition_timers import PartitionTimers

log = structlog.get_logger()

#: Interval at which every partition is polled, due or not, seconds: a Redis rollback may have restored timers.
POLL_EVERY_S = 1.0
#: Maximum wait, seconds: the worker may acquire a partition in the meantime. Also the pause for a partition after an
#: error.
WAIT_MAX_S = 0.5
#: Minimum wait, seconds: due times are whole milliseconds.
WAIT_MIN_S = 0.002


async def fire_timers(stop: asyncio.Event, assigner: PartitionAssigner, clock: Clock, metrics: Metrics) -> None:
    """Fire timers until the process stops, each in its partition's own time.

    Args:
        assigner: The partitions held by this worker.
    """
    polled_at_s = float("-inf")
    polling: asyncio.Task[None] | None = None
    firing: dict[int, asyncio.Task[None]] = {}
    while not stop.is_set():
        assigner.timers_changed.clear()
        for number in [number for number, task in firing.items() if task.done()]:
            firing.pop(number).result()
        is_poll_due = clock.monotonic_s() - polled_at_s >= POLL_EVERY_S
        if is_poll_due:
            polled_at_s = clock.monotonic_s()
        together = _on_one_server(assigner)
        if is_poll_due and together and (polling is None or polling.done()):
            polling = asyncio.get_running_loop().create_task(_poll(together, metrics))
        for consumer in assigner.consumers.values():
            if (
                consumer.number not in firing
                and consumer.is_active
                and ((is_poll_due and not together) or consumer.timers.ms_until_due() <= 0)
            ):
                firing[consumer.number] = asyncio.get_running_loop().create_task(_fire(consumer, metrics))
        await _wait(assigner, firing)
    last = [*firing.values(), *([polling] if polling is not None else [])]
    for result in await asyncio.gather(*last, return_exceptions=True):
        if result is not None:
            raise result


def _on_one_server(assigner: PartitionAssigner) -> list[PartitionConsumer]:
    """Return the consumers whose timers can be polled together: all or, on a cluster, none."""
    active = [consumer for consumer in assigner.consumers.values() if consumer.is_active]
    return [] if any(consumer.timers.is_on_cluster for consumer in active) else active


async def _poll(consumers: Sequence[PartitionConsumer], metrics: Metrics) -> None:
    """Find timers that are due earlier than known; the loop fires them."""
    try:
        with contain(ItemKind.TIMER, metrics, passing=(StoreError,)):
            await PartitionTimers.poll([consumer.timers for consumer in consumers])
    except StoreError as error:
        log_unreachable(error, task="timers")


async def _fire(consumer: PartitionConsumer, metrics: Metrics) -> None:
    try:
        with contain(
            ItemKind.TIMER, metrics, passing=(LeaseLostError, StoreError), partition=consumer.number
        ) as boundary:
            await consumer.timers.fire()
        if boundary.unexpected is not None:
            await asyncio.sleep(WAIT_MAX_S)
    except LeaseLostError:
        consumer.mark_lost()
    except StoreError as error:
        log_unreachable(error, partition=consumer.number)
        await asyncio.sleep(WAIT_MAX_S)


async def _wait(assigner: PartitionAssigner, firing: Collection[int]) -> None:
    """Wait until the next timer is due. Partitions with a poll in flight are skipped: its answer wakes the loop."""
    idle = [held for held in assigner.consumers.values() if held.is_active and held.number not in firing]
    until_due_ms = min((held.timers.ms_until_due() for held in idle), default=math.inf)
    wait_s = min(WAIT_MAX_S, max(WAIT_MIN_S, until_due_ms / 1000))
    try:
        async with asyncio.timeout(wait_s):
            await assigner.timers_changed.wait()
    except TimeoutError:
        return
