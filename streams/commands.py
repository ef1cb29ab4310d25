"""Commands: what a valid one looks like, publishing one, and reading its outcome."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from statemachine.events import COMMANDS, Command
from statemachine.step import CommandStatus
from streams.connection import Client, store_errors
from streams.keys import Keys

#: What a session's or a command's id looks like. Ids from outside become parts of keys, so nothing else passes.
ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Commands on the stream that nobody has routed yet, at most (count): beyond it something is badly wrong.
COMMANDS_MAX = 100_000

BY_TYPE: dict[str, type[Command]] = {command.name: command for command in COMMANDS}
_FIELDS = frozenset({"type", "session", "id"})


class BadCommandError(ValueError):
    """A command that can't be one, with the reason in words for whoever gave it."""


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """How far a command has come."""

    command_id: str
    #: Empty while nobody has decided it.
    status: str
    reason: str
    session: str

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come."""
        return self.status in (CommandStatus.DONE, CommandStatus.REJECTED, CommandStatus.FAILED)


def command_id_of(fields: Mapping[str, str], entry_id: str) -> str:
    """The id under which the outcome is kept: the field `id`, else the stream entry's id.

    Raises:
        BadCommandError: the id does not match the pattern.
    """
    given = fields.get("id", "")
    if given and not ID_PATTERN.fullmatch(given):
        raise BadCommandError("id must be 1 to 64 letters, digits, _ or -")
    return given or entry_id


def parse(fields: Mapping[str, str]) -> tuple[type[Command], str]:
    """What is asked for, and the session or call that it names.

    Raises:
        BadCommandError: unknown type, or a field that is missing, wrong or of no command of that type.
    """
    kind = BY_TYPE.get(fields.get("type", ""))
    known = ", ".join(sorted(BY_TYPE))
    if kind is None:
        raise BadCommandError(f"unknown type {_shown(fields.get('type', ''))}; known: {known}")
    session = fields.get("session", "")
    if not session:
        raise BadCommandError(f"{kind.name} needs the field session: a session's id or the SID of one of its calls")
    if not ID_PATTERN.fullmatch(session):
        raise BadCommandError("session must be 1 to 64 letters, digits, _ or -")
    strange = sorted(fields.keys() - _FIELDS)
    if strange:
        raise BadCommandError(f"{kind.name} has no field {_shown(strange[0])}; it takes session and id")
    return kind, session


def _shown(text: str) -> str:
    """A word from outside, made safe to repeat: short, and never a number."""
    return repr(text) if re.fullmatch(r"[A-Za-z_-]{0,32}", text) else "(unprintable)"


def shown_id(text: str) -> str:
    """An id from outside, to be repeated in a reason; bare digits may be somebody's number and are not."""
    return "(digits alone)" if text.isdigit() else text


async def publish(client: Client, keys: Keys, fields: Mapping[str, str]) -> str:
    """Appends a command to the stream.

    Returns:
        The stream entry's id.
    """
    with store_errors():
        entry_id = await client.xadd(keys.commands, dict(fields), maxlen=COMMANDS_MAX, approximate=True)
    return str(entry_id.decode())


async def outcome(client: Client, keys: Keys, command_id: str) -> CommandOutcome:
    """How far a command has come; with an empty status where nobody knows it."""
    with store_errors():
        record = await client.hgetall(keys.command(command_id))
    fields = {name.decode(): value.decode(errors="replace") for name, value in record.items()}
    return CommandOutcome(command_id, fields.get("status", ""), fields.get("reason", ""), fields.get("session", ""))


#: How often an outcome is looked for, seconds.
LOOK_EVERY_S = 0.05


async def wait_for_outcome(client: Client, keys: Keys, command_id: str, timeout_s: float) -> CommandOutcome:
    """Waits until nothing more will come of a command, or the time is up; returns what is known then."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + timeout_s
    found = await outcome(client, keys, command_id)
    # By the clock, not by cancelling: a cancellation can get lost inside the Redis client on Python 3.11.
    while not found.is_final and loop.time() < until_s:
        await asyncio.sleep(LOOK_EVERY_S)
        found = await outcome(client, keys, command_id)
    return found
