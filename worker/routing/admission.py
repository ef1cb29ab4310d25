"""Command admission: one command's way to its session.

It claims the command's id, and appends the command to its session's stream. Both may be repeated, but only the claim
decides, so a duplicate command has one result. Before that, it checks the command's addresses.
"""

from dataclasses import replace
from typing import NamedTuple

import structlog

from conferral.commands import identity
from conferral.commands.parser import BadCommandError, ParsedCommand, parse
from conferral.runtime import tracing
from conferral.statemachine.events import Call, Command, DialCommand, Press, Supervise
from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from conferral.statemachine.ids import ID_PATTERN, no_call_found
from conferral.statemachine.reasons import Reason
from conferral.statemachine.session import SUPERVISOR
from conferral.statemachine.states import SessionMode
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import command_stream, digits, scripts
from conferral.storage.codecs import event_codec
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.command_reports import COMMAND_TTL_S, report_command
from conferral.storage.connection.client import as_store_errors, ask, run_or_raise
from conferral.storage.dial_limits import DialLimits
from conferral.storage.entries import Entry, parse_entry_id
from conferral.storage.queries.session_reader import SessionReader
from conferral.telephony.conference_names import ConferenceNames
from conferral.worker.core import WorkerCore
from conferral.worker.dial_limits import report_dial_limit
from conferral.worker.routing.addresses import CommandAddresses, without_destinations

log = structlog.get_logger()


class Claim(NamedTuple):
    """A stream entry's claim of a command's id."""

    #: That the command is for; empty without one.
    session: str
    #: Whether the entry had not claimed it before.
    is_first: bool


