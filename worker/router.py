"""The command router: one reader at a time takes commands off their stream and hands each to its session's partition.

For each command, in order: claim its id, append it to the partition with the id as token, remove it. Every step may be
repeated; only the claim decides, so a repeated or doubled command has one outcome. Names of the directory become
addresses here, and whoever may not be dialled is turned away, before anything was published.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from runtime.clock import Clock
from runtime.errors import StoreError, StoreUnreachableError
from runtime.lifecycle import pause
from runtime.metrics import Metrics
from statemachine.events import Call
from statemachine.ids import ID_PATTERN
from statemachine.step import CommandReport, CommandStatus
from streams import commands, event_codec, scripts
from streams import lease as leases
from streams.commands import Parsed
from streams.connection import BLOCK_MS, Client, store_errors
from streams.effect_codec import TellCommand
from streams.event_codec import BadEntryError
from streams.keys import Keys
from streams.lease import LEASE_MS, Lease, Renewal, Taken, Watch
from streams.levels import Level
from streams.partition import COMMAND_TTL_S, Entry, bury, tell_command
from telephony.addresses import AllowList
from telephony.conference_names import ConferenceNames
from worker.caller_ids import CallerIds
from worker.destinations import resolve_destinations

log = structlog.get_logger()

#: Commands taken at a time, count.
BATCH_MAX = 100
#: Pause while another worker routes, or after Redis was out of reach, seconds.
PAUSE_S = 0.5
#: The lease is renewed when less than this is left of it, seconds.
RENEW_BELOW_S = 3.0


class Router:
    """Routes commands while it holds the lease of that."""

    def __init__(
        self,
        client: Client,
        blocking: Client,
        keys: Keys,
        name: str,
        clock: Clock,
        metrics: Metrics,
        *,
        allowed: AllowList,
        names: Callable[[], Mapping[str, str]],
        conferences: ConferenceNames,
        caller_ids: CallerIds,
        level: Level | None = None,
    ) -> None:
        """Prepares; nothing is asked of Redis yet.

        Args:
            client: Of Redis, for all but waiting.
            blocking: Of Redis, for waiting.
            keys: Its keys.
            name: This worker's, shown in the lease.
            clock: Of this process.
            metrics: Where dead letters are counted.
            allowed: What may be dialled.
            names: The directory's addresses by name, as they are when a command is routed.
            conferences: Names the conferences of sessions whose ids are given.
            caller_ids: Checks the numbers that commands want the dialed party to see.
            level: At which records are written; by default that of this version.
        """
        self._client = client
        self._blocking = blocking
        self._keys = keys
        self._name = name
        self._clock = clock
        self._metrics = metrics
        self._allowed = allowed
        self._names = names
        self._conferences = conferences
        self._caller_ids = caller_ids
        self._level = level or Level()
        self._lease: Lease | None = None
        self._watch = Watch()

    async def run(self, stop: asyncio.Event) -> None:
        """Routes until the process stops, then gives the lease back."""
        while not stop.is_set():
            try:
                if not await self._has_lease():
                    await pause(stop, PAUSE_S)
                    continue
                for entry in await self._read(stop):
                    await self._route(entry)
            except StoreError as error:
                log.warning("store_unreachable", task="router", reason=str(error))
                await pause(stop, PAUSE_S)
        if self._lease is not None:
            try:
                await leases.release(self._client, self._lease)
            except StoreError as error:
                log.warning("store_unreachable", task="router", reason=str(error))

    async def _has_lease(self) -> bool:
        if self._level.is_too_new:
            lease, self._lease = self._lease, None
            if lease is not None:
                await leases.release(self._client, lease)
            return False
        if self._lease is None:
            taken, _ = await leases.take(
                self._client, self._keys.commands_lease, self._name, self._clock, LEASE_MS, self._watch
            )
            if isinstance(taken, Taken):
                return False
            self._lease = taken
            log.info("lease_taken", task="router", holder=taken.holder)
        if self._lease.sure_until_s - self._clock.monotonic_s() < RENEW_BELOW_S:
            renewal, _ = await leases.renew(self._client, self._lease, self._clock, LEASE_MS)
            if renewal is not Renewal.RENEWED:
                log.warning("lease_lost", task="router", holder=self._lease.holder)
                self._lease = None
                self._watch = Watch()
                return False
        return True

    async def _read(self, stop: asyncio.Event) -> list[Entry]:
        reading = asyncio.ensure_future(
            self._blocking.xread({self._keys.commands: "0"}, count=BATCH_MAX, block=BLOCK_MS)
        )
        stopping = asyncio.ensure_future(stop.wait())
        with store_errors():
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not reading.done():
                # A read that waits takes nothing, so it may be cut short. It is waited for all the same: a
                # cancellation can get lost inside the Redis client on Python 3.11.
                reading.cancel()
                await asyncio.wait({reading})
                if not reading.cancelled():
                    reading.exception()
                return []
            answer = reading.result()
        return [Entry(entry_id.decode(), fields or {}) for entry_id, fields in answer[0][1]] if answer else []

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
                # One of its keys is somebody else's: it costs this command, not those behind it.
                await self._put_aside(entry, "Redis refuses one of its keys")
        with store_errors():
            await self._client.xdel(self._keys.commands, entry.entry_id)

    async def _put_aside(self, entry: Entry, reason: str) -> None:
        await bury(self._client, self._keys, self._keys.commands, entry, reason)
        self._metrics.dead_letters.labels(reason).inc()
        log.error("entry_put_aside", entry_id=entry.entry_id, reason=reason, task="router")

    async def _route_command(self, entry: Entry, fields: dict[str, str]) -> None:
        try:
            command_id = commands.command_id_of(fields, entry.entry_id)
        except commands.BadCommandError as error:
            # An outcome under an id that does not match the pattern could not be found by anybody.
            await self._reject(entry.entry_id, "", str(error))
            return
        try:
            parsed = resolve_destinations(commands.parse(fields), self._names(), self._allowed)
            if caller_id := parsed.values.get("caller_id"):
                await self._caller_ids.check(str(caller_id))
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
        if isinstance(event, Call) and parsed.session:
            event = replace(event, conference_name=self._conferences.make(session_id, command_id))
        with store_errors():
            stream = self._keys.events(self._keys.partition_of(session_id))
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

    async def _session_of(self, named: str) -> str | None:
        """The session that a command names by its id or by one of its calls."""
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.get(self._keys.call(named))
            pipeline.exists(self._keys.session(named))
            of_call, exists = await pipeline.execute()
        if of_call is not None:
            return str(of_call.decode())
        return named if exists else None

    async def _claim(self, command_id: str, entry: Entry, session: str) -> str | None:
        """The session that the command's id was claimed for; None when another entry has claimed the id."""
        digest = commands.digest_of(entry.text())
        with store_errors():
            owner, claimed_for = await scripts.claim_command(
                self._client, [self._keys.command(command_id)], [entry.entry_id, session, digest, COMMAND_TTL_S]
            )
        if int(owner) == 1:
            return str(claimed_for.decode())
        if int(owner) == 0:
            log.info("command_repeated", command_id=command_id, entry_id=entry.entry_id)
        else:
            # An id has one outcome, the first command's: whoever gave it again sees by the digest that it is not his.
            log.warning("command_id_reused", command_id=command_id, entry_id=entry.entry_id)
        return None

    async def _reject(self, command_id: str, session: str, reason: str) -> None:
        report = CommandReport(command_id, CommandStatus.REJECTED, reason)
        await tell_command(self._client, self._keys, TellCommand(session, report))
        log.info("command_rejected", command_id=command_id, reason=reason)


def _text_of(entry: Entry) -> dict[str, str] | None:
    try:
        return entry.text()
    except BadEntryError:
        return None
