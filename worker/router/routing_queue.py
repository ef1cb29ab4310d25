"""Routing queue: routes commands in order per session, others in parallel.

On a cluster, a silent node delays only the commands whose keys it has. Commands that name their session by a call stay
in order with those that name it by its id, unless the call's node is silent.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.error_boundary import catch_unexpected
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import call_after_requests, pause
from conferral.runtime.log import LogRateLimit
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.events import Call, Command
from conferral.statemachine.ids import ID_PATTERN
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import scripts
from conferral.storage.codecs import event_codec
from conferral.storage.codecs.effect_codec import ReportCommand
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.commands import command_stream
from conferral.storage.commands.command_parser import BadCommandError, ParsedCommand, parse
from conferral.storage.commands.command_stream import Routed, route_at_once
from conferral.storage.connection.client import is_cluster, store_errors
from conferral.storage.connection.node_limits import NodeLimits, grouped_by_node
from conferral.storage.partition.partition_store import COMMAND_TTL_S, DEAD_LETTERED, Entry, dead_letter, report_command
from conferral.telephony.addresses import AllowList
from conferral.telephony.conference_lists import ConferenceNames
from conferral.worker.core import WorkerCore
from conferral.worker.dead_letters import count_dead_letter
from conferral.worker.router.caller_ids import CallerIdChecker
from conferral.worker.router.destination_resolver import resolve_destinations, without_destinations

log = structlog.get_logger()

#: How long the next read waits for a batch of commands; slower ones wait for a node.
BATCH_WAIT_S = 0.2
#: The same while a node is known to be slow.
BATCH_WAIT_WHILE_SLOW_S = 0.02
#: Per Redis node, count.
NODE_CONCURRENCY_MAX = 32
PAUSE_S = 0.5
LOG_EVERY_S = 60.0


class _AbandonedError(StoreUnreachableError):
    """The process stops, or another worker routes: the next router continues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRules:
    """What commands may ask for."""

    allowed: AllowList
    #: The directory's current addresses by name.
    names: Callable[[], Mapping[str, str]]
    conference_names: ConferenceNames
    caller_ids: CallerIdChecker


