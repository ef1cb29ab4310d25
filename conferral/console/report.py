"""The report of today as a page."""

import asyncio
from datetime import UTC, datetime, time

from aiohttp import web

from conferral.console.access import AccessControl
from conferral.operations.outcome_report import OutcomeReport, read_report
from conferral.operations.redis_access import RedisAccess
from conferral.operations.report_page import CONTENT_POLICY, report_page
from conferral.runtime.clock import Clock
from conferral.runtime.web.json_requests import NO_STORE, RequestError
from conferral.runtime.web.server import SharedResult
from conferral.runtime.web.tokens import Permission

#: Interval for reading a day's outcomes (seconds).
READ_EVERY_S = 10.0
_LINKS = '<nav><a href="./">Console</a></nav>'


class ReportRoute:
    """Serves the report of today, read at most every `READ_EVERY_S`."""

    def __init__(self, redis: RedisAccess, access: AccessControl, clock: Clock) -> None:
        self._redis = redis
        self._access = access
        self._clock = clock
        self._today = SharedResult(self._read, READ_EVERY_S)

    async def handle(self, request: web.Request) -> web.Response:
        """Return the page; `?full=1` shows full phone numbers."""
        sign_in = self._access.sign_in_of(request)
        if sign_in is None:
            raise RequestError("unauthorized", "sign in on the console's page, then open this one again")
        sign_in.token.require(Permission.READ)
        today, full = await self._today(), request.query.get("full") == "1"
        # A thread: drawing takes a tenth of a second, and more on a day with many destinations.
        text = await asyncio.to_thread(lambda: report_page(today.data(full=full), _LINKS))
        headers = NO_STORE | {"Content-Security-Policy": f"{CONTENT_POLICY}; frame-ancestors 'none'"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _read(self) -> OutcomeReport:
        now_ms = self._clock.wall_ms()
        today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone().date()
        since_ms = round(datetime.combine(today, time()).astimezone().timestamp() * 1000)
        return await self._redis.run(lambda reader: read_report(reader, since_ms, now_ms))
