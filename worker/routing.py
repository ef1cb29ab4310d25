"""Routes commands under one lease: those of one session in their order, all others side by side.

On a cluster, a silent node holds up the commands whose keys it has, and no others. A command that names its session by
a call keeps its order with those that name it by its id, unless the node that knows the call is silent.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog

from conferral.runtime.containment import Where, contain
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import note_unreachable
from conferral.statemachine.events import Call
from conferral.statemachine.ids import ID_PATTERN
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import commands, event_codec, scripts
from conferral.storage.commands import Parsed
from conferral.storage.connection import Client, store_errors
from conferral.storage.effect_codec import TellCommand
from conferral.storage.event_codec import BadEntryError
from conferral.storage.keys import Keys
from conferral.storage.limits import NodeLimits, grouped_by_node
from conferral.storage.partition import COMMAND_TTL_S, PUT_ASIDE, Entry, bury, tell_command
from conferral.telephony.addresses import AllowList
from conferral.telephony.conference_names import ConferenceNames
from conferral.worker.caller_ids import CallerIds
from conferral.worker.destinations import resolve_destinations, without_destinations

log = structlog.get_logger()

#: How long those behind wait for the commands of a batch, seconds. Whatever takes longer waits for a slow node.
HOLDS_UP_S = 0.2
#: The same while it is known that a node is slow, seconds.
HOLDS_UP_WHILE_SLOW_S = 0.02
#: Commands of this task to one Redis node at the same time, count.
AT_ONCE_MAX = 32
#: Pause after Redis was out of reach, seconds.
PAUSE_S = 0.5
#: How often it is logged that commands wait for Redis, seconds.
LOG_EVERY_S = 60.0


class _AbandonedError(StoreUnreachableError):
    """The process stops, or another worker routes: what waits for a node is left to the next router."""


class Routing:
    """The commands that are read and not yet routed."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        metrics: Metrics,
        stop: asyncio.Event,
        *,
        allowed: AllowList,
        names: Callable[[], Mapping[str, str]],
        conferences: ConferenceNames,
        caller_ids: CallerIds,
    ) -> None:
        """Hold nothing yet.

        Args:
            client: Of Redis.
            keys: Its keys.
            metrics: Where dead letters are counted.
            stop: Set when the process is to stop.
            allowed: What may be dialed.
            names: The directory's addresses by name, as they are when a command is routed.
            conferences: Names the conferences of sessions whose ids are given.
            caller_ids: Knows which numbers a command may show as the caller ID.
        """
        self._client = client
        self._keys = keys
        self._metrics = metrics
        self._stop = stop
        self._allowed = allowed
        self._names = names
        self._conferences = conferences
        self._caller_ids = caller_ids
        self._limits = NodeLimits(client, AT_ONCE_MAX)
        #: By the id of the command's entry.
        self.held: dict[str, asyncio.Task[None]] = {}
        #: The newest command for each session, by every name that is known of it, and for each command's id.
        self._newest: dict[str, asyncio.Task[None]] = {}
        self._lookups: set[asyncio.Task[str | None]] = set()
        self._is_over = False
        self._logged_at_s: float | None = None

    async def take(self, entries: Iterable[Entry]) -> None:
        """Start to route commands, in the order of the stream; wait a moment until they are routed."""
        new = [entry for entry in entries if entry.entry_id not in self.held]
        named = {entry.entry_id: _session_named(entry) for entry in new}
        sessions = await self._sessions_of(dict.fromkeys(name for name in named.values() if name))
        started = []
        for entry in new:
            name = named[entry.entry_id]
            of_session = {f"session {name}": None, f"session {sessions.get(name, name)}": None} if name else {}
            task = self._start(entry, [*of_session, f"command {_id_named(entry)}"])
            started.append(task)
        if started:
            is_slow = self._limits.any_is_slow(HOLDS_UP_S)
            await asyncio.wait(started, timeout=HOLDS_UP_WHILE_SLOW_S if is_slow else HOLDS_UP_S)

    async def end(self) -> None:
        """Leave what is not routed to the next router; wait for what is in progress."""
        self._is_over = True
        if waited := {*self.held.values(), *self._lookups}:
            await asyncio.wait(waited)

    # ---- order ---------------------------------------------------------------------------------------------------

    def _start(self, entry: Entry, lines: list[str]) -> "asyncio.Task[None]":
        """Route a command behind the newest of each line that it stands in."""
        before = list({id(self._newest[line]): self._newest[line] for line in lines if line in self._newest}.values())
        task = asyncio.get_running_loop().create_task(self._route_in_turn(entry, before))
        self.held[entry.entry_id] = task
        self._newest.update(dict.fromkeys(lines, task))

        def done(task: "asyncio.Task[None]") -> None:
            self.held.pop(entry.entry_id, None)
            for line in lines:
                if self._newest.get(line) is task:
                    del self._newest[line]

        task.add_done_callback(done)
        return task

    async def _route_in_turn(self, entry: Entry, before: "list[asyncio.Task[None]]") -> None:
        if before:
            await asyncio.wait(before)
        while not (self._is_over or self._stop.is_set()):
            try:
                with contain(
                    Where.TASK, self._metrics, passing=(StoreError,), task="router", entry_id=entry.entry_id
                ) as boundary:
                    await self._route(entry)
                if boundary.unexpected is not None:
                    await self._put_aside(entry, boundary.unexpected.reason)
                    await self._report_failed(entry, boundary.unexpected.reason)
                    await self._remove(entry)
            except StoreError as error:
                self._log_unreachable(error)
                await pause(self._stop, PAUSE_S)
            else:
                return

    def _log_unreachable(self, error: StoreError) -> None:
        now_s = asyncio.get_running_loop().time()
        is_due = self._logged_at_s is None or now_s - self._logged_at_s >= LOG_EVERY_S
        if is_due and not isinstance(error, _AbandonedError):
            self._logged_at_s = now_s
            note_unreachable(error, task="router")

    async def _sessions_of(self, names: Iterable[str]) -> dict[str, str]:
        """The sessions that names stand for, as far as Redis says so at once."""
        asked = {
            name: asyncio.get_running_loop().create_task(self._session_of(name))
            for name in names
            if not any(self._limits.is_slow(key, HOLDS_UP_S) for key in self._keys_of(name))
        }
        if not asked:
            return {}
        for task in asked.values():
            self._lookups.add(task)
            task.add_done_callback(self._forget_lookup)
        done, _ = await asyncio.wait(asked.values(), timeout=HOLDS_UP_S)
        found = {name: task.result() for name, task in asked.items() if task in done and task.exception() is None}
        return {name: session for name, session in found.items() if session is not None}

    def _forget_lookup(self, task: "asyncio.Task[str | None]") -> None:
        self._lookups.discard(task)
        if not task.cancelled():
            task.exception()  # a name that could not be looked up keeps its own order

    @asynccontextmanager
    async def _at(self, key: str) -> AsyncIterator[None]:
        """A permit for one command to the node that has a key."""
        has_waited = self._limits.is_full(key)
        async with self._limits.permit(key):
            if has_waited and (self._is_over or self._stop.is_set()):
                raise _AbandonedError("another router goes on")
            with store_errors():
                yield

    # ---- one command ---------------------------------------------------------------------------------------------

    async def _route(self, entry: Entry) -> None:
        fields = _text_of(entry)
        if fields is None or not fields.get("type"):
            await self._put_aside(entry, "no type" if fields is not None else "not UTF-8 or over 64 KiB")
        else:
            try:
                await self._route_command(entry, fields)
            except StoreUnreachableError:
                raise
            except StoreError:
                # One of its keys is another program's: it costs this command, not those behind it.
                await self._put_aside(entry, "Redis refuses one of its keys")
        await self._remove(entry)

    async def _remove(self, entry: Entry) -> None:
        async with self._at(self._keys.commands):
            await self._client.xdel(self._keys.commands, entry.entry_id)

    async def _put_aside(self, entry: Entry, reason: str) -> None:
        async with self._at(self._keys.dead):
            await bury(self._client, self._keys, self._keys.commands, entry, reason)
        self._metrics.dead_letters.labels(reason).inc()
        log.error("entry_put_aside", entry_id=entry.entry_id, reason=reason, task="router")

    async def _report_failed(self, entry: Entry, reason: str) -> None:
        """A dead-lettered command has an outcome; retried, it gets another one."""
        try:
            command_id = commands.command_id_of(_text_of(entry) or {}, entry.entry_id)
        except commands.BadCommandError:
            return  # no one could ask for the outcome of such an id
        report = CommandReport(command_id, CommandStatus.FAILED, f"{PUT_ASIDE}{reason}")
        async with self._at(self._keys.command(command_id)):
            await tell_command(self._client, self._keys, TellCommand("", report))

    async def _route_command(self, entry: Entry, fields: dict[str, str]) -> None:
        try:
            command_id = commands.command_id_of(fields, entry.entry_id)
        except commands.BadCommandError as error:
            # An outcome under an id that does not match the pattern could not be found by anybody.
            if await self._claim(entry.entry_id, entry, "") is not None:
                await self._reject(entry.entry_id, "", str(error))
            return
        refused = ""
        try:
            parsed = commands.parse(fields)
            try:
                parsed = resolve_destinations(parsed, self._names(), self._allowed)
                if caller_id := parsed.values.get("caller_id"):
                    await self._caller_ids.check(str(caller_id))
            except commands.BadCommandError as error:
                # The session notes who wanted to call whom it may not.
                if parsed.kind is Call or await self._session_of(parsed.session) is None:
                    raise
                refused, parsed = str(error), without_destinations(parsed)
        except commands.BadCommandError as error:
            if await self._claim(command_id, entry, "") is not None:
                await self._reject(command_id, "", str(error))
            return
        session_id = await (self._new_session if parsed.kind is Call else self._known_session)(
            command_id, entry, parsed
        )
        if session_id is None:
            return
        event = parsed.event(session_id, command_id, int(entry.entry_id.split("-", 1)[0]))
        if refused:
            event = replace(event, refused=refused)
        if isinstance(event, Call) and parsed.session:
            event = replace(event, conference_name=self._conferences.make(session_id, command_id))
        stream = self._keys.events(self._keys.partition_of(session_id))
        async with self._at(stream):
            await self._client.xadd(stream, event_codec.encode(event))
        log.info("command_routed", command_id=command_id, command=event.name, session_id=session_id)

    async def _known_session(self, command_id: str, entry: Entry, parsed: Parsed) -> str | None:
        """The session that a command is for; None when there is nothing more to do."""
        # What may be a phone number is no session's id, and is kept nowhere.
        kept = parsed.session if ID_PATTERN.fullmatch(parsed.session) else ""
        session_id, claimed = await asyncio.gather(
            self._session_of(parsed.session), self._claim(command_id, entry, kept)
        )
        if claimed is None:
            return None
        if session_id is None:
            await self._reject(command_id, "", commands.unknown_session(parsed.session))
        return session_id

    async def _new_session(self, command_id: str, entry: Entry, parsed: Parsed) -> str | None:
        """The id of the session that a command opens; None when there is nothing more to do.

        Whether the id is free is asked before the claim and kept in it: a command that is routed again, after its
        session was opened, goes the way that it went the first time.
        """
        wanted = parsed.session or commands.session_id_of(command_id)
        is_free = await self._session_of(wanted) is None
        claimed = await self._claim(command_id, entry, wanted if is_free else "")
        if claimed is None:
            return None
        if claimed == wanted:
            return wanted
        reason = commands.taken_session() if parsed.session else commands.taken_session("give the command another id")
        await self._reject(command_id, "", reason)
        return None

    def _keys_of(self, named: str) -> list[str]:
        """What says which session a name stands for: the call's entry, and the session's own."""
        return [self._keys.call(named), self._keys.session(named)]

    async def _session_of(self, named: str) -> str | None:
        """The session that a command names by its id or by one of its calls."""
        call, session = self._keys_of(named)
        if len(grouped_by_node(self._client, (call, session))) == 1:
            async with self._at(call):
                pipeline = self._client.pipeline(transaction=False)
                pipeline.get(call)
                pipeline.exists(session)
                of_call, exists = await pipeline.execute()
        else:
            of_call, exists = await asyncio.gather(self._get(call), self._exists(session))
        if of_call is not None:
            return str(of_call.decode())
        return named if exists else None

    async def _get(self, key: str) -> bytes | None:
        async with self._at(key):
            found: bytes | None = await self._client.get(key)
        return found

    async def _exists(self, key: str) -> bool:
        async with self._at(key):
            return bool(await self._client.exists(key))

    async def _claim(self, command_id: str, entry: Entry, session: str) -> str | None:
        """The session that the command's id was claimed for; None when another entry has claimed the id."""
        fields, key = entry.text(), self._keys.command(command_id)
        digest, by = commands.digest_of(fields), commands.giver_of(fields)
        async with self._at(key):
            owner, claimed_for = await scripts.claim_command(
                self._client, [key], [entry.entry_id, session, digest, COMMAND_TTL_S, by]
            )
        if int(owner) == 1:
            return str(claimed_for.decode())
        if int(owner) == 0:
            log.info("command_repeated", command_id=command_id, entry_id=entry.entry_id)
        else:
            # An id has one outcome, the first command's. The digest shows a second sender that it is not theirs.
            log.warning("command_id_reused", command_id=command_id, entry_id=entry.entry_id)
        return None

    async def _reject(self, command_id: str, session: str, reason: str) -> None:
        report = CommandReport(command_id, CommandStatus.REJECTED, reason)
        async with self._at(self._keys.command(command_id)):
            await tell_command(self._client, self._keys, TellCommand(session, report))
        log.info("command_rejected", command_id=command_id, reason=reason)


def _text_of(entry: Entry) -> dict[str, str] | None:
    try:
        return entry.text()
    except BadEntryError:
        return None


def _id_named(entry: Entry) -> str:
    """The id of a command, by which repetitions stand in line."""
    return ((_text_of(entry) or {}).get("id", "")) or entry.entry_id


def _session_named(entry: Entry) -> str:
    """What a command names its session by, or the id that its session will have; empty where there is neither."""
    fields = _text_of(entry) or {}
    named = fields.get("session", "")
    if not named and fields.get("type") == Call.name:
        named = commands.session_id_of(_id_named(entry))
    return named if ID_PATTERN.fullmatch(named) else ""
