"""Download a session's history as a file for `conferral replay`."""

from aiohttp import web

from conferral.console.access import AccessControl
from conferral.console.redaction import redact_fields
from conferral.console.redis_access import RedisAccess
from conferral.operations.history import replay
from conferral.operations.session_queries import LogEntry
from conferral.runtime.web.json_requests import RequestError, json_response
from conferral.statemachine.ids import NAME_PATTERN
from conferral.storage.codecs.session_view import SessionView


class HistoryDownload:
    """Handles downloads."""

    def __init__(self, redis: RedisAccess, access: AccessControl) -> None:
        self._redis = redis
        self._access = access

    async def handle(self, request: web.Request) -> web.Response:
        """Return one session's file; with `full=true`, it contains full phone numbers."""
        self._access.require_read(request)
        named, full = request.match_info["session"], request.query.get("full") == "true"
        found = await self._redis.run(lambda reader: reader.find_exact(named)) if NAME_PATTERN.fullmatch(named) else ""
        session = await self._redis.run(lambda reader: reader.view(found)) if found else SessionView()
        if not session.is_known:
            raise RequestError("unknown", "no session or call with this id is known")
        log = await self._redis.run(lambda reader: reader.log(found))
        entries = tuple(LogEntry(one.entry_id, redact_fields(dict(one.fields), full=full)) for one in log)
        body = replay.to_json(replay.SessionHistory(redact_fields(session.fields, full=full), entries))
        response = json_response(body)
        response.headers["Content-Disposition"] = f'attachment; filename="{found}.json"'
        return response
