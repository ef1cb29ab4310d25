"""Reads sessions and their logs for whoever asks."""

from dataclasses import replace

from statemachine.states import State
from streams import commands
from streams.connection import Client
from streams.cursors import BadCursorError
from streams.keys import Keys
from streams.reading import Fields, LogEntry, Page, SessionReader
from webhooks.api.errors import ApiError, ErrorType
from webhooks.api.parameters import is_id
from webhooks.api.turns import Turns


class Sessions:
    """Sessions as they stand in Redis, without what nobody is shown. All may raise StoreError."""

    def __init__(self, client: Client, keys: Keys, turns: Turns) -> None:
        self._reader = SessionReader(client, keys)
        self._turns = turns

    async def find(self, named: str) -> str | None:
        """The id of the session that is named by its id or by one of its calls; None when nobody knows it."""
        return await self._turns(lambda: self._reader.find(named)) if is_id(named) else None

    async def session(self, named: str) -> Fields:
        """The hash of the session that is named by its id or by one of its calls.

        Raises:
            ApiError: nobody knows it.
        """
        session_id = await self.find(named)
        fields = await self._turns(lambda: self._reader.session(session_id)) if session_id else {}
        if not _is_session(fields):
            raise unknown_session(named)
        return fields

    async def page(self, state: State | None, limit: int, cursor: str) -> Page[Fields]:
        """Some sessions: of all, or of those in one state.

        Raises:
            ApiError: the cursor leads nowhere.
        """
        try:
            page = await self._turns(lambda: self._reader.list_sessions(state=state, limit=limit, cursor=cursor))
        except BadCursorError as error:
            raise ApiError(ErrorType.INVALID, str(error)) from None
        return replace(page, items=[fields for fields in page.items if _is_session(fields)])

    async def log(self, named: str, limit: int, cursor: str) -> Page[LogEntry]:
        """Part of the log of the session that is named by its id or by one of its calls, oldest first.

        Raises:
            ApiError: nobody knows the session, or the cursor leads nowhere.
        """
        session_id = await self.find(named)
        if session_id is None:
            raise unknown_session(named)
        try:
            return await self._turns(lambda: self._reader.read_log(session_id, limit=limit, cursor=cursor))
        except BadCursorError as error:
            raise ApiError(ErrorType.INVALID, str(error)) from None


def _is_session(fields: Fields) -> bool:
    """Whether a record is a session's: it is none any more, or never was ours, where it does not even say so much."""
    return "id" in fields and "state" in fields


def unknown_session(named: str) -> ApiError:
    """Nobody knows the session or call that is named."""
    shown = commands.shown_id(named) if is_id(named) else "of this id"
    return ApiError(ErrorType.UNKNOWN, f"no session and no call {shown} is known")