class RoutingQueue:
    """Commands that are read and not yet routed."""

    def __init__(self, core: WorkerCore, stop: asyncio.Event, rules: CommandRules) -> None:
        self._client = core.client
        self._keys = core.keys
        self._metrics = core.metrics
        self._stop = stop
        self._rules = rules
        self._limits = NodeLimits(core.client, NODE_CONCURRENCY_MAX)
        #: By entry id.
        self.in_progress: dict[str, asyncio.Task[None]] = {}
        #: The newest command per command id, and under every known name of a session.
        self._newest: dict[str, asyncio.Task[None]] = {}
        self._lookups: set[asyncio.Task[str]] = set()
        self._is_closed = False
        self._log_limit = LogRateLimit(core.clock)

    async def add(self, entries: Iterable[Entry]) -> None:
        """Start to route commands in stream order; wait briefly for them."""
        new = [entry for entry in entries if entry.entry_id not in self.in_progress]
        references = {entry.entry_id: _session_reference(entry) for entry in new}
        is_alone = len(new) == 1 and not self.in_progress and not is_cluster(self._client) and not _asks_twilio(new[0])
        # Nothing can overtake a lone command, so it needs no look-up first.
        names = {} if is_alone else dict.fromkeys(name for name in references.values() if name)
        sessions = await self._find_sessions(names)
        started = []
        for entry in new:
            name = references[entry.entry_id]
            session_queues = {f"session {name}": None, f"session {sessions.get(name, name)}": None} if name else {}
            task = self._start(entry, [*session_queues, f"command {_command_id(entry)}"], at_once=is_alone)
            started.append(task)
        if started:
            is_slow = self._limits.any_is_slow(BATCH_WAIT_S)
            await asyncio.wait(started, timeout=BATCH_WAIT_WHILE_SLOW_S if is_slow else BATCH_WAIT_S)

    async def close(self) -> None:
        """Leave unrouted commands to the next router; finish those in progress."""
        self._is_closed = True
        if waited := {*self.in_progress.values(), *self._lookups}:
            await asyncio.wait(waited)

    def _start(self, entry: Entry, queues: list[str], *, at_once: bool) -> "asyncio.Task[None]":
        """Route a command after the newest one in each of its queues."""
        predecessors = {self._newest[queue] for queue in queues if queue in self._newest}
        task = asyncio.get_running_loop().create_task(self._route_in_order(entry, predecessors, at_once=at_once))
        self.in_progress[entry.entry_id] = task
        self._newest.update(dict.fromkeys(queues, task))

        def done(task: "asyncio.Task[None]") -> None:
            self.in_progress.pop(entry.entry_id, None)
            for queue in queues:
                if self._newest.get(queue) is task:
                    del self._newest[queue]

        task.add_done_callback(done)
        return task

    async def _route_in_order(self, entry: Entry, predecessors: "set[asyncio.Task[None]]", *, at_once: bool) -> None:
        """Route a command after its predecessors; retry while Redis is silent."""
        if predecessors:
            await asyncio.wait(predecessors)
        while not (self._is_closed or self._stop.is_set()):
            try:
                with contain(
                    ItemKind.TASK, self._metrics, passing=(StoreError,), task="router", entry_id=entry.entry_id
                ) as boundary:
                    await self._route(entry, at_once=at_once)
                if boundary.unexpected is not None:
                    await self._dead_letter(entry, boundary.unexpected.reason)
                    await self._report_failed(entry, boundary.unexpected.reason)
                    await self._remove(entry)
            except StoreError as error:
                self._log_unreachable(error)
                await pause(self._stop, PAUSE_S)
            else:
                return

    def _log_unreachable(self, error: StoreError) -> None:
        if not isinstance(error, _AbandonedError) and self._log_limit.count("store_unreachable", LOG_EVERY_S):
            log_unreachable(error, task="router")

    async def _find_sessions(self, names: Iterable[str]) -> dict[str, str]:
        """Return the sessions that the references name, if Redis answers in time."""
        lookups = {
            name: asyncio.get_running_loop().create_task(self._session_named(name))
            for name in names
            if not any(self._limits.is_slow(key, BATCH_WAIT_S) for key in self._lookup_keys(name))
        }
        if not lookups:
            return {}
        for task in lookups.values():
            self._lookups.add(task)
            task.add_done_callback(self._lookups.discard)
        done, _ = await asyncio.wait(lookups.values(), timeout=BATCH_WAIT_S)
        return {name: task.result() for name, task in lookups.items() if task in done}

    async def _session_named(self, name: str) -> str:
        with catch_unexpected():  # routing repeats the look-up, and reports the error
            return await self._find_session(name) or name
        return name

    async def _find_session(self, reference: str) -> str | None:
        """Return the session of an id or a call; None if there is none."""
        call, session = self._lookup_keys(reference)
        if len(grouped_by_node(self._client, (call, session))) == 1:
            async with self._node_permit(call):
                pipeline = self._client.pipeline()
                pipeline.get(call)
                pipeline.exists(session)
                of_call, exists = await pipeline.execute()
        else:
            of_call, exists = await asyncio.gather(
                self._ask(call, self._client.get), self._ask(session, self._client.exists)
            )
        if of_call is not None:
            return str(of_call.decode())
        return reference if exists else None

    def _lookup_keys(self, reference: str) -> tuple[str, str]:
        return self._keys.call(reference), self._keys.session(reference)

    async def _ask(self, key: str, command: Callable[[str], Awaitable[Any]]) -> Any:
        async with self._node_permit(key):
            return await command(key)

    @asynccontextmanager
    async def _node_permit(self, key: str) -> AsyncIterator[None]:
        """Hold a key's node permit: a slow node must not take all connections."""
        has_waited = self._limits.is_full(key)
        async with self._limits.permit(key):
            if has_waited and (self._is_closed or self._stop.is_set()):
                raise _AbandonedError("another router continues")
            with store_errors():
                yield

    async def _route(self, entry: Entry, *, at_once: bool) -> None:
        fields = _text_of(entry)
        if fields is None or not fields.get("type"):
            await self._dead_letter(entry, "missing field type" if fields is not None else "not UTF-8 or over 64 KiB")
        else:
            try:
                if await self._route_command(entry, fields, at_once=at_once):
                    return
            except StoreUnreachableError:
                raise
            except StoreError:
                # A key holds a foreign type. Later commands must not be blocked.
                await self._dead_letter(entry, "Redis refuses one of its keys")
        await self._remove(entry)

    async def _remove(self, entry: Entry) -> None:
        async with self._node_permit(self._keys.commands):
            await self._client.xdel(self._keys.commands, entry.entry_id)

    async def _dead_letter(self, entry: Entry, reason: str) -> None:
        async with self._node_permit(self._keys.dead):
            refusal = await dead_letter(self._client, self._keys, self._keys.commands, entry, reason)
        if count_dead_letter(self._metrics, entry.entry_id, reason, refusal):
            log.error("entry_dead_lettered", entry_id=entry.entry_id, reason=reason, task="router")

    async def _report_failed(self, entry: Entry, reason: str) -> None:
        """Report a dead letter's command as failed; a retry replaces that."""
        try:
            command_id = command_stream.command_id_of(_text_of(entry) or {}, entry.entry_id)
        except BadCommandError:
            return  # no one could query such an id
        report = CommandReport(command_id, CommandStatus.FAILED, f"{DEAD_LETTERED}{reason}")
        async with self._node_permit(self._keys.command(command_id)):
            await report_command(self._client, self._keys, ReportCommand("", report))

    async def _route_command(self, entry: Entry, fields: dict[str, str], *, at_once: bool) -> bool:
        """Route a command; return whether it also left the command stream."""
        try:
            command_id = command_stream.command_id_of(fields, entry.entry_id)
        except BadCommandError as error:
            # No one could query an outcome under such an id.
            await self._refuse(entry.entry_id, entry, str(error))
            return False
        refused = ""
        try:
            parsed = parse(fields)
            try:
                parsed = resolve_destinations(parsed, self._rules.names(), self._rules.allowed)
                if caller_id := parsed.values.get("caller_id"):
                    await self._rules.caller_ids.check(str(caller_id))
            except BadCommandError as error:
                # The session logs the refusal.
                if parsed.event_type is Call or await self._find_session(parsed.session) is None:
                    raise
                refused, parsed = str(error), without_destinations(parsed)
        except BadCommandError as error:
            await self._refuse(command_id, entry, str(error))
            return False
        if at_once and not refused and await self._route_at_once(entry, command_id, parsed):
            return True
        claim = self._new_session if parsed.event_type is Call else self._existing_session
        session_id = await claim(command_id, entry, parsed)
        if session_id is None:
            return False
        event = _event_of(entry, parsed, session_id, command_id)
        if refused:
            event = replace(event, refused=refused)
        if isinstance(event, Call) and parsed.session:
            event = replace(event, conference_name=self._rules.conference_names.make(session_id, command_id))
        stream = self._keys.events(self._keys.partition_of(session_id))
        async with self._node_permit(stream):
            await self._client.xadd(stream, event_codec.encode(event))
        _log_routed(command_id, event)
        return False

    async def _route_at_once(self, entry: Entry, command_id: str, parsed: ParsedCommand) -> bool:
        """Route a command that has its session's own id; return whether it did."""
        if parsed.event_type is Call or not ID_PATTERN.fullmatch(parsed.session):
            return False
        event = _event_of(entry, parsed, parsed.session, command_id)
        async with self._node_permit(self._keys.commands):
            found = await route_at_once(self._client, self._keys, entry, command_id, event)
        if found is Routed.ROUTED:
            # The partition's consumer is reading the command now.
            call_after_requests(_log_routed, command_id, event)
        elif found is not Routed.NOT_FOUND:
            _log_repetition(entry, command_id, is_same=found is Routed.REPEATED)
        return found is not Routed.NOT_FOUND

    async def _existing_session(self, command_id: str, entry: Entry, parsed: ParsedCommand) -> str | None:
        """Claim the id and return the session; None if it is rejected or routed."""
        # A value that may be a phone number must not be stored.
        reference = parsed.session if ID_PATTERN.fullmatch(parsed.session) else ""
        session_id, claimed = await asyncio.gather(
            self._find_session(parsed.session), self._claim(command_id, entry, reference)
        )
        if claimed is None:
            return None
        if session_id is None:
            await self._reject(command_id, "", command_stream.unknown_session(parsed.session))
        return session_id

    async def _new_session(self, command_id: str, entry: Entry, parsed: ParsedCommand) -> str | None:
        """Claim the id and return the session it opens; None if there is none.

        The claim stores whether the session's id was free, so a repetition takes the same path.
        """
        new_id = parsed.session or command_stream.session_id_of(command_id)
        is_free = await self._find_session(new_id) is None
        claimed = await self._claim(command_id, entry, new_id if is_free else "")
        if claimed is None:
            return None
        if claimed == new_id:
            return new_id
        remedy = () if parsed.session else ("give the command another id",)
        await self._reject(command_id, "", command_stream.existing_session(*remedy))
        return None

    async def _claim(self, command_id: str, entry: Entry, session: str) -> str | None:
        """Claim an id, for one outcome; return its session, None if it is taken."""
        fields, key = entry.text(), self._keys.command(command_id)
        digest, by = command_stream.digest_of(fields), command_stream.sender_of(fields)
        async with self._node_permit(key):
            owner, claimed_for = await scripts.claim_command(
                self._client, [key], [entry.entry_id, session, digest, COMMAND_TTL_S, by]
            )
        if int(owner) == 1:
            return str(claimed_for.decode())
        _log_repetition(entry, command_id, is_same=int(owner) == 0)
        return None

    async def _refuse(self, command_id: str, entry: Entry, reason: str) -> None:
        # Its `session` may be anything, such as a token: store only a known id. A `call` names a new session.
        reference = "" if (_text_of(entry) or {}).get("type") == Call.name else _session_reference(entry)
        session_id = await self._find_session(reference) if reference else None
        if (claimed := await self._claim(command_id, entry, session_id or "")) is not None:
            await self._reject(command_id, claimed, reason)

    async def _reject(self, command_id: str, session: str, reason: str) -> None:
        report = CommandReport(command_id, CommandStatus.REJECTED, reason)
        async with self._node_permit(self._keys.command(command_id)):
            await report_command(self._client, self._keys, ReportCommand(session, report))
        log.info("command_rejected", command_id=command_id, reason=reason)


