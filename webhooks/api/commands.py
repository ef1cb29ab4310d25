"""Gives commands for whoever asks over HTTP, and lets them wait for what comes of them: not too many, not for ever."""

from collections.abc import Callable

import structlog

import conferral.statemachine.machine  # noqa: F401  # built at the start: it takes long, and callers would wait for it
from conferral.operations.command_submission import TOKEN_NAME, CommandSubmitter, SubmittedCommand
from conferral.operations.errors import CommandIdConflict, CommandStreamFull, SessionExists, UnknownSession
from conferral.operations.session_queries import SessionQueries
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.outage import log_unreachable
from conferral.storage.commands.command_models import CommandModel
from conferral.storage.commands.command_stream import CommandOutcome
from conferral.webhooks.api.errors import ApiError, ErrorType
from conferral.webhooks.api.redis_limiter import RedisLimiter

log = structlog.get_logger()

#: Askers who wait for an outcome at the same time, at most (count); others are answered at once.
WAITERS_MAX = 500


class ApiCommands:
    """The giver of commands, with HTTP's refusals."""

    def __init__(self, reader: SessionQueries, limiter: RedisLimiter) -> None:
        self._submitter = CommandSubmitter(reader, limiter, _log_unreachable)
        self._waiting = 0
        self._is_closing = False

    def stop_waiting(self) -> None:
        """Whoever waits for an outcome is answered now, or at the next look for it."""
        self._is_closing = True

    async def submit(self, model: CommandModel) -> SubmittedCommand:
        """Publishes a command. One that was published before under the same id is not again.

        Raises:
            ApiError: the id was given before for another command, the session that it names is not known (of a
                `call`: is known), or too many commands wait for a worker.
            StoreError: nobody knows whether it was published.
        """
        try:
            return await self._submitter.submit(model.entry() | {"by": TOKEN_NAME}, model.id, check_session=True)
        except (CommandIdConflict, SessionExists) as error:
            raise ApiError(ErrorType.TAKEN, error.reason) from None
        except CommandStreamFull as error:
            raise ApiError(ErrorType.FULL, error.reason) from None
        except UnknownSession as error:
            raise ApiError(ErrorType.UNKNOWN, str(error)) from None

    async def find_outcome(self, command_id: str) -> CommandOutcome | None:
        """How far a command has come; None where nobody knows it."""
        found = await self._submitter.find_outcome(command_id)
        return found if found.exists else None

    async def wait_for_outcome(
        self, command: SubmittedCommand, wait_s: float, is_gone: Callable[[], bool]
    ) -> CommandOutcome | None:
        """How far a command has come when nothing more will come of it, or when the time is up.

        Args:
            command: Which.
            wait_s: Seconds.
            is_gone: Whether nobody waits any more.

        Returns:
            None where it can't be seen: the command is published all the same.

        Raises:
            ApiError: the id belongs to another command.
        """
        if self._waiting >= WAITERS_MAX:
            wait_s = 0
        self._waiting += 1
        try:
            return await self._submitter.wait_for_outcome(command, wait_s, lambda: self._is_closing or is_gone())
        except StoreUnreachableError as error:
            _log_unreachable(error)
            return None
        except CommandIdConflict as error:
            raise ApiError(ErrorType.TAKEN, error.reason) from None
        finally:
            self._waiting -= 1

    async def allowed_commands(self, named: str) -> tuple[str, ...]:
        """Names of the commands that a session would take now; none where it is not known or can't be understood."""
        try:
            return await self._submitter.allowed_commands(named)
        except StoreError:
            return ()


def _log_unreachable(error: StoreUnreachableError) -> None:
    """The command is published; only what became of it can't be seen now."""
    log_unreachable(error, task="api")
