"""Submits commands over HTTP and waits for their outcomes, with a limit on waiting requests."""

from collections.abc import Callable

import conferral.statemachine.machine  # noqa: F401  # built at the start: it takes long, and callers would wait for it
from conferral.operations.command_submission import CommandSubmitter, SubmittedCommand
from conferral.operations.errors import CommandIdConflict
from conferral.operations.http_commands import submit_command
from conferral.operations.redis_limiter import RedisLimiter
from conferral.operations.session_queries import SessionQueries
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.outage import log_unreachable
from conferral.runtime.web.json_requests import RequestError
from conferral.storage.commands.command_parser import ParsedCommand
from conferral.storage.commands.command_stream import CommandOutcome
from conferral.webhooks.api.errors import ErrorType

#: Requests that may wait for an outcome at the same time (count); others are answered at once.
WAITERS_MAX = 500


class ApiCommands:
    """Command submission with HTTP errors."""

    def __init__(self, reader: SessionQueries, limiter: RedisLimiter) -> None:
        self._submitter = CommandSubmitter(reader, limiter, _log_unreachable)
        self._waiting = 0
        self._is_closing = False

    def stop_waiting(self) -> None:
        """Answer all waiting requests now, or at their next poll."""
        self._is_closing = True

    async def submit(self, parsed: ParsedCommand) -> SubmittedCommand:
        """Publish a command; raises as `submit_command`."""
        return await submit_command(self._submitter, parsed)

    async def find_outcome(self, command_id: str) -> CommandOutcome | None:
        """Return a command's outcome so far; None if the command is unknown."""
        found = await self._submitter.find_outcome(command_id)
        return found if found.exists else None

    async def wait_for_outcome(
        self, command: SubmittedCommand, wait_s: float, is_gone: Callable[[], bool]
    ) -> CommandOutcome | None:
        """Return a command's outcome once it is final or the time is up; None if Redis is unreachable.

        Raise RequestError if the id belongs to another command.
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
            raise RequestError(ErrorType.ID_CONFLICT, error.reason) from None
        finally:
            self._waiting -= 1

    async def allowed_commands(self, named: str) -> tuple[str, ...]:
        """Return the commands that a session would accept now; empty if it is unknown or unreadable."""
        return await self._submitter.allowed_commands(named)


def _log_unreachable(error: StoreError) -> None:
    """Log an outage; the command is published, only its outcome can't be read now."""
    log_unreachable(error, task="api")
