"""Gives commands for whoever asks over HTTP, and lets them wait for what comes of them: not too many, not for ever."""

from collections.abc import Callable

import structlog

import conferral.statemachine.machine  # noqa: F401  # built at the start: it takes long, and callers would wait for it
from conferral.operations.errors import CommandsFull, IdTaken, SessionTaken, UnknownSession
from conferral.operations.giving import TOKEN_NAME, Given, Giver
from conferral.operations.reader import Reader
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.outage import note_unreachable
from conferral.storage.command_models import CommandModel
from conferral.storage.commands import CommandOutcome
from conferral.webhooks.api.errors import ApiError, ErrorType
from conferral.webhooks.api.turns import Turns

log = structlog.get_logger()

#: Askers who wait for an outcome at the same time, at most (count); others are answered at once.
WAITING_MAX = 500


class Commands:
    """The giver of commands, with HTTP's refusals."""

    def __init__(self, reader: Reader, turns: Turns) -> None:
        self._giver = Giver(reader, turns, _note_away)
        self._waiting = 0
        self._is_closing = False

    def stop_waiting(self) -> None:
        """Whoever waits for an outcome is answered now, or at the next look for it."""
        self._is_closing = True

    async def give(self, model: CommandModel) -> Given:
        """Publishes a command. One that was published before under the same id is not again.

        Raises:
            ApiError: the id was given before for another command, the session that it names is not known (of a
                `call`: is known), or too many commands wait for a worker.
            StoreError: nobody knows whether it was published.
        """
        try:
            return await self._giver.give(model.entry() | {"by": TOKEN_NAME}, model.id, looks_up=True)
        except (IdTaken, SessionTaken) as error:
            raise ApiError(ErrorType.TAKEN, error.reason) from None
        except CommandsFull as error:
            raise ApiError(ErrorType.FULL, error.reason) from None
        except UnknownSession as error:
            raise ApiError(ErrorType.UNKNOWN, str(error)) from None

    async def outcome(self, command_id: str) -> CommandOutcome | None:
        """How far a command has come; None where nobody knows it."""
        found = await self._giver.known(command_id)
        return found if found.is_known else None

    async def wait_for_outcome(self, given: Given, wait_s: float, is_gone: Callable[[], bool]) -> CommandOutcome | None:
        """How far a command has come when nothing more will come of it, or when the time is up.

        Args:
            given: Which.
            wait_s: Seconds.
            is_gone: Whether nobody waits any more.

        Returns:
            None where it can't be seen: the command is published all the same.

        Raises:
            ApiError: the id belongs to another command.
        """
        if self._waiting >= WAITING_MAX:
            wait_s = 0
        self._waiting += 1
        try:
            return await self._giver.outcome(given, wait_s, lambda: self._is_closing or is_gone())
        except StoreUnreachableError as error:
            _note_away(error)
            return None
        except IdTaken as error:
            raise ApiError(ErrorType.TAKEN, error.reason) from None
        finally:
            self._waiting -= 1

    async def allowed(self, named: str) -> tuple[str, ...]:
        """Names of the commands that a session would take now; none where it is not known or can't be understood."""
        try:
            return await self._giver.allowed(named)
        except StoreError:
            return ()


def _note_away(error: StoreUnreachableError) -> None:
    """The command is published; only what became of it can't be seen now."""
    note_unreachable(error, task="api")
