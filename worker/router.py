"""Command router: one worker at a time routes all commands, in order.

It claims a command's id, and appends the command to its session's stream. Both may be repeated, but only the claim
decides, so a duplicate command has one outcome. Before that, it checks a command's addresses: destinations must be
allowed, and a caller ID must be the account's.

Source: Twilio docs, IncomingPhoneNumber resource, `PhoneNumber`; Errors, 21210.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from twilio.rest import Client

from conferral.commands import identity
from conferral.commands.parser import BadCommandError, ParsedCommand, parse
from conferral.runtime import tracing
from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.error_boundary import reason_of
from conferral.runtime.errors import ProviderError, StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.log import LogRateLimit, log_unreachable
from conferral.statemachine.events import DIAL_LIMIT, Call, Command, DialCommand, Supervise, Transfer
from conferral.statemachine.ids import ID_PATTERN, dial_reservation
from conferral.statemachine.session import SUPERVISOR
from conferral.statemachine.states import PartyStatus, SessionMode
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import command_stream, scripts
from conferral.storage.codecs import event_codec
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.connection.client import BlockingReads, as_store_errors, ask, run_or_raise
from conferral.storage.dial_limits import DialLimits
from conferral.storage.partition.partition_store import (
    COMMAND_TTL_S,
    DEAD_LETTERED,
    Entry,
    parse_entry_id,
    report_command,
)
from conferral.telephony.addresses import Address, AddressError, AddressKind, AllowList, resolve_address
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.errors import translate_errors
from conferral.telephony.fallbacks import FallbackRules
from conferral.telephony.request_context import label_requests
from conferral.worker.core import WorkerCore, dead_letter, report_refused_dials

log = structlog.get_logger()

#: The fields whose destinations the dial options apply to.
_WITH_OPTIONS = frozenset({"agent", "to"})
#: Dial options that one kind of address can't take, and why.
_REFUSED = {
    "digits": (AddressKind.CLIENT, "a client has no keypad that digits could be sent to; leave digits out"),
    "params": (AddressKind.NUMBER, "a phone can't receive params, only client: and sip: can; leave params out"),
}
#: How long a number counts as the account's without asking again, seconds.
FOUND_TTL_S = 300.0
#: Timeout of the lookup, seconds; all later commands wait for it. After a failure, none is made for a while, seconds.
DEADLINE_S = 2.0
LOOKUP_PAUSE_S = 10.0
#: Records read per lookup, count: Twilio also matches parts of numbers.
_FOUND_MAX = 20
_UNCONFIRMED = "caller_id: Twilio did not confirm that the number is in the account; try again"


def resolve_destinations(parsed: ParsedCommand, rules: FallbackRules) -> ParsedCommand:
    """Return the command with addresses; BadCommandError never names one."""
    names, allowed = rules.names, rules.allowed
    found: dict[str, str] = {}
    if fallback := str(parsed.values.get("fallback", "")):
        try:
            found["fallback"] = rules.parse(fallback)
        except AddressError as error:
            raise BadCommandError(f"fallback: {error.reason}") from None
    for field, texts in parsed.destinations.items():
        options = [name for name in _REFUSED if field in _WITH_OPTIONS and parsed.values.get(name)]
        addresses: list[str] = []
        for number, text in enumerate(texts, start=1):
            location = f"{field}, destination {number} of {len(texts)}" if len(texts) > 1 else field
            address = _resolve(location, text, names, allowed, options)
            if address.text in addresses:
                raise BadCommandError(f"{location}: the same as one before")
            addresses.append(address.text)
        found[field] = ",".join(addresses)
    return replace(parsed, values={**parsed.values, **found})


def without_destinations(parsed: ParsedCommand) -> ParsedCommand:
    """Return a refused command without destinations, for its session."""
    given = parsed.values.keys() & {*parsed.destinations, "fallback"}
    return replace(parsed, values={**parsed.values, **dict.fromkeys(given, "")})


def _resolve(
    location: str, text: str, names: Mapping[str, str], allowed: AllowList, options: Collection[str]
) -> Address:
    """Return one destination's address; `location` is its place, for errors."""
    try:
        address = resolve_address(text, names, allowed)
    except AddressError as error:
        raise BadCommandError(f"{location}: {error.reason}") from None
    for kind, why in (_REFUSED[name] for name in options):
        if address.kind is kind:
            raise BadCommandError(f"{location}: {why}")
    return address


