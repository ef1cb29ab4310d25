"""Makes the view that a page asks for."""

from collections.abc import Mapping
from typing import Any

from conferral.console.board import Board
from conferral.console.histories import Histories
from conferral.console.looker import Looker
from conferral.console.store import Store
from conferral.console.views.dead import DeadView
from conferral.console.views.health import HealthView
from conferral.console.views.session import SessionView
from conferral.console.views.sessions import SessionsView
from conferral.console.views.view import BadMessageError, View, count, flag, text
from conferral.runtime.clock import Clock
from conferral.statemachine.ids import NAME_PATTERN
from conferral.storage.dead_letters import REASON_MAX


class Views:
    """What pages can look at."""

    def __init__(self, looker: Looker, store: Store, board: Board, clock: Clock, *, command_line: str) -> None:
        """Binds what all views share.

        Args:
            looker: Knows the sessions.
            store: Of Redis.
            board: Knows summary and health.
            clock: Of this machine.
            command_line: How this program is called, in lines to be copied.
        """
        self.looker = looker
        self.store = store
        self._board = board
        self._clock = clock
        self._histories = Histories()
        self._command_line = command_line

    def make(self, message: Mapping[str, Any]) -> View:
        """The view of a page's message, with the summary that every page shows.

        Raises:
            BadMessageError: there is none such.
        """
        return _WithSummary(self._make(message), self.looker, self._board)

    def _make(self, message: Mapping[str, Any]) -> View:
        full = flag(message, "full")
        match message.get("view"):
            case "sessions":
                return SessionsView(self.looker, with_ended=flag(message, "ended"), full=full)
            case "session":
                named = text(message, "id")
                if not NAME_PATTERN.fullmatch(named):
                    raise BadMessageError("id: must be a session's id or the SID of one of its calls")
                return SessionView(
                    self.looker,
                    self.store,
                    self._histories,
                    self._clock,
                    named,
                    after=text(message, "after"),
                    as_of=count(message, "as_of"),
                    full=full,
                    command_line=self._command_line,
                )
            case "health":
                return HealthView(self._board)
            case "dead":
                return DeadView(self.store, self._clock, text(message, "reason", REASON_MAX), full=full)
            case _:
                raise BadMessageError("view: must be sessions, session, health or dead")


class _WithSummary:
    """A view, and the summary when it has changed: the banner above every view needs it."""

    def __init__(self, view: View, looker: Looker, board: Board) -> None:
        self.with_ended = view.with_ended
        self._view = view
        self._looker = looker
        self._board = board
        self._summary = b""

    async def news(self) -> list[bytes]:
        """What the view has to tell, then the summary."""
        # The summary is read first, because it may fail, and what was not returned was not told.
        summary = await self._board.summary() if self._looker.is_loaded else self._summary
        messages = await self._view.news()
        if summary != self._summary:
            messages = [*messages, summary]
            self._summary = summary
        return messages
