"""Submits commands and waits for their results, for every surface."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from conferral.commands import identity
from conferral.operations.errors import (
    CommandIdConflict,
    CommandStreamFull,
    PublishUnconfirmedError,
    UnknownSession,
)
from conferral.operations.redis_access import RedisLimiter
from conferral.operations.session_search import allowed_commands_of
from conferral.runtime import tracing
from conferral.runtime.error_boundary import retry_unreachable
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from conferral.statemachine.ids import no_call_found, safe_id
from conferral.storage import command_stream
from conferral.storage.command_stream import CommandResult, CommandsFullError
from conferral.storage.connection.errors import SILENT_STATES
from conferral.storage.queries.session_reader import SessionReader

#: Poll interval for a result, initial and maximum, in seconds. Most commands are done in well under a second.
POLL_INITIAL_S = 0.05
POLL_MAX_S = 0.25


@dataclass(frozen=True, slots=True)
class SubmittedCommand:
    """A published command."""

    command_id: str
    kind: str
    #: The session as the command names it: its id or a call's SID; empty for a `call` without one.
    session: str
    #: Digest of its fields, which detects a different command with the same id.
    digest: str


class CommandSubmitter:
    """Submits commands through Redis."""

    def __init__(
        self,
        reader: SessionReader,
        limiter: RedisLimiter | None = None,
        on_unreachable: Callable[[StoreError], None] = lambda _error: None,
    ) -> None:
        self._reader = reader
        self._run = limiter or RedisLimiter(1)
        #: Called with each StoreUnreachableError that will be retried; not with the one that is raised.
        self._on_unreachable = on_unreachable

    async def submit(
        self, fields: Mapping[str, str], command_id: str = "", *, check_session: bool = False, retry_for_s: float = 0.0
    ) -> SubmittedCommand:
        """Publish a command, unless one with the same id was already accepted.

        Args:
            fields: Validated fields as in the stream; an id among them is ignored.
            command_id: The idempotency key; generated if empty.
            check_session: Whether to look up the session first. Otherwise, the router does, and rejects the command.
            retry_for_s: How long to retry while Redis is unreachable; the id ensures that the command runs once.

        Raises:
            CommandIdConflict, UnknownSession, CommandStreamFull: Nothing was published.
            StoreUnreachableError: Redis did not answer, or refused; nothing was published.
            PublishUnconfirmedError: It is unknown whether the command was published.
        """
        command = SubmittedCommand(
            command_id or f"c-{secrets.token_hex(10)}",
            fields["type"],
            fields.get("session", ""),
            identity.digest_of(fields),
        )
        unconfirmed: list[StoreUnreachableError] = []
        about = {"conferral.command_id": command.command_id}
        try:
            with tracing.span(f"publish {command.kind}", about, "producer"):
                await retry_unreachable(
                    lambda: self._publish_once(
                        command, fields, unconfirmed, is_new=not command_id, check_session=check_session
                    ),
                    POLL_INITIAL_S,
                    pause_max_s=POLL_MAX_S,
                    deadline_s=_now_s() + retry_for_s,
                    on_error=self._on_unreachable,
                )
        except CommandsFullError as error:
            raise CommandStreamFull(command.kind, str(error), command_id=command.command_id) from None
        except StoreUnreachableError as error:
            if unconfirmed:
                raise PublishUnconfirmedError(command.kind, command.command_id, error) from error
            raise
        return command

    async def _publish_once(
        self,
        command: SubmittedCommand,
        fields: Mapping[str, str],
        unconfirmed: list[StoreUnreachableError],
        *,
        is_new: bool,
        check_session: bool,
    ) -> None:
        """Publish a new command; add an error to `unconfirmed` if it may be out."""
        client, keys = self._reader.client, self._reader.keys
        if not is_new:
            found = await self.find_result(command.command_id)
            _check_same_command(command, is_own=not found.is_of_another_command(command.digest))
            if found.entry_id:
                await self._run(command_stream.confirm(client, keys))  # the first answer may have been 503
                return
            # A known id passed these checks before; the command itself may have opened or ended the session.
            check_session = check_session and not found.digest
            if not found.digest:  # before the id is reserved: it stays free if too many commands wait
                await self._run(command_stream.require_capacity(client, keys))
        if check_session:
            await self._check_session(command)
        reserved = command_stream.reserve_id(
            client, keys, command.command_id, command.digest, identity.sender_of(fields)
        )
        is_own = await self._run(reserved)
        _check_same_command(command, is_own=is_own)
        try:
            published = command_stream.publish(client, keys, {**fields, "id": command.command_id})
            await self._run(published)
        except CommandsFullError as error:
            if unconfirmed:
                raise unconfirmed[-1] from error
            raise
        except StoreUnreachableError as error:
            if error.state in SILENT_STATES:  # a refusal is certain
                unconfirmed.append(error)
            raise

    async def _check_session(self, command: SubmittedCommand) -> None:
        is_there = bool(command.session and await self._run(self._reader.find_exact(command.session)))
        opens_session = COMMANDS_BY_NAME[command.kind].opens_session
        if opens_session and is_there:
            raise CommandIdConflict(command.kind, identity.existing_session(), command_id=command.command_id)
        if not opens_session and not is_there:
            raise UnknownSession(no_call_found(command.session))

    async def find_result(self, command_id: str) -> CommandResult:
        """Return a command's result; the status is empty for an unknown id."""
        client, keys = self._reader.client, self._reader.keys
        request = command_stream.read_result(client, keys, command_id)
        return await self._run(request)

    async def wait_for_result(
        self,
        command: SubmittedCommand,
        timeout_s: float,
        must_end: Callable[[], bool] = lambda: False,
        *,
        until_accepted: bool = False,
    ) -> CommandResult:
        """Wait until a result is final, time is up, or the client is gone.

        With `until_accepted`, only until the command is accepted or rejected.
        Return the last one read. Raise CommandIdConflict if another command got the id first, StoreUnreachableError if
        Redis is unreachable when the time is up.
        """
        until_s = _now_s() + timeout_s
        pause_s = POLL_INITIAL_S
        while True:
            left_s = until_s - _now_s()
            is_over = left_s <= 0 or must_end()
            try:
                found = await self.find_result(command.command_id)
                _check_same_command(command, is_own=not found.is_of_another_command(command.digest))
                if found.is_final or is_over or (until_accepted and found.status):
                    return found
            except StoreUnreachableError as error:
                if is_over:
                    raise
                self._on_unreachable(error)
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(POLL_MAX_S, pause_s * 1.2)

    async def allowed_commands(self, session: str) -> tuple[str, ...]:
        """Return the commands that a session accepts now; none if unreadable."""
        try:
            return allowed_commands_of(await self._run(self._reader.read_exact(session)))
        except StoreError:
            return ()


def _check_same_command(command: SubmittedCommand, *, is_own: bool) -> None:
    if not is_own:
        reason = f"the id {safe_id(command.command_id)} is already used by another command; nothing was done"
        raise CommandIdConflict(command.kind, reason, command_id=command.command_id)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