class CallerIdChecker:
    """Checks the caller IDs of commands."""

    def __init__(self, client: Client, own_numbers: Callable[[], Collection[str]], clock: Clock) -> None:
        self._client = client
        self._own_numbers = own_numbers
        self._clock = clock
        #: Numbers of the account, and until when they count, monotonic seconds.
        self._found: dict[str, float] = {}
        #: Until when Twilio is not asked, monotonic seconds.
        self._paused_until_s = float("-inf")

    async def check(self, number: str) -> None:
        """Raise BadCommandError unless the number is configured or the account's."""
        now_s = self._clock.monotonic_s()
        if number in self._own_numbers() or now_s < self._found.get(number, 0.0):
            return
        if now_s < self._paused_until_s:
            raise BadCommandError(_UNCONFIRMED)
        try:
            async with asyncio.timeout(DEADLINE_S):
                with label_requests("caller_id"), translate_errors():
                    found = await self._client.incoming_phone_numbers.list_async(phone_number=number, limit=_FOUND_MAX)
        except (ProviderError, TimeoutError):
            self._paused_until_s = self._clock.monotonic_s() + LOOKUP_PAUSE_S
            raise BadCommandError(_UNCONFIRMED) from None
        if all(record.phone_number != number for record in found):
            raise BadCommandError("caller_id: not a number in the account")
        self._found[number] = self._clock.monotonic_s() + FOUND_TTL_S


BATCH_MAX = 100
#: While another worker routes, or after Redis was unreachable, seconds.
PAUSE_S = 0.5
#: Intervals at which the stream is checked, and an excess is logged.
COUNT_EVERY_S = 5.0
LOG_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRules:
    """What commands may ask for."""

    #: What destinations and fallbacks may name, by the current directory.
    destinations: Callable[[], FallbackRules]
    conference_names: ConferenceNames
    caller_ids: CallerIdChecker
    dial_limits: DialLimits


