"""Gives commands and learns what has come of them: what the command line and the client have in common."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from operators.asking import Ask, stoppable
from operators.errors import CommandRejected
from operators.reader import Fields, Reader
from runtime.errors import StoreError, StoreUnreachableError
from streams import commands, session_codec
from streams.commands import CommandOutcome

#: Between two looks for an outcome, at first and at most, seconds: most commands are done in well under a second.
LOOK_FIRST_S = 0.05
LOOK_MOST_S = 0.25


@dataclass(frozen=True, slots=True)
class Given:
    """A command that was published."""

    command_id: str
    #: The command's name.
    kind: str
    #: As the command named it: a session's id or a call's SID; empty for a `call` that names none.
    session: str
    #: Of what was asked for: tells it from another command under the same id.
    digest: str


class Giver:
    """Gives commands by way of Redis."""

    def __init__(
        self, reader: Reader, ask: Ask = stoppable, on_away: Callable[[StoreUnreachableError], None] | None = None
    ) -> None:
        """Binds the reader.

        Args:
            reader: Of Redis.
            ask: How a request is waited for.
            on_away: Told each time that Redis was away and the request is to be repeated.
        """
        self._reader = reader
        self._ask = ask
        self._on_away = on_away or (lambda _error: None)

    async def give(self, fields: Mapping[str, str], command_id: str = "", *, patience_s: float = 0.0) -> Given:
        """Publishes a command.

        Args:
            fields: As the stream takes them, checked, without an id.
            command_id: Empty for one that is made up.
            patience_s: How long it is tried again while Redis is away, seconds: the id sees to it that it is done once.

        Raises:
            CommandRejected: the id was given before, for another command; nothing was published.
            StoreUnreachableError: nobody knows whether it was published.
        """
        given = Given(
            command_id or f"c-{secrets.token_hex(10)}",
            fields["type"],
            fields.get("session", ""),
            commands.digest_of(fields),
        )
        until_s = _now_s() + patience_s
        pause_s = LOOK_FIRST_S
        while True:
            try:
                if command_id:
                    self._check_own(given, await self._ask(self._outcome(given)))
                entry = {**fields, "id": given.command_id}
                await self._ask(commands.publish(self._reader.client, self._reader.keys, entry))
            except StoreUnreachableError as error:
                if _now_s() + pause_s >= until_s:
                    raise
                self._on_away(error)
            else:
                return given
            await asyncio.sleep(pause_s)
            pause_s = min(LOOK_MOST_S, pause_s * 2)

    async def outcome(self, given: Given, timeout_s: float) -> CommandOutcome:
        """Waits until nothing more will come of a command, or the time is up; returns what is known then.

        Args:
            given: The command.
            timeout_s: Seconds.

        Raises:
            CommandRejected: the id was given at the same moment for another command, and that one was quicker.
            StoreUnreachableError: Redis was away when the time was up.
        """
        until_s = _now_s() + timeout_s
        pause_s = LOOK_FIRST_S
        while True:
            left_s = until_s - _now_s()
            try:
                found = await self._ask(self._outcome(given))
                self._check_own(given, found)
                if found.is_final or left_s <= 0:
                    return found
            except StoreUnreachableError as error:
                if left_s <= 0:
                    raise
                self._on_away(error)
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(LOOK_MOST_S, pause_s * 1.2)

    async def allowed(self, session_id: str) -> tuple[str, ...]:
        """Names of the commands that a session would take now."""
        return allowed_in(await self._ask(self._reader.session(session_id))) if session_id else ()

    async def _outcome(self, given: Given) -> CommandOutcome:
        return await commands.outcome(self._reader.client, self._reader.keys, given.command_id)

    def _check_own(self, given: Given, found: CommandOutcome) -> None:
        if found.is_of_another(given.digest):
            reason = f"the id {given.command_id} was given before, for another command; nothing was done"
            raise CommandRejected(given.kind, reason, command_id=given.command_id)


def in_own_names(reason: str, names: Mapping[str, str]) -> str:
    """Why a command can't be one, with the name that a field has here in front where it is another one.

    >>> in_own_names("timeout must be whole seconds, 5 to 600", {"timeout": "--ring-timeout"})
    '--ring-timeout: timeout must be whole seconds, 5 to 600'
    """
    own = names.get(reason.partition(" ")[0])
    return f"{own}: {reason}" if own else reason


def allowed_in(session: Fields) -> tuple[str, ...]:
    """Names of the commands that the session of a hash would take now."""
    # Building the machine takes longer than all else here, and only a refusal needs it.
    from statemachine.machine import allowed_commands

    try:
        return allowed_commands(session_codec.decode(session)) if session else ()
    except StoreError:
        return ()  # a record that can't be understood: nothing is known of it


def _now_s() -> float:
    return asyncio.get_running_loop().time()
