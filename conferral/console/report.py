"""The report of today or yesterday as a page."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from html import escape
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web

from conferral.console.access import AccessControl
from conferral.operations.redis_access import RedisAccess
from conferral.outcomes.report import OutcomeReport, read_report
from conferral.outcomes.report_page import CONTENT_POLICY, report_page
from conferral.runtime.clock import Clock, start_of_day
from conferral.runtime.web.json_requests import NO_STORE, RequestError
from conferral.runtime.web.server import SharedResult
from conferral.runtime.web.tokens import Permission

#: Interval for reading a day's outcomes (seconds).
READ_EVERY_S = 10.0
_DAYS = ("today", "yesterday")
#: Time zones whose reports are kept (count); the world has fewer than 40 offsets.
_ZONES_MAX = 64


class ReportRoute:
    """Serves a day's report, read at most every `READ_EVERY_S` for each zone."""

    def __init__(self, redis: RedisAccess, access: AccessControl, clock: Clock) -> None:
        self._redis = redis
        self._access = access
        self._clock = clock
        self._reports: dict[tuple[str, str], SharedResult[OutcomeReport]] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Return the page; `?full=1` shows full phone numbers.

        `?day=yesterday` is the whole day before; without `day`, the page is today's. `?zone=` names the reader's time
        zone, such as `Europe/Berlin`; without it, and if this machine does not know it, the page is in the machine's.
        """
        sign_in = await self._access.sign_in_of(request)
        if sign_in is None:
            raise RequestError("unauthorized", "sign in on the console's page, then open this one again")
        sign_in.token.require(Permission.READ)
        day, full = _day_of(request), request.query.get("full") == "1"
        zone = _zone_of(request.query.get("zone", ""))
        found = await self._report(day, zone)()
        # A thread: drawing takes a tenth of a second, and more on a day with many destinations.
        links = _links(day, zone, full=full)
        text = await asyncio.to_thread(lambda: report_page(found.data(full=full, zone=zone), links))
        headers = NO_STORE | {"Content-Security-Policy": f"{CONTENT_POLICY}; frame-ancestors 'none'"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    def _report(self, day: str, zone: ZoneInfo | None) -> SharedResult[OutcomeReport]:
        key = (day, zone.key if zone is not None else "")
        if key not in self._reports:
            while len(self._reports) >= len(_DAYS) * _ZONES_MAX:
                del self._reports[next(iter(self._reports))]
            self._reports[key] = SharedResult(partial(self._read, day, zone), READ_EVERY_S)
        return self._reports[key]

    async def _read(self, day: str, zone: tzinfo | None) -> OutcomeReport:
        now_ms = self._clock.wall_ms()
        today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
        since_ms, until_ms = round(1000 * start_of_day(today, zone)), now_ms
        if day == "yesterday":
            since_ms, until_ms = round(1000 * start_of_day(today - timedelta(days=1), zone)), since_ms
        return await self._redis.run(lambda reader: read_report(reader, since_ms, until_ms))


def _zone_of(name: str) -> ZoneInfo | None:
    """Return a time zone by its IANA name; None if this machine lacks it."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):  # all seen for names that are none
        return None


def _day_of(request: web.Request) -> str:
    """Return the day that a request names; raise RequestError."""
    days = request.query.getall("day", ["today"])
    if request.query.keys() - {"day", "full", "zone"} or len(days) > 1 or days[0] not in _DAYS:
        reason = "the page has only today, and yesterday with ?day=yesterday; for other periods: conferral report"
        raise RequestError("invalid", reason, _DAYS)
    return days[0]


def _links(day: str, zone: ZoneInfo | None, *, full: bool) -> str:
    other = next(one for one in _DAYS if one != day)
    query = urlencode({"day": other} | ({"zone": zone.key} if zone else {}) | ({"full": "1"} if full else {}))
    return f'<nav><a href="./">Console</a> <a href="./report?{escape(query)}">{other.capitalize()}</a></nav>'
