"""The report of a day: for the page, and as CSV."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import partial
from sys import maxsize
from typing import Any, NamedTuple, get_args
from zoneinfo import ZoneInfo

from aiohttp import web

from conferral.console.access import AccessControl
from conferral.operations.redis_access import RedisAccess
from conferral.outcomes.outcome import OutcomeRecord
from conferral.outcomes.report import OutcomeReport, read_report
from conferral.outcomes.report_csv import CsvKind, ReportCsv
from conferral.outcomes.report_text import period_line, report_notes, tables, totals
from conferral.runtime.clock import Clock, start_of_day
from conferral.runtime.redaction import display_address
from conferral.runtime.web.json_requests import NO_STORE, RequestError, json_response
from conferral.runtime.web.server import SharedResult
from conferral.runtime.web.tokens import Permission
from conferral.runtime.zones import find_zone
from conferral.storage.codecs.text_codec import to_iso

#: Interval for reading a day's outcomes (seconds).
READ_EVERY_S = 10.0
#: Reports that are kept (count): days and time zones that people look at.
_REPORTS_MAX = 64
#: Calls of a row that the page lists (count).
CALLS_MAX = 200
_PARAMETERS = frozenset({"day", "zone", "full", "row", "rows"})


class _Query(NamedTuple):
    day: date | None
    zone: ZoneInfo | None
    full: bool
    #: The key of a table's row whose calls are listed; or empty.
    row: str
    #: What has a row in a file.
    rows: CsvKind | None


class DayReports:
    """Days' reports, each read at most every `READ_EVERY_S`."""

    def __init__(self, redis: RedisAccess, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._reports: dict[tuple[date, str], SharedResult[OutcomeReport]] = {}

    async def read(self, day: date | None, zone: ZoneInfo | None) -> OutcomeReport:
        """Return a day's report, by default today's; raise StoreError."""
        day = day or self._today(zone)
        key = (day, zone.key if zone is not None else "")
        if key not in self._reports:
            while len(self._reports) >= _REPORTS_MAX:
                del self._reports[next(iter(self._reports))]
            self._reports[key] = SharedResult(partial(self._read, day, zone), READ_EVERY_S)
        return await self._reports[key]()

    async def read_each(
        self, day: date | None, zone: ZoneInfo | None, each: Callable[[OutcomeRecord], None]
    ) -> OutcomeReport:
        """Read a day's outcomes, by default today's; raise StoreError."""
        return await self._read(day or self._today(zone), zone, each)

    def _today(self, zone: tzinfo | None) -> date:
        return datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC).astimezone(zone).date()

    async def _read(
        self, day: date, zone: tzinfo | None, each: Callable[[OutcomeRecord], None] | None = None
    ) -> OutcomeReport:
        since_ms, until_ms = (round(1000 * start_of_day(day + timedelta(days=days), zone)) for days in (0, 1))
        # Of today, up to now, and never before its start.
        until_ms = max(since_ms, min(until_ms, self._clock.wall_ms()))
        return await self._redis.run(lambda reader: read_report(reader, since_ms, until_ms, each))


class ReportRoutes:
    """Serves a day's report."""

    def __init__(
        self,
        reports: DayReports,
        access: AccessControl,
        directory: Callable[[], Mapping[str, str]],
        people: Callable[[], Mapping[str, str]],
    ) -> None:
        self._reports = reports
        self._access = access
        self._directory = directory
        self._people = people

    async def as_json(self, request: web.Request) -> web.Response:
        """Return sentences and tables, and with `row` a row's calls."""
        query = await self._query(request)
        found = await self._reports.read(query.day, query.zone)
        data = self._data(query, found)
        calls = found.calls_of(query.row, full=query.full)
        shown = [
            {
                "at": to_iso(one.at_ms),
                "session": one.session,
                "customer": display_address(one.customer, full=query.full),
            }
            for one in calls[:CALLS_MAX]
        ]
        report: dict[str, Any] = {
            "period": period_line(data), "totals": totals(data), "notes": report_notes(data),
            "tables": [
                one._asdict() | {"keys": found.row_keys(one, full=query.full)} for one in tables(data, rows_max=maxsize)
            ],
            "calls": shown, "calls_count": len(calls),
        }  # fmt: skip
        return json_response(report)

    async def as_csv(self, request: web.Request) -> web.Response:
        """Return a row for each call or each transfer, as the command does."""
        query = await self._query(request)
        if query.rows is None:
            raise RequestError("invalid", f"rows must be {' or '.join(get_args(CsvKind))}")
        rows = ReportCsv(query.rows, full=query.full, zone=query.zone)
        report = await self._reports.read_each(query.day, query.zone, rows.add)
        named = {"Content-Disposition": f'attachment; filename="{query.rows}-{query.day or "today"}.csv"'}
        return web.Response(body=rows.file(report), content_type="text/csv", charset="utf-8", headers=NO_STORE | named)

    def _data(self, query: _Query, found: OutcomeReport) -> dict[str, Any]:
        """Return a report that names people as the directory does."""
        names = {address: name for name, address in self._directory().items()} | {**self._people()}
        return found.data(
            full=query.full, zone=query.zone, name_of=lambda one: names.get(one, one.removeprefix("client:"))
        )

    async def _query(self, request: web.Request) -> _Query:
        sign_in = await self._access.sign_in_of(request)
        if sign_in is None:
            raise RequestError("unauthorized", "sign in on the console's page first")
        sign_in.token.require(Permission.READ)
        return _query_of(request)


def _query_of(request: web.Request) -> _Query:
    """Return what a request asks for; raise RequestError."""
    query = request.query
    if query.keys() - _PARAMETERS or len(query) > len(set(query)):
        raise RequestError("invalid", f"the parameters are {', '.join(sorted(_PARAMETERS))}, each once at most")
    day = _day_of(query["day"]) if query.get("day") else None
    zone = find_zone(query.get("zone", ""))
    rows = next((one for one in get_args(CsvKind) if one == query.get("rows")), None)
    return _Query(day, zone, query.get("full") == "1", query.get("row", ""), rows)


def _day_of(text: str) -> date:
    """Return a date whose year is one in every zone; raise RequestError."""
    with suppress(ValueError):
        day = date.fromisoformat(text)
        if 1970 < day.year < 9999:
            return day
    raise RequestError("invalid", "day must be a date such as 2026-01-31")