class CommandAdmission:
    """Appends each valid command to its session's stream; rejects the others."""

    def __init__(
        self,
        core: WorkerCore,
        addresses: CommandAddresses,
        conference_names: ConferenceNames,
        dial_limits: DialLimits,
    ) -> None:
        self._client = core.client
        self._keys = core.keys
        self._reader = SessionReader(core.client, core.keys)
        self._metrics = core.metrics
        self._addresses = addresses
        self._conference_names = conference_names
        self._dial_limits = dial_limits

    async def admit(self, entry: Entry, fields: dict[str, str]) -> None:
        """Append a valid command to its session's stream; reject an invalid one.

        A session's refused command goes there, too, without its destinations, so that the log shows it.
        """
        try:
            command_id = command_stream.command_id_of(fields, entry.entry_id)
        except BadEntryError as error:
            # No one could query a result under such an id.
            await self._claim_and_reject(entry.entry_id, entry, str(error))
            return
        refused = ""
        try:
            parsed = parse(fields)
            try:
                parsed = await self._addresses.resolve(parsed)
            except BadCommandError as error:
                if parsed.event_type.opens_session or await self._find_session(parsed.session) is None:
                    raise
                refused, parsed = str(error), without_destinations(parsed)
        except BadCommandError as error:
            await self._claim_and_reject(command_id, entry, str(error))
            return
        claim = await self._claim_id(command_id, entry, parsed)
        if claim is None:
            return
        session_id = claim.session
        event = parsed.event(session_id, command_id, parse_entry_id(entry.entry_id)[0])
        # A repeated command may have opened its session, which then decides.
        if claim.is_first or not event.opens_session:
            refused = refused or await self._dial_limit_refusal(event)
        if refused and event.opens_session:
            await self._reject(command_id, "", refused)
            return
        if refused:
            event = replace(event, refused=refused)
        if event.opens_session and parsed.session:
            event = replace(event, conference_name=self._conference_names.make(session_id, command_id))
        if isinstance(event, Press):
            await ask(self._client, *digits.keep(self._keys, command_id, event.digits))
            event = replace(event, digits="")
        tracing.annotate({tracing.SESSION_ID: session_id, "conferral.command": event.name})
        with as_store_errors():
            stream = self._keys.events(self._keys.partition_of(session_id))
            await self._client.xadd(stream, event_codec.encode(event))
        log.info("command_routed", command_id=command_id, command=event.name, session_id=event.session_id)

    async def _dial_limit_refusal(self, command: Command) -> str:
        """Return why a command is refused: its dials would exceed a limit."""
        if not (count := _dial_count(command)):
            return ""
        if isinstance(command, Supervise):
            session = await self._reader.read_session(command.session_id)
            if session is not None and session.present_party(SUPERVISOR) is not None:
                return ""  # it only switches the mode
        limit = await self._dial_limits.exceeded(self._client, command.session_id, count)
        if not limit:
            return ""
        report_dial_limit(self._metrics, limit, command_id=command.command_id, session_id=command.session_id)
        return Reason.DIAL_LIMIT

    async def _find_session(self, reference: str) -> str | None:
        """Return the session of an id or a call; None if there is none."""
        commands = ("GET", self._keys.call(reference)), ("EXISTS", self._keys.session(reference))
        of_call, exists = await run_or_raise(self._client, *commands)
        if of_call is not None:
            return str(of_call.decode())
        return reference if exists else None

    async def _find_or_await_session(self, named: str) -> str | None:
        """Return a command's session, also one that undecided entries may open.

        The partition decides these first, and rejects the command if none of them does.
        """
        found = await self._find_session(named)
        if found or not ID_PATTERN.fullmatch(named):
            return found
        undecided = await ask(self._client, "XLEN", self._keys.events(self._keys.partition_of(named)))
        # Once more, now that they are counted: what was decided in between has opened its session.
        return await self._find_session(named) or (named if undecided else None)

    async def _has_opened(self, session_id: str, command_id: str) -> bool:
        """Whether a `call` opened a session: its conference is named for both."""
        session = await self._reader.read_session(session_id)
        name = self._conference_names.make(session_id, command_id)
        return session is not None and session.conference_name == name

    async def _claim_id(self, command_id: str, entry: Entry, parsed: ParsedCommand) -> Claim | None:
        """Claim the id for its session; None if the command is rejected or routed.

        The claim stores whether a new session's id was free, so a repetition takes the same path.
        """
        named = parsed.session
        if not parsed.event_type.opens_session:
            # A value that may be a phone number must not be stored.
            claim = await self._claim(command_id, entry, named if ID_PATTERN.fullmatch(named) else "")
            if claim is None:
                return None
            session_id, reason_if_rejected = await self._find_or_await_session(named), no_call_found(named)
        else:
            new_id = named or identity.session_id_of(command_id)
            is_free = await self._find_session(new_id) is None
            # A failover may have lost the claim of a command that has opened its session.
            is_own = is_free or not named or await self._has_opened(new_id, command_id)
            claim = await self._claim(command_id, entry, new_id if is_own else "")
            if claim is None:
                return None
            claim = claim._replace(is_first=claim.is_first and is_free)
            session_id = new_id if claim.session == new_id else None
            reason_if_rejected = identity.existing_session()
        if session_id is None:
            await self._reject(command_id, "", reason_if_rejected)
            return None
        return claim._replace(session=session_id)

    async def _claim(self, command_id: str, entry: Entry, session: str) -> Claim | None:
        """Claim an id, for one result; None if it is taken."""
        fields = entry.text()
        digest, by = identity.digest_of(fields), identity.sender_of(fields)
        with as_store_errors():
            answer, claimed_for = await scripts.claim_command(
                self._client, [self._keys.command(command_id)], [entry.entry_id, session, digest, COMMAND_TTL_S, by]
            )
        if int(answer) in (1, 2):
            return Claim(str(claimed_for.decode()), is_first=int(answer) == 1)
        if int(answer) == 0:
            log.info("command_deduplicated", command_id=command_id, entry_id=entry.entry_id)
        else:
            # The first command keeps the result. Its digest shows the second sender that it is not theirs.
            log.warning("command_id_reused", command_id=command_id, entry_id=entry.entry_id)
        return None

    async def _claim_and_reject(self, command_id: str, entry: Entry, reason: str) -> None:
        """Reject a command that can't be parsed, unless its id has a result."""
        # Its `session` may be anything, such as a token: store only a known id. Some commands name a new session.
        command = COMMANDS_BY_NAME.get((text_of(entry) or {}).get("type", ""))
        reference = "" if command is not None and command.opens_session else _session_reference(entry)
        session_id = await self._find_session(reference) if reference else None
        if (claim := await self._claim(command_id, entry, session_id or "")) is not None:
            await self._reject(command_id, claim.session, reason)

    async def _reject(self, command_id: str, session: str, reason: str) -> None:
        report = CommandReport(command_id, CommandStatus.REJECTED, reason)
        await report_command(self._client, self._keys, session, report)
        log.info("command_rejected", command_id=command_id, reason=reason)


def _dial_count(event: Command) -> int:
    """Return how many dials by REST a command needs; of several targets, one."""
    if isinstance(event, Call) and event.mode == SessionMode.CONFERENCE:
        return 2  # in a bridge, the agent's `<Dial>` rings the customer
    return int(isinstance(event, DialCommand))


def text_of(entry: Entry) -> dict[str, str] | None:
    """Return the entry's fields; None if they are not UTF-8 or too large."""
    try:
        return entry.text()
    except BadEntryError:
        return None


def _session_reference(entry: Entry) -> str:
    """Return the command's session reference, or empty."""
    reference = (text_of(entry) or {}).get("session", "")
    return reference if ID_PATTERN.fullmatch(reference) else ""