class CommandRouter:
    """Routes commands while this worker owns the task."""

    def __init__(
        self, core: WorkerCore, reads: BlockingReads, rules: CommandRules, owns_router: Callable[[], bool]
    ) -> None:
        self._core = core
        self._client = core.client
        self._keys = core.keys
        self._metrics = core.metrics
        self._reads = reads
        self._rules = rules
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
                        await self._check_stream()
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
            found = await self._reads.read(self._keys.commands, BATCH_MAX)
        for entry_id, fields in found:
            if stop.is_set() or not self._owns_router():
                return
            await self._route(Entry(entry_id.decode(), fields or {}))

    async def _check_stream(self) -> None:
        """Count waiting commands, and restart a stream whose last id is far ahead.

        Log an excess: XADD has no limit.
        """
        now_s = self._core.clock.monotonic_s()
        if self._counted_at_s is not None and now_s - self._counted_at_s < COUNT_EVERY_S:
            return
        self._counted_at_s, waiting = now_s, await command_stream.count_waiting(self._client, self._keys)
        self._metrics.commands_waiting.set(waiting)
        is_exceeded = waiting > command_stream.COMMANDS_MAX
        if is_exceeded and self._log_limit.count("command_limit_exceeded", LOG_EVERY_S):
            log.warning("command_limit_exceeded", count=waiting, task="router")
        if not waiting and await command_stream.restart_if_ahead(self._client, self._keys):
            log.error("command_stream_restarted", task="router")

    # ---- one command; all steps are safe to repeat

    async def _route(self, entry: Entry) -> None:
        """Route, reject, or dead-letter a command, and remove it from the stream."""
        fields = _text_of(entry)
        fault = "missing field type" if fields is not None else "not UTF-8 or over 64 KiB"
        parent = (fields or {}).pop(tracing.FIELD, "")
        # An unexpected error costs only this one.
        with (
            tracing.span("route command", {}, "consumer", parent),
            contain(
                ItemKind.TASK, self._metrics, passing=(StoreError,), task="router", entry_id=entry.entry_id
            ) as boundary,
        ):
            try:
                if fields and fields.get("type"):
                    await self._route_command(entry, fields)
                else:
                    await self._dead_letter(entry, fault)
            except StoreUnreachableError:
                raise
            except StoreError:
                # A key is another program's. Later commands must not be blocked.
                await self._dead_letter(entry, "Redis refuses one of its keys")
        if boundary.unexpected is not None:
            await self._give_up(entry, fields or {}, reason_of(boundary.unexpected))
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
        await dead_letter(self._core, self._keys.commands, entry, reason, task="router")

    async def _route_command(self, entry: Entry, fields: dict[str, str]) -> None:
        """Append a valid command to its session's stream; reject an invalid one.

        A session's refused command goes there, too, without its destinations, so that the log shows it.
        """
        try:
            command_id = command_stream.command_id_of(fields, entry.entry_id)
        except BadEntryError as error:
            # No one could query an outcome under such an id.
            await self._claim_and_reject(entry.entry_id, entry, str(error))
            return
        refused = ""
        try:
            parsed = parse(fields)
            try:
                parsed = resolve_destinations(parsed, self._rules.destinations())
                if caller_id := parsed.values.get("caller_id"):
                    await self._rules.caller_ids.check(str(caller_id))
            except BadCommandError as error:
                if parsed.event_type is Call or await self._find_session(parsed.session) is None:
                    raise
                refused, parsed = str(error), without_destinations(parsed)
        except BadCommandError as error:
            await self._claim_and_reject(command_id, entry, str(error))
            return
        session_id = await self._claim_session(command_id, entry, parsed)
        if session_id is None:
            return
        event = parsed.event(session_id, command_id, parse_entry_id(entry.entry_id)[0])
        refused = refused or await self._reserve_dials(event)
        if refused and isinstance(event, Call):
            await self._reject(command_id, "", refused)
            return
        if refused:
            event = replace(event, refused=refused)
        if isinstance(event, Call) and parsed.session:
            event = replace(event, conference_name=self._rules.conference_names.make(session_id, command_id))
        tracing.annotate({tracing.SESSION_ID: session_id, "conferral.command": event.name})
        with as_store_errors():
            stream = self._keys.events(self._keys.partition_of(session_id))
            await self._client.xadd(stream, event_codec.encode(event))
        log.info("command_routed", command_id=command_id, command=event.name, session_id=event.session_id)

    async def _reserve_dials(self, event: Command) -> str:
        """Make reservations for a command's dials; return why it is refused."""
        limits, count = self._rules.dial_limits, _dial_count(event)
        if not (count and limits.is_set):
            return ""
        if await ask(self._client, "HGET", self._keys.command(event.command_id), "status"):
            return ""  # it was routed before, and may have given its reservations back
        if isinstance(event, Supervise):
            status = await ask(self._client, "HGET", self._keys.session(event.session_id), f"party.{SUPERVISOR}.status")
            if status not in (None, PartyStatus.LEFT.value.encode()):
                return ""  # it only switches the mode
        reservations = [dial_reservation(event.command_id, number) for number in range(1, count + 1)]
        limit = await limits.reserve(event.session_id, reservations)
        if not limit:
            return ""
        report_refused_dials(self._metrics, limit, count, command_id=event.command_id, session_id=event.session_id)
        return DIAL_LIMIT

    async def _find_session(self, reference: str) -> str | None:
        """Return the session of an id or a call; None if there is none."""
        commands = ("GET", self._keys.call(reference)), ("EXISTS", self._keys.session(reference))
        of_call, exists = await run_or_raise(self._client, *commands)
        if of_call is not None:
            return str(of_call.decode())
        return reference if exists else None

    async def _claim_session(self, command_id: str, entry: Entry, parsed: ParsedCommand) -> str | None:
        """Claim the id and return the session; None if it is rejected or routed.

        The claim stores whether a new session's id was free, so a repetition takes the same path.
        """
        named = parsed.session
        if parsed.event_type is not Call:
            # A value that may be a phone number must not be stored.
            if await self._claim(command_id, entry, named if ID_PATTERN.fullmatch(named) else "") is None:
                return None
            session_id, reason = await self._find_session(named), identity.unknown_session(named)
        else:
            new_id = named or identity.session_id_of(command_id)
            is_free = await self._find_session(new_id) is None
            if (claimed := await self._claim(command_id, entry, new_id if is_free else "")) is None:
                return None
            session_id = new_id if claimed == new_id else None
            reason = identity.existing_session(*(() if named else ("give the command another id",)))
        if session_id is None:
            await self._reject(command_id, "", reason)
        return session_id

    async def _claim(self, command_id: str, entry: Entry, session: str) -> str | None:
        """Claim an id, for one outcome; return its session, None if it is taken."""
        fields = entry.text()
        digest, by = identity.digest_of(fields), identity.sender_of(fields)
        with as_store_errors():
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

    async def _claim_and_reject(self, command_id: str, entry: Entry, reason: str) -> None:
        """Reject a command that can't be parsed, unless its id has an outcome."""
        # Its `session` may be anything, such as a token: store only a known id. A `call` names a new session.
        reference = "" if (_text_of(entry) or {}).get("type") == Call.name else _session_reference(entry)
        session_id = await self._find_session(reference) if reference else None
        if (claimed := await self._claim(command_id, entry, session_id or "")) is not None:
            await self._reject(command_id, claimed, reason)

    async def _reject(self, command_id: str, session: str, reason: str) -> None:
        report = CommandReport(command_id, CommandStatus.REJECTED, reason)
        await report_command(self._client, self._keys, session, report)
        log.info("command_rejected", command_id=command_id, reason=reason)


def _dial_count(event: Command) -> int:
    """Return how many dials by REST a command may lead to."""
    match event:
        case Transfer():
            return event.to.count(",") + 1
        case Call(mode=SessionMode.CONFERENCE):
            return 2  # in a bridge, the agent's `<Dial>` rings the customer
        case DialCommand():
            return 1
    return 0


def _text_of(entry: Entry) -> dict[str, str] | None:
    """Return the entry's fields; None if they are not UTF-8 or too large."""
    try:
        return entry.text()
    except BadEntryError:
        return None


def _session_reference(entry: Entry) -> str:
    """Return the command's session reference, or empty."""
    reference = (_text_of(entry) or {}).get("session", "")
    return reference if ID_PATTERN.fullmatch(reference) else ""
