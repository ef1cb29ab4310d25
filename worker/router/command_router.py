"""Command router: one worker at a time routes all commands, in order."""

import asyncio
from collections.abc import Callable

import structlog

from conferral.runtime.clock import until_tick_s
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import pause
from conferral.runtime.log import LogRateLimit
from conferral.runtime.outage import log_unreachable
from conferral.storage.commands import command_stream
from conferral.storage.connection.blocking_reads import BlockingReads
from conferral.storage.connection.client import is_cluster, store_errors
from conferral.storage.partition.partition_store import Entry
from conferral.worker.core import WorkerCore
from conferral.worker.router.command_routing import CommandRouting, CommandRules, given_id, session_reference

log = structlog.get_logger()

BATCH_MAX = 100
#: While another worker routes, or after Redis was unreachable.
PAUSE_S = 0.5
#: Intervals at which the stream is checked, and an excess or an outage is logged.
COUNT_EVERY_S = 5.0
LOG_EVERY_S = 60.0


class CommandRouter:
    """Routes commands while this worker owns the task."""

    def __init__(
        self, core: WorkerCore, reads: BlockingReads, rules: CommandRules, is_ours: Callable[[], bool]
    ) -> None:
        self._core = core
        self._reads = reads
        self._routing = CommandRouting(core, rules)
        self._is_ours = is_ours
        self._log_limit = LogRateLimit(core.clock)
        self._counted_at_s: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Route commands until the process stops."""
        stopping = asyncio.ensure_future(stop.wait())
        stopping.add_done_callback(lambda _: self._reads.interrupt(self._core.keys.commands))
        try:
            while not stop.is_set():
                try:
                    if self._is_ours():
                        await self._check_stream()
                        await self._route_stream(stop)
                    else:
                        self._core.metrics.commands_waiting.set(0)
                        await pause(stop, until_tick_s(PAUSE_S))
                except StoreError as error:
                    self._log_unreachable(error)
                    await pause(stop, PAUSE_S)
        finally:
            stopping.cancel()

    async def _route_stream(self, stop: asyncio.Event) -> None:
        """Route the stream from its oldest entry on; wait about 2 s for one.

        A command that meets a silent cluster node stays, and so do later ones of its session or with keys on that node;
        all others are routed.
        """
        after, held_back = "0", set[str]()
        while not stop.is_set():
            entries = await self._read(after)
            for entry in entries:
                if stop.is_set() or not self._is_ours():
                    return
                keys, nodes = self._needs(entry)
                if held_back.isdisjoint(keys | nodes):
                    try:
                        await self._route(entry)
                        continue
                    except StoreUnreachableError as error:
                        if not nodes:
                            raise
                        held_back.add(error.node)
                        self._log_unreachable(error)
                held_back |= keys
            if not held_back:
                return
            if len(entries) < BATCH_MAX:
                await pause(stop, PAUSE_S)
                return
            after = entries[-1].entry_id

    def _needs(self, entry: Entry) -> tuple[set[str], set[str]]:
        """Return the keys that order a command, and a cluster's nodes of its keys."""
        keys, client = self._core.keys, self._core.client
        command, name = given_id(entry), session_reference(entry) or entry.entry_id
        ordered = {keys.command(command), keys.session(name)}
        return ordered, {client.node_of(key) for key in (*ordered, keys.call(name))} if is_cluster(client) else set()

    async def _read(self, after: str) -> list[Entry]:
        with store_errors():
            found = await self._reads.read(self._core.keys.commands, BATCH_MAX, after=after)
        return [Entry(entry_id.decode(), fields or {}) for entry_id, fields in found]

    async def _route(self, entry: Entry) -> None:
        """Route a command; an unexpected error costs only this one."""
        with contain(
            ItemKind.TASK, self._core.metrics, passing=(StoreError,), task="router", entry_id=entry.entry_id
        ) as boundary:
            await self._routing.route(entry)
        if boundary.unexpected is not None:
            await self._routing.give_up(entry, boundary.unexpected.reason)

    def _log_unreachable(self, error: StoreError) -> None:
        if self._log_limit.count("store_unreachable", LOG_EVERY_S):
            log_unreachable(error, task="router")

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
