"""Command router: one worker at a time reads and routes commands.

Three steps: claim the command's id, append it to the partition with the id as token, remove it. All may be repeated,
but only the claim decides, so a duplicate command has one outcome.
"""

import asyncio
from collections.abc import Callable

import structlog

from conferral.runtime.clock import until_tick_s
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.log import LogRateLimit
from conferral.runtime.outage import log_unreachable
from conferral.storage.commands import command_stream
from conferral.storage.connection.blocking_reads import BlockingReads
from conferral.storage.connection.client import store_errors
from conferral.storage.partition.partition_store import Entry
from conferral.worker.core import WorkerCore
from conferral.worker.router.routing_queue import CommandRules, RoutingQueue
from conferral.worker.task_lease import TaskLease

log = structlog.get_logger()

BATCH_MAX = 100
#: Commands read and not yet routed at which reading stops, count.
IN_PROGRESS_MAX = 10_000
#: While another worker routes, or after Redis was unreachable.
PAUSE_S = 0.5
#: The lease is renewed below this remainder: after each idle read.
RENEW_BELOW_S = 3.25
#: Intervals at which the stream is checked, and an excess is logged.
COUNT_EVERY_S = 5.0
LOG_EVERY_S = 60.0


class CommandRouter:
    """Routes commands while it holds the router's lease."""

    def __init__(
        self, core: WorkerCore, reads: BlockingReads, rules: CommandRules, is_dead: Callable[[str], bool]
    ) -> None:
        self._core = core
        self._reads = reads
        self._rules = rules
        self._lease = TaskLease(core, "router", core.keys.commands_lease, is_dead)
        #: For the commands read under this lease.
        self._queue: RoutingQueue | None = None
        self._log_limit = LogRateLimit(core.clock)
        self._counted_at_s: float | None = None
        #: The last entry read; while commands are in progress, the next read starts there.
        self._last_read_id = "0"

    async def run(self, stop: asyncio.Event) -> None:
        """Route commands until the process stops, then release the lease."""
        stopping = asyncio.ensure_future(stop.wait())
        stopping.add_done_callback(lambda _: self._reads.interrupt(self._core.keys.commands))
        try:
            await self._route(stop)
        finally:
            stopping.cancel()
        if self._queue is not None:
            await self._queue.close()
        try:
            await self._lease.release()
        except StoreError as error:
            log_unreachable(error, task="router")

    async def _route(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                queue = await self._current_queue(stop)
                if queue is not None:
                    await self._check_stream()
                if queue is None or len(queue.in_progress) >= IN_PROGRESS_MAX:
                    await pause(stop, until_tick_s(PAUSE_S))
                else:
                    await queue.add(await self._read(queue, stop))
            except StoreError as error:
                log_unreachable(error, task="router")
                await pause(stop, PAUSE_S)

    async def _current_queue(self, stop: asyncio.Event) -> RoutingQueue | None:
        """Return this worker's queue; None while another worker routes."""
        before = self._lease.held
        if not await self._ensure_lease():
            if self._queue is not None:
                queue, self._queue = self._queue, None
                await queue.close()
                self._core.metrics.commands_waiting.set(0)
            return None
        if self._queue is None or self._lease.held is not before:
            self._queue = RoutingQueue(self._core, stop, self._rules)
        return self._queue

    async def _ensure_lease(self) -> bool:
        lease = self._lease
        if self._core.takes_nothing:
            await lease.release()
            return False
        if lease.held is None:
            await lease.acquire()
        if lease.held is not None and lease.held.valid_until_s - self._core.clock.monotonic_s() < RENEW_BELOW_S:
            await lease.renew(lease.held)
        return lease.held is not None

    async def _read(self, queue: RoutingQueue, stop: asyncio.Event) -> list[Entry]:
        entries: list[Entry] = []
        if not stop.is_set():
            with store_errors():
                after_id = self._last_read_id if queue.in_progress else "0"
                found = await self._reads.read(self._core.keys.commands, BATCH_MAX, after=after_id)
            entries = [Entry(entry_id.decode(), fields or {}) for entry_id, fields in found]
        if entries:
            self._last_read_id = entries[-1].entry_id
        elif queue.in_progress and await command_stream.count_waiting(self._core.client, self._core.keys) > len(
            queue.in_progress
        ):
            # A failover may reset ids, so that a new entry sorts before the last one.
            self._last_read_id = "0"
        return entries

    async def _check_stream(self) -> None:
        """Count waiting commands, and restart a stream whose last id is far ahead.

        Log an excess: XADD has no limit.
        """
        now_s = self._core.clock.monotonic_s()
        if self._counted_at_s is not None and now_s - self._counted_at_s < COUNT_EVERY_S:
            return
        self._counted_at_s, waiting = now_s, await command_stream.count_waiting(self._core.client, self._core.keys)
        self._core.metrics.commands_waiting.set(waiting)
        is_exceeded = waiting > command_stream.COMMANDS_MAX
        if is_exceeded and self._log_limit.count("command_limit_exceeded", LOG_EVERY_S):
            log.warning("command_limit_exceeded", count=waiting, task="router")
        if not waiting and await command_stream.restart_if_ahead(self._core.client, self._core.keys):
            log.error("command_stream_restarted", task="router")
