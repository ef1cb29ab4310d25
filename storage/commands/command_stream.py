"""Commands: what a valid one looks like, publishing one, and reading its outcome."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from conferral.runtime.errors import StoreError
from conferral.statemachine.events import Command
from conferral.statemachine.ids import ID_PATTERN as ID_PATTERN
from conferral.statemachine.ids import NAME_PATTERN, id_error
from conferral.statemachine.step import CommandStatus
from conferral.storage import scripts
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.commands import command_models, command_values
from conferral.storage.commands.command_models import BadCommandError as BadCommandError
from conferral.storage.commands.command_models import Value
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import COMMAND_TTL_S

#: Commands that may wait to be routed (count). More are refused: no worker routes them.
COMMANDS_MAX = 100_000


class CommandsFullError(StoreError):
    """So many commands wait to be routed that no more are taken; nothing was published."""

    def __init__(self) -> None:
        super().__init__(
            f"{COMMANDS_MAX:,} commands wait to be routed, so this one was not taken: check that a worker runs"
        )


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """How far a command has come."""

    command_id: str
    #: Empty while nobody has decided it.
    status: str
    reason: str
    session: str
    #: Of what was asked for under this id first; empty while nobody has taken it up.
    digest: str = ""
    #: Of the entry that was taken up under this id; empty while none was.
    entry_id: str = ""
    #: Who gave it; empty where the command does not say.
    by: str = ""

    @property
    def exists(self) -> bool:
        """Whether anybody has given a command under this id, as far as is kept."""
        return bool(self.status or self.digest or self.entry_id)

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come."""
        return self.status in (CommandStatus.DONE, CommandStatus.REJECTED, CommandStatus.FAILED)

    def is_of_another_command(self, digest: str) -> bool:
        """Whether the id was given before for another command than that of the digest, whose outcome this is not."""
        return _differ(self.digest, digest)


def command_id_of(fields: Mapping[str, str], entry_id: str) -> str:
    """The id under which the outcome is kept: the field `id`, else the stream entry's id.

    Raises:
        BadCommandError: the id does not match the pattern.
    """
    given = fields.get("id", "")
    if given and (why := id_error(given)):
        raise BadCommandError(f"id {why}")
    return given or entry_id


def digest_of(fields: Mapping[str, str]) -> str:
    """Tells one command from another that is given under the same id: 16 hex digits of all that is asked for.

    >>> digest_of({"type": "end", "session": "s", "id": "c1", "to": ""}) == digest_of({"session": "s", "type": "end"})
    True
    """
    asked = sorted((name, text) for name, text in fields.items() if text and name not in ("id", "by"))
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def giver_of(fields: Mapping[str, str]) -> str:
    """Return who gives a command, also one that is rejected; empty where it says no one, or not in the right form.

    >>> giver_of({"type": "end", "by": "cli"})
    'cli'
    """
    given = fields.get("by", "")
    return given if command_values.GIVER_PATTERN.fullmatch(given) else ""


@dataclass(frozen=True, slots=True)
class ParsedCommand:
    """A command that is well formed; whether its session takes it is decided later."""

    event_type: type[Command]
    #: A session's id or the SID of one of its calls. Of a `call` the id that its session shall have, empty where one
    #: is to be made.
    session: str
    #: What was given, by the attributes of the command's class. Holds addresses, so it is in no repr.
    values: Mapping[str, Value] = field(default_factory=dict, repr=False)
    #: Who gave it.
    by: str = ""

    def event(self, session_id: str, command_id: str, published_at_ms: int) -> Command:
        """The event that the session is to decide.

        Args:
            session_id: The session's id.
            command_id: Under which the outcome is kept.
            published_at_ms: When the command was given, Unix milliseconds.
        """
        given: dict[str, object] = {
            "session_id": session_id, "token": command_id, "occurred_at_ms": published_at_ms, "by": self.by,
            **self.values,
        }  # fmt: skip
        return self.event_type(**given)  # type: ignore[arg-type]  # the checks of the fields see to the types


