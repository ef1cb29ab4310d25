"""Routes one command: claims its id, appends it to its session's stream.

Both may be repeated, but only the claim decides, so a duplicate command has one outcome.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.statemachine.events import Call
from conferral.statemachine.ids import ID_PATTERN
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import scripts
from conferral.storage.codecs import event_codec
from conferral.storage.codecs.effect_codec import ReportCommand
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.commands import command_stream
from conferral.storage.commands.command_parser import BadCommandError, ParsedCommand, parse
from conferral.storage.connection.client import store_errors
from conferral.storage.partition.partition_store import COMMAND_TTL_S, DEAD_LETTERED, Entry, dead_letter, report_command
from conferral.telephony.addresses import AllowList
from conferral.telephony.conference_lists import ConferenceNames
from conferral.worker.core import WorkerCore
from conferral.worker.dead_letters import count_dead_letter
from conferral.worker.router.caller_ids import CallerIdChecker
from conferral.worker.router.destination_resolver import resolve_destinations, without_destinations

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRules:
    """What commands may ask for."""

    allowed: AllowList
    #: The directory's current addresses by name.
    names: Callable[[], Mapping[str, str]]
    conference_names: ConferenceNames
    caller_ids: CallerIdChecker


class CommandRouting:
    """Routes single commands; all steps are safe to repeat."""

    def __init__(self, core: WorkerCore, rules: CommandRules) -> None:
        self._client = core.client
        self._keys = core.keys
        self._metrics = core.metrics
        self._rules = rules

    async def route(self, entry: Entry) -> None:
        """Route, reject, or dead-letter a command, and remove it from the stream."""
        fields = text_of(entry)
        if fields is None or not fields.get("type"):
            await self._dead_letter(entry, "missing field type" if fields is not None else "not UTF-8 or over 64 KiB")
        else:
            try:
                await self._route_command(entry, fields)
            except StoreUnreachableError:
                raise
            except StoreError:
                # A key holds a foreign type. Later commands must not be blocked.
                await self._dead_letter(entry, "Redis refuses one of its keys")
        await self._remove(entry)

    async def give_up(self, entry: Entry, reason: str) -> None:
        """Dead-letter a command after an unexpected error; report it as failed."""
        await self._dead_letter(entry, reason)
        try:
            command_id = command_stream.command_id_of(text_of(entry) or {}, entry.entry_id)
        except BadCommandError:
            pass  # no one could query such an id
        else:
            report = CommandReport(command_id, CommandStatus.FAILED, f"{DEAD_LETTERED}{reason}")
            await report_command(self._client, self._keys, ReportCommand("", report))
        await self._remove(entry)

    async def _remove(self, entry: Entry) -> None:
        with store_errors():
            await self._client.xdel(self._keys.commands, entry.entry_id)

    async def _dead_letter(self, entry: Entry, reason: str) -> None:
        refusal = await dead_letter(self._client, self._keys, self._keys.commands, entry, reason)
        if count_dead_letter(self._metrics, entry.entry_id, reason, refusal):
            log.error("entry_dead_lettered", entry_id=entry.entry_id, reason=reason, task="router")

    async def _route_command(self, entry: Entry, fields: dict[str, str]) -> None:
        try:
            command_id = command_stream.command_id_of(fields, entry.entry_id)
        except BadCommandError as error:
            # No one could query an outcome under such an id.
            await self._refuse(entry.entry_id, entry, str(error))
            return
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
            return
        claim = self._new_session if parsed.event_type is Call else self._existing_session
        session_id = await claim(command_id, entry, parsed)
        if session_id is None:
            return
        event = parsed.event(session_id, command_id, int(entry.entry_id.split("-", 1)[0]))
        if refused:
            event = replace(event, refused=refused)
        if isinstance(event, Call) and parsed.session:
            event = replace(event, conference_name=self._rules.conference_names.make(session_id, command_id))
        with store_errors():
            stream = self._keys.events(self._keys.partition_of(session_id))
            await self._client.xadd(stream, event_codec.encode(event))
        log.info("command_routed", command_id=command_id, command=event.name, session_id=event.session_id)

    async def _find_session(self, reference: str) -> str | None:
        """Return the session of an id or a call; None if there is none."""
        with store_errors():
            pipeline = self._client.pipeline()
            pipeline.get(self._keys.call(reference))
            pipeline.exists(self._keys.session(reference))
            of_call, exists = await pipeline.execute()
        if of_call is not None:
            return str(of_call.decode())
        return reference if exists else None

    async def _existing_session(self, command_id: str, entry: Entry, parsed: ParsedCommand) -> str | None:
        """Claim the id and return the session; None if it is rejected or routed."""
        # A value that may be a phone number must not be stored.
        reference = parsed.session if ID_PATTERN.fullmatch(parsed.session) else ""
        if await self._claim(command_id, entry, reference) is None:
            return None
        session_id = await self._find_session(parsed.session)
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
        fields = entry.text()
        digest, by = command_stream.digest_of(fields), command_stream.sender_of(fields)
        with store_errors():
            owner, claimed_for = await scripts.claim_command(
                self._client, [self._keys.command(command_id)], [entry.entry_id, session, digest, COMMAND_TTL_S, by]
            )
        if int(owner) == 1:
            return str(claimed_for.decode())
        if int(owner) == 0:
            log.info("command_deduplicated", command_id=command_id, entry_id=entry.entry_id)
        else:
            # The first command keeps the outcome. Its digest shows the second sender that it is not theirs.
            log.warning("command_id_reused", command_id=command_id, entry_id=entry.entry_id)
        return None

    async def _refuse(self, command_id: str, entry: Entry, reason: str) -> None:
        # Its `session` may be anything, such as a token: store only a known id. A `call` names a new session.
        reference = "" if (text_of(entry) or {}).get("type") == Call.name else session_reference(entry)
        session_id = await self._find_session(reference) if reference else None
        if (claimed := await self._claim(command_id, entry, session_id or "")) is not None:
            await self._reject(command_id, claimed, reason)

    async def _reject(self, command_id: str, session: str, reason: str) -> None:
        report = CommandReport(command_id, CommandStatus.REJECTED, reason)
        await report_command(self._client, self._keys, ReportCommand(session, report))
        log.info("command_rejected", command_id=command_id, reason=reason)


def text_of(entry: Entry) -> dict[str, str] | None:
    """Return the entry's fields; None if they are not UTF-8 or too large."""
    try:
        return entry.text()
    except BadEntryError:
        return None


def given_id(entry: Entry) -> str:
    """Return the command's id as its sender gave it, or the entry's."""
    return (text_of(entry) or {}).get("id") or entry.entry_id


def session_reference(entry: Entry) -> str:
    """Return the command's session reference or new session's id, or empty."""
    fields = text_of(entry) or {}
    reference = fields.get("session", "")
    if not reference and fields.get("type") == Call.name:
        reference = command_stream.session_id_of(given_id(entry))
    return reference if ID_PATTERN.fullmatch(reference) else ""
