"""Command router: one worker at a time routes all commands, in order."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from conferral.runtime import tracing
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.log import LogRateLimit, log_unreachable
from conferral.statemachine.events import Press
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import command_stream
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.command_reports import report_command
from conferral.storage.connection.client import BlockingReads, as_store_errors
from conferral.storage.dead_letters import DEAD_LETTERED
from conferral.storage.entries import Entry
from conferral.worker.core import WorkerCore
from conferral.worker.dead_letters import dead_letter
from conferral.worker.routing.admission import CommandAdmission, text_of

log = structlog.get_logger()

COMMANDS_PER_READ = 100
#: While another worker routes, or after Redis was unreachable, seconds.
PAUSE_S = 0.5
#: Intervals at which the stream is checked, and an excess is logged.
COUNT_EVERY_S = 5.0
LOG_EVERY_S = 60.0


class CommandRouter:
    """Routes commands while this worker owns the task."""

    def __init__(
        self, core: WorkerCore, reads: BlockingReads, admission: CommandAdmission, owns_router: Callable[[], bool]
    ) -> None:
        self._core = core
        self._client = core.client
        self._keys = core.keys
        self._metrics = core.metrics
        self._reads = reads
        self._admission = admission
        self._owns_router = owns_router
        self._log_limit = LogRateLimit(core.clock.monotonic_s)
        self._counted_at_s: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Route commands until the process stops."""
        stopping = asyncio.ensure_future(stop.wait())
        stopping.add_done_callback(lambda _: self._reads.interrupt(self._keys.commands))
        try:
            while not stop.is_set():
                try:
                    if self._owns_router():
                        await self._count_waiting()
                        await self._route_stream(stop)
                    else:
                        self._metrics.commands_waiting.set(0)
                        await wait_at_most(stop, PAUSE_S)
                except StoreError as error:
                    log_unreachable(error, task="router")
                    await wait_at_most(stop, PAUSE_S)
        finally:
            stopping.cancel()

    async def _route_stream(self, stop: asyncio.Event) -> None:
        """Route the stream's oldest entries, in order; wait about 2 s for one."""
        with as_store_errors():
            found = await self._reads.read(self._keys.commands, COMMANDS_PER_READ)
        for entry_id, fields in found:
            if stop.is_set() or not self._owns_router():
                return
            await self._route(Entry(entry_id.decode(), fields or {}))

    async def _count_waiting(self) -> None:
        """Count waiting commands; log an excess: XADD has no limit."""
        now_s = self._core.clock.monotonic_s()
        if self._counted_at_s is not None and now_s - self._counted_at_s < COUNT_EVERY_S:
            return
        self._counted_at_s, waiting = now_s, await command_stream.count_waiting(self._client, self._keys)
        self._metrics.commands_waiting.set(waiting)
        is_exceeded = waiting > command_stream.COMMANDS_MAX
        if is_exceeded and self._log_limit.count("command_limit_exceeded", LOG_EVERY_S):
            log.warning("command_limit_exceeded", count=waiting, task="router")

    async def _route(self, entry: Entry) -> None:
        """Route, reject, or dead-letter a command, and remove it from the stream."""
        fields = text_of(entry)
        fault = "missing field type" if fields is not None else "not UTF-8 or over 64 KiB"
        parent = (fields or {}).pop(tracing.FIELD, "")
        # An unexpected error costs only this one.
        with (
            tracing.span("route command", {}, "consumer", parent),
            contain(
                ItemKind.TASK, self._metrics, passing=(StoreError,), task="router", entry_id=entry.entry_id
            ) as failure,
        ):
            try:
                if fields and fields.get("type"):
                    await self._admission.admit(entry, fields)
                else:
                    await self._dead_letter(entry, fault)
            except StoreUnreachableError:
                raise
            except StoreError:
                # A key is another program's. Later commands must not be blocked.
                await self._dead_letter(entry, "Redis refuses one of its keys")
        if failure:
            await self._give_up(entry, fields or {}, failure.reason)
        with as_store_errors():
            await self._client.xdel(self._keys.commands, entry.entry_id)

    async def _give_up(self, entry: Entry, fields: dict[str, str], reason: str) -> None:
        """Dead-letter a command after an unexpected error; report it as failed."""
        await self._dead_letter(entry, reason)
        with suppress(BadEntryError):  # no one could query such an id
            command_id = command_stream.command_id_of(fields, entry.entry_id)
            report = CommandReport(command_id, CommandStatus.FAILED, f"{DEAD_LETTERED}{reason}")
            await report_command(self._client, self._keys, "", report)

    async def _dead_letter(self, entry: Entry, reason: str) -> None:
        await dead_letter(self._core, self._keys.commands, _without_digits(entry), reason, task="router")


def _without_digits(entry: Entry) -> Entry:
    """Return an entry without the digits of a `press`, which may be a PIN."""
    if entry.fields.get(b"type") != Press.name.encode():
        return entry
    return entry._replace(fields={name: value for name, value in entry.fields.items() if name != b"digits"})