def parse(fields: Mapping[str, str]) -> ParsedCommand:
    """What is asked for. An empty field counts as not given.

    Raises:
        BadCommandError: unknown type, or a field that is missing, wrong or of no command of that type.
    """
    model = command_models.validate(fields)
    return ParsedCommand(model.kind, model.session, model.values(), model.by)


def session_id_of(command_id: str) -> str:
    """The id of the session that a `call` opens when it names none: the same whenever it is asked for.

    >>> session_id_of("1795165380677-0")
    'CSc56d807998e9070ce46aa0632f3f496f'
    """
    return f"CS{hashlib.sha256(command_id.encode()).hexdigest()[:32]}"


def safe_id(text: str) -> str:
    """An id from outside, to be repeated in a reason; bare digits may be somebody's number and are not."""
    return "(digits alone)" if text.isdigit() else text


def unknown_session(named: str) -> str:
    """Why a command is refused whose session nobody knows, wherever that is noticed."""
    return f"no session and no call {safe_id(named) if NAME_PATTERN.fullmatch(named) else 'of this id'} is known"


def existing_session(remedy: str = "leave the field out, and an id is made") -> str:
    """Why a `call` is refused whose session there is already, wherever that is noticed, and what would mend it."""
    return f"session: there is a session or a call of this id already; {remedy}"


async def reserve_id(client: Client, keys: Keys, command_id: str, digest: str) -> bool:
    """Notes under a command's id what is asked for: from then on the id is known, and of no use for another command.

    Returns:
        Whether it is this command's, now or since before; else another one was given under the id, and it stays that.
    """
    key = keys.command(command_id)
    with store_errors():
        pipeline = client.pipeline(transaction=False)
        pipeline.hsetnx(key, "digest", digest)
        pipeline.expire(key, COMMAND_TTL_S)
        pipeline.hget(key, "digest")
        kept = (await pipeline.execute())[-1]
    return not _differ((kept or b"").decode(errors="replace"), digest)


def _differ(stored_digest: str, digest: str) -> bool:
    return bool(stored_digest and digest) and stored_digest != digest


async def publish(client: Client, keys: Keys, fields: Mapping[str, str]) -> str:
    """Append a command to the stream.

    Returns:
        The stream entry's id.

    Raises:
        CommandsFullError: too many commands wait to be routed; nothing was published.
    """
    parts = [part for pair in fields.items() for part in pair]
    with store_errors():
        entry_id = await scripts.publish_command(client, [keys.commands], [COMMANDS_MAX, *parts])
    if entry_id is None:
        raise CommandsFullError
    return str(entry_id.decode())


async def count_waiting(client: Client, keys: Keys) -> int:
    """Return how many commands wait to be routed.

    Raises:
        StoreError: as of any command.
    """
    with store_errors():
        return int(await client.xlen(keys.commands))


async def read_outcome(client: Client, keys: Keys, command_id: str) -> CommandOutcome:
    """How far a command has come; with an empty status where nobody knows it."""
    with store_errors():
        record = await client.hgetall(keys.command(command_id))
    fields = decode_fields(record)
    kept = (fields.get(name, "") for name in ("status", "reason", "session", "digest", "entry", "by"))
    return CommandOutcome(command_id, *kept)


#: How often an outcome is looked for, seconds.
POLL_EVERY_S = 0.05


async def wait_for_outcome(
    client: Client, keys: Keys, command_id: str, timeout_s: float, *, digest: str = ""
) -> CommandOutcome:
    """Waits until nothing more will come of a command, or the time is up; returns what is known then.

    Args:
        client: Of Redis.
        keys: Its keys.
        command_id: Under which the outcome is kept.
        timeout_s: Seconds.
        digest: Of what was asked for, where the id may have been given before: another command's is not waited for.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    found = await read_outcome(client, keys, command_id)
    # By the clock, not by cancelling: a cancellation can get lost inside the Redis client on Python 3.11.
    while not (found.is_final or found.is_of_another_command(digest)) and loop.time() < deadline_s:
        await asyncio.sleep(POLL_EVERY_S)
        found = await read_outcome(client, keys, command_id)
    return found
