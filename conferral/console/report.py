"""The report of today or yesterday as a page."""

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

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
_DAYS = ("today", "yesterday")


class ReportRoute:
    """Serves a day's report, read at most every `READ_EVERY_S`."""

    def __init__(self, redis: RedisAccess, access: AccessControl, clock: Clock) -> None:
        self._redis = redis
        self._access = access
        self._clock = clock
        self._reports = {day: SharedResult(partial(self._read, day), READ_EVERY_S) for day in _DAYS}

    async def handle(self, request: web.Request) -> web.Response:
        """Return the page; `?full=1` shows full phone numbers.

        `?day=yesterday` is the whole day before; without `day`, the page is today's.
        """
        sign_in = await self._access.sign_in_of(request)
        if sign_in is None:
            raise RequestError("unauthorized", "sign in on the console's page, then open this one again")
        sign_in.token.require(Permission.READ)
        day, full = _day_of(request), request.query.get("full") == "1"
        found = await self._reports[day]()
        # A thread: drawing takes a tenth of a second, and more on a day with many destinations.
        text = await asyncio.to_thread(lambda: report_page(found.data(full=full), _links(day, full=full)))
        headers = NO_STORE | {"Content-Security-Policy": f"{CONTENT_POLICY}; frame-ancestors 'none'"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _read(self, day: str) -> OutcomeReport:
        now_ms = self._clock.wall_ms()
        today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone().date()
        since_ms, until_ms = _start_ms(today), now_ms
        if day == "yesterday":
            since_ms, until_ms = _start_ms(today - timedelta(days=1)), since_ms
        return await self._redis.run(lambda reader: read_report(reader, since_ms, until_ms))


def _day_of(request: web.Request) -> str:
    """Return the day that a request names; raise RequestError."""
    days = request.query.getall("day", ["today"])
    if request.query.keys() - {"day", "full"} or len(days) > 1 or days[0] not in _DAYS:
        reason = "the page has only today, and yesterday with ?day=yesterday; for other periods: conferral report"
        raise RequestError("invalid", reason, _DAYS)
    return days[0]


def _start_ms(day: date) -> int:
    """Return when a day starts in the machine's time zone, Unix milliseconds."""
    return round(datetime.combine(day, time()).astimezone().timestamp() * 1000)


def _links(day: str, *, full: bool) -> str:
    other = next(one for one in _DAYS if one != day)
    query = f"day={other}&amp;full=1" if full else f"day={other}"
    return f'<nav><a href="./">Console</a> <a href="./report?{query}">{other.capitalize()}</a></nav>'