def _log_routed(command_id: str, event: Command) -> None:
    log.info("command_routed", command_id=command_id, command=event.name, session_id=event.session_id)


def _log_repetition(entry: Entry, command_id: str, *, is_same: bool) -> None:
    """Log a duplicate command, or another command with the same id."""
    if is_same:
        log.info("command_deduplicated", command_id=command_id, entry_id=entry.entry_id)
    else:
        # The first command keeps the outcome. Its digest shows the second sender that it is not theirs.
        log.warning("command_id_reused", command_id=command_id, entry_id=entry.entry_id)


def _event_of(entry: Entry, parsed: ParsedCommand, session_id: str, command_id: str) -> Command:
    return parsed.event(session_id, command_id, int(entry.entry_id.split("-", 1)[0]))


def _asks_twilio(entry: Entry) -> bool:
    """Whether later commands may arrive while Twilio is asked about this one."""
    return bool((_text_of(entry) or {}).get("caller_id"))


def _text_of(entry: Entry) -> dict[str, str] | None:
    """Return the entry's fields; None if they are not UTF-8 or too large."""
    try:
        return entry.text()
    except BadEntryError:
        return None


def _command_id(entry: Entry) -> str:
    return (_text_of(entry) or {}).get("id") or entry.entry_id


def _session_reference(entry: Entry) -> str:
    """Return the command's session reference or new session's id, or empty."""
    fields = _text_of(entry) or {}
    reference = fields.get("session", "")
    if not reference and fields.get("type") == Call.name:
        reference = command_stream.session_id_of(_command_id(entry))
    return reference if ID_PATTERN.fullmatch(reference) else ""
