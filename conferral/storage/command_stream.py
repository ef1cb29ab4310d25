"""Command stream: publish commands, read their outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass

from conferral.runtime import tracing
from conferral.runtime.errors import StoreError
from conferral.statemachine.ids import id_error
from conferral.statemachine.step import CommandStatus
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.command_reports import COMMAND_TTL_S
from conferral.storage.connection.client import Client, ask, run_or_raise
from conferral.storage.keys import Keys

#: Commands that may wait to be routed (count). Beyond this, commands are refused: no worker routes them.
COMMANDS_MAX = 100_000


class CommandsFullError(StoreError):
    """Too many commands wait to be routed; nothing was published."""

    def __init__(self) -> None:
        super().__init__(
            f"{COMMANDS_MAX:,} commands are waiting to be routed; not accepted: check that a worker is running"
        )


@dataclass(frozen=True, slots=True)
class CommandResult:
    """A command's result so far."""

    command_id: str
    #: Empty while undecided.
    status: str
    reason: str
    session: str
    #: Of the first request under this id; empty until one is accepted.
    digest: str = ""
    #: The stream entry that claimed this id; empty without one.
    entry_id: str = ""
    by: str = ""
    #: Twilio's error code, if Twilio refused what the command needed; empty without one.
    code: str = ""

    @property
    def exists(self) -> bool:
        """Whether a command with this id is known, as far as outcomes are kept."""
        return bool(self.status or self.digest or self.entry_id)

    @property
    def is_final(self) -> bool:
        """Whether the result is final."""
        return self.status in (CommandStatus.DONE, CommandStatus.REJECTED, CommandStatus.FAILED)

    def is_of_another_command(self, digest: str) -> bool:
        """Whether this result is another request's with the same id."""
        return _differ(self.digest, digest)


def command_id_of(fields: Mapping[str, str], entry_id: str) -> str:
    """Return the field `id`, or else `entry_id`; may raise BadEntryError."""
    given = fields.get("id", "")
    if given and (why := id_error(given)):
        raise BadEntryError(f"id {why}")
    return given or entry_id


async def reserve_id(client: Client, keys: Keys, command_id: str, digest: str, by: str) -> bool:
    """Reserve an id for a request; return False if another request has it."""
    key = keys.command(command_id)
    reservation = (
        ("HSETNX", key, "digest", digest),
        ("HSETNX", key, "by", by),
        ("EXPIRE", key, COMMAND_TTL_S),
        ("HGET", key, "digest"),
    )
    kept = (await run_or_raise(client, *reservation))[-1]
    return not _differ((kept or b"").decode(errors="replace"), digest)


def _differ(stored_digest: str, digest: str) -> bool:
    """Whether two digests differ; an unknown (empty) digest matches any."""
    return bool(stored_digest and digest) and stored_digest != digest


async def publish(client: Client, keys: Keys, fields: Mapping[str, str]) -> str:
    """Publish a command, return its entry's id; may raise CommandsFullError.

    Senders at the same moment may exceed the limit by one each.
    """
    await require_capacity(client, keys)
    if traceparent := tracing.traceparent():
        fields = {**fields, tracing.FIELD: traceparent}
    entry = (part for pair in fields.items() for part in pair)
    (entry_id,) = await run_or_raise(client, ("XADD", keys.commands, "*", *entry), is_durable=True)
    return str(entry_id.decode())


async def count_waiting(client: Client, keys: Keys) -> int:
    """Return how many commands wait to be routed."""
    return int(await ask(client, "XLEN", keys.commands))


async def require_capacity(client: Client, keys: Keys) -> None:
    """Raise CommandsFullError if `publish` would."""
    if await count_waiting(client, keys) >= COMMANDS_MAX:
        raise CommandsFullError


async def read_result(client: Client, keys: Keys, command_id: str) -> CommandResult:
    """Return a command's result; its status is empty if it is unknown.

    A replica has it then if it is final: nothing follows that would correct it.
    """
    fields = decode_fields(await ask(client, "HGETALL", keys.command(command_id)))
    kept = (fields.get(name, "") for name in ("status", "reason", "session", "digest", "entry", "by", "code"))
    found = CommandResult(command_id, *kept)
    if found.is_final:
        await confirm(client, keys)
    return found


async def confirm(client: Client, keys: Keys) -> None:
    """Return once a replica has what Redis has now: WAIT waits for this write."""
    await run_or_raise(client, ("SET", keys.probe, 0), is_durable=True)
