"""Gives commands and learns what has come of them: for the command line, the client, the console and the HTTP API."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from conferral.operations.errors import CommandIdConflict, CommandStreamFull, SessionExists, UnknownSession
from conferral.operations.redis_limiter import RequestRunner, cancellable
from conferral.operations.session_queries import Fields, SessionQueries
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.codecs import session_codec
from conferral.storage.commands import command_stream
from conferral.storage.commands.command_models import Call
from conferral.storage.commands.command_stream import CommandOutcome, CommandsFullError, safe_id

#: Who gives the commands that come with `CONFERRAL_API_TOKEN`.
TOKEN_NAME = "api"  # noqa: S105  # a name, no token

#: Between two looks for an outcome, at first and at most, seconds: most commands are done in well under a second.
POLL_INITIAL_S = 0.05
POLL_MAX_S = 0.25


@dataclass(frozen=True, slots=True)
class SubmittedCommand:
    """A command that was published."""

    command_id: str
    #: The command's name.
    kind: str
    #: As the command named it: a session's id or a call's SID; empty for a `call` that names none.
    session: str
    #: Of what was asked for: tells it from another command under the same id.
    digest: str

    @property
    def opens_session(self) -> bool:
        """Whether it opens a session, in place of asking something of one."""
        return self.kind == Call.kind.name


class CommandSubmitter:
    """Gives commands by way of Redis."""

    def __init__(
        self,
        reader: SessionQueries,
        run: RequestRunner = cancellable,
        on_unreachable: Callable[[StoreUnreachableError], None] | None = None,
    ) -> None:
        """Binds the reader.

        Args:
            reader: Of Redis.
            run: How a request is waited for.
            on_unreachable: Told each time that Redis was away and the request is to be repeated.
        """
        self._reader = reader
        self._run = run
        self._on_unreachable = on_unreachable or (lambda _error: None)

    async def submit(
        self, fields: Mapping[str, str], command_id: str = "", *, check_session: bool = False, retry_for_s: float = 0.0
    ) -> SubmittedCommand:
        """Publishes a command; one that was taken up under the same id is not published again.

        Args:
            fields: As the stream takes them, checked; an id among them does not count.
            command_id: Empty for one that is made up.
            check_session: Whether the named session is looked up first, in place of leaving that to whoever takes
                the command from the stream, and rejects it in the same words.
            retry_for_s: How long it is retried while Redis is away, seconds: the id makes sure that it is done once.

        Raises:
            IdTaken: the id was given before, for another command; nothing was published.
            SessionTaken: of a `call` that is looked up: there is such a session or call; nothing was published.
            UnknownSession: of all others: there is none; nothing was published.
            CommandsFull: too many commands wait to be routed; nothing was published.
            StoreUnreachableError: nobody knows whether it was published.
        """
        command = SubmittedCommand(
            command_id or f"c-{secrets.token_hex(10)}",
            fields["type"],
            fields.get("session", ""),
            command_stream.digest_of(fields),
        )
        until_s = _now_s() + retry_for_s
        pause_s = POLL_INITIAL_S
        while True:
            try:
                await self._publish(command, fields, is_new=not command_id, check_session=check_session)
            except StoreUnreachableError as error:
                if _now_s() + pause_s >= until_s:
                    raise
                self._on_unreachable(error)
            else:
                return command
            await asyncio.sleep(pause_s)
            pause_s = min(POLL_MAX_S, pause_s * 2)

    async def _publish(
        self, command: SubmittedCommand, fields: Mapping[str, str], *, is_new: bool, check_session: bool
    ) -> None:
        client, keys = self._reader.client, self._reader.keys
        if not is_new:
            found = await self.find_outcome(command.command_id)
            _check_same_command(command, is_own=not found.is_of_another_command(command.digest))
            if found.entry_id:
                return
            # Whoever keeps an id has looked the session up; since then the command may have opened it, or ended it.
            check_session = check_session and not found.digest
        if check_session:
            await self._check_session(command)
        is_own = await self._run(command_stream.reserve_id(client, keys, command.command_id, command.digest))
        _check_same_command(command, is_own=is_own)
        try:
            await self._run(command_stream.publish(client, keys, {**fields, "id": command.command_id}))
        except CommandsFullError as error:
            raise CommandStreamFull(command.kind, str(error), command_id=command.command_id) from None

    async def _check_session(self, command: SubmittedCommand) -> None:
        is_there = bool(command.session and await self._run(self._reader.find_exact(command.session)))
        if command.opens_session and is_there:
            raise SessionExists(command.kind, command_stream.existing_session(), command_id=command.command_id)
        if not command.opens_session and not is_there:
            raise UnknownSession(command_stream.unknown_session(command.session))

    async def find_outcome(self, command_id: str) -> CommandOutcome:
        """How far the command of an id has come, whatever was asked for; with an empty status where nobody knows."""
        return await self._run(command_stream.read_outcome(self._reader.client, self._reader.keys, command_id))

    async def wait_for_outcome(
        self, command: SubmittedCommand, timeout_s: float, is_gone: Callable[[], bool] = lambda: False
    ) -> CommandOutcome:
        """Waits until nothing more will come of a command, or the time is up; returns what is known then.

        Args:
            command: The command.
            timeout_s: Seconds.
            is_gone: Whether nobody waits any more, so that the time is up.

        Raises:
            IdTaken: the id was given at the same moment for another command, and that one was quicker.
            StoreUnreachableError: Redis was away when the time was up.
        """
        until_s = _now_s() + timeout_s
        pause_s = POLL_INITIAL_S
        while True:
            left_s = until_s - _now_s()
            is_over = left_s <= 0 or is_gone()
            try:
                found = await self.find_outcome(command.command_id)
                _check_same_command(command, is_own=not found.is_of_another_command(command.digest))
                if found.is_final or is_over:
                    return found
            except StoreUnreachableError as error:
                if is_over:
                    raise
                self._on_unreachable(error)
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(POLL_MAX_S, pause_s * 1.2)

    async def allowed_commands(self, session: str) -> tuple[str, ...]:
        """Names of the commands that the session of an id or a call would take now; none where nothing is known."""
        session_id = await self._run(self._reader.find_exact(session)) if session else ""
        return allowed_commands_of(await self._run(self._reader.read_session(session_id))) if session_id else ()


def _check_same_command(command: SubmittedCommand, *, is_own: bool) -> None:
    if not is_own:
        reason = f"the id {safe_id(command.command_id)} was given before, for another command; nothing was done"
        raise CommandIdConflict(command.kind, reason, command_id=command.command_id)


def with_public_field_name(reason: str, names: Mapping[str, str]) -> str:
    """Why a command can't be one, with the name that a field has here in front where it is another one.

    >>> in_own_names("timeout must be whole seconds, 5 to 600", {"timeout": "ring_timeout_s"})
    'ring_timeout_s: timeout must be whole seconds, 5 to 600'
    """
    own = names.get(reason.partition(" ")[0])
    return f"{own}: {reason}" if own else reason


def allowed_commands_of(session: Fields) -> tuple[str, ...]:
    """Names of the commands that the session of a hash would take now."""
    # Building the machine takes longer than all else here, and only a refusal needs it.
    from conferral.statemachine.machine import allowed_commands

    try:
        return allowed_commands(session_codec.decode(session)) if session else ()
    except StoreError:
        return ()  # a record that can't be understood: nothing is known of it


def _now_s() -> float:
    return asyncio.get_running_loop().time()
