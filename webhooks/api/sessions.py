"""Sessions and their logs for the control API."""

from dataclasses import replace

from conferral.operations.session_queries import SessionQueries
from conferral.statemachine.states import State
from conferral.storage.commands.command_stream import unknown_session
from conferral.storage.queries.cursors import BadCursorError
from conferral.storage.queries.session_reader import Fields, LogEntry, Page
from conferral.webhooks.api.errors import ApiError, ErrorType
from conferral.webhooks.api.redis_limiter import RedisLimiter


class SessionResource:
    """Reads sessions from Redis, without hidden fields. Every method may raise StoreError."""

    def __init__(self, reader: SessionQueries, limiter: RedisLimiter) -> None:
        self._reader = reader
        self._limiter = limiter

    async def session(self, named: str) -> Fields:
        """Return the hash of the session with this id or one of its calls.

        Raises:
            ApiError: The session is unknown.
        """
        session_id = await self._limiter(self._reader.find_exact(named))
        fields = await self._limiter(self._reader.read_session(session_id)) if session_id else {}
        if not _is_session(fields):
            raise ApiError(ErrorType.UNKNOWN, unknown_session(named))
        return fields

    async def page(self, state: State | None, limit: int, cursor: str) -> Page[Fields]:
        """Return one page of sessions, optionally in one state.

        Raises:
            ApiError: The cursor is invalid.
        """
        try:
            page = await self._limiter(self._reader.list_sessions(state=state, limit=limit, cursor=cursor))
        except BadCursorError as error:
            raise ApiError(ErrorType.INVALID, str(error)) from None
        return replace(page, items=[fields for fields in page.items if _is_session(fields)])

    async def log(self, named: str, limit: int, cursor: str) -> Page[LogEntry]:
        """Return one page of the log of the session with this id or one of its calls, oldest first.

        Raises:
            ApiError: The session is unknown, or the cursor is invalid.
        """
        session_id = await self._limiter(self._reader.find_exact(named))
        if not session_id:
            raise ApiError(ErrorType.UNKNOWN, unknown_session(named))
        try:
            return await self._limiter(self._reader.read_log(session_id, limit=limit, cursor=cursor))
        except BadCursorError as error:
            raise ApiError(ErrorType.INVALID, str(error)) from None


def _is_session(fields: Fields) -> bool:
    """Whether a hash is a session's; an expired or foreign one lacks even these fields."""
    return "id" in fields and "state" in fields
