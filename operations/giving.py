"""Gives commands and learns what has come of them: for the command line, the client, the console and the HTTP API."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from conferral.operations.asking import Ask, stoppable
from conferral.operations.errors import CommandsFull, IdTaken, SessionTaken, UnknownSession
from conferral.operations.reader import Fields, Reader
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage import commands, session_codec
from conferral.storage.command_models import Call
from conferral.storage.commands import CommandOutcome, CommandsFullError, shown_id

#: Who gives the commands that come with `CONFERRAL_API_TOKEN`.
TOKEN_NAME = "api"  # noqa: S105  # a name, no token

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

    @property
    def opens(self) -> bool:
        """Whether it opens a session, in place of asking something of one."""
        return self.kind == Call.kind.name


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

    async def give(
        self, fields: Mapping[str, str], command_id: str = "", *, looks_up: bool = False, patience_s: float = 0.0
    ) -> Given:
        """Publishes a command; one that was taken up under the same id is not published again.

        Args:
            fields: As the stream takes them, checked; an id among them does not count.
            command_id: Empty for one that is made up.
            looks_up: Whether the session that is named is looked up first, in place of leaving that to whoever takes
                the command from the stream, and rejects it in the same words.
            patience_s: How long it is tried again while Redis is away, seconds: the id sees to it that it is done once.

        Raises:
            IdTaken: the id was given before, for another command; nothing was published.
            SessionTaken: of a `call` that is looked up: there is such a session or call; nothing was published.
            UnknownSession: of all others: there is none; nothing was published.
            CommandsFull: too many commands wait to be routed; nothing was published.
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
                await self._publish(given, fields, is_new=not command_id, looks_up=looks_up)
            except StoreUnreachableError as error:
                if _now_s() + pause_s >= until_s:
                    raise
                self._on_away(error)
            else:
                return given
            await asyncio.sleep(pause_s)
            pause_s = min(LOOK_MOST_S, pause_s * 2)

    async def _publish(self, given: Given, fields: Mapping[str, str], *, is_new: bool, looks_up: bool) -> None:
        client, keys = self._reader.client, self._reader.keys
        if not is_new:
            found = await self.known(given.command_id)
            _check_own(given, is_own=not found.is_of_another(given.digest))
            if found.entry_id:
                return
            # Whoever keeps an id has looked the session up; since then the command may have opened it, or ended it.
            looks_up = looks_up and not found.digest
        if looks_up:
            await self._look_up(given)
        is_own = await self._ask(commands.keep_id(client, keys, given.command_id, given.digest))
        _check_own(given, is_own=is_own)
        try:
            await self._ask(commands.publish(client, keys, {**fields, "id": given.command_id}))
        except CommandsFullError as error:
            raise CommandsFull(given.kind, str(error), command_id=given.command_id) from None

    async def _look_up(self, given: Given) -> None:
        is_there = bool(given.session and await self._ask(self._reader.look_for(given.session)))
        if given.opens and is_there:
            raise SessionTaken(given.kind, commands.taken_session(), command_id=given.command_id)
        if not given.opens and not is_there:
            raise UnknownSession(commands.unknown_session(given.session))

    async def known(self, command_id: str) -> CommandOutcome:
        """How far the command of an id has come, whatever was asked for; with an empty status where nobody knows."""
        return await self._ask(commands.outcome(self._reader.client, self._reader.keys, command_id))

    async def outcome(
        self, given: Given, timeout_s: float, is_gone: Callable[[], bool] = lambda: False
    ) -> CommandOutcome:
        """Waits until nothing more will come of a command, or the time is up; returns what is known then.

        Args:
            given: The command.
            timeout_s: Seconds.
            is_gone: Whether nobody waits any more, so that the time is up.

        Raises:
            IdTaken: the id was given at the same moment for another command, and that one was quicker.
            StoreUnreachableError: Redis was away when the time was up.
        """
        until_s = _now_s() + timeout_s
        pause_s = LOOK_FIRST_S
        while True:
            left_s = until_s - _now_s()
            is_over = left_s <= 0 or is_gone()
            try:
                found = await self.known(given.command_id)
                _check_own(given, is_own=not found.is_of_another(given.digest))
                if found.is_final or is_over:
                    return found
            except StoreUnreachableError as error:
                if is_over:
                    raise
                self._on_away(error)
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(LOOK_MOST_S, pause_s * 1.2)

    async def allowed(self, named: str) -> tuple[str, ...]:
        """Names of the commands that the session of an id or a call would take now; none where nothing is known."""
        session_id = await self._ask(self._reader.look_for(named)) if named else ""
        return allowed_in(await self._ask(self._reader.session(session_id))) if session_id else ()


def _check_own(given: Given, *, is_own: bool) -> None:
    if not is_own:
        reason = f"the id {shown_id(given.command_id)} was given before, for another command; nothing was done"
        raise IdTaken(given.kind, reason, command_id=given.command_id)


def in_own_names(reason: str, names: Mapping[str, str]) -> str:
    """Why a command can't be one, with the name that a field has here in front where it is another one.

    >>> in_own_names("timeout must be whole seconds, 5 to 600", {"timeout": "ring_timeout_s"})
    'ring_timeout_s: timeout must be whole seconds, 5 to 600'
    """
    own = names.get(reason.partition(" ")[0])
    return f"{own}: {reason}" if own else reason


def allowed_in(session: Fields) -> tuple[str, ...]:
    """Names of the commands that the session of a hash would take now."""
    # Building the machine takes longer than all else here, and only a refusal needs it.
    from conferral.statemachine.machine import allowed_commands

    try:
        return allowed_commands(session_codec.decode(session)) if session else ()
    except StoreError:
        return ()  # a record that can't be understood: nothing is known of it


def _now_s() -> float:
    return asyncio.get_running_loop().time()
