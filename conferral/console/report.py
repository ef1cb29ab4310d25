"""The report of a day: for the page, and as CSV."""

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import partial
from io import StringIO
from itertools import chain
from sys import maxsize
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web

from conferral.console.access import AccessControl
from conferral.operations.redis_access import RedisAccess
from conferral.outcomes.report import OutcomeReport, period_line, read_report, report_notes, tables, totals
from conferral.runtime.clock import Clock, start_of_day
from conferral.runtime.redaction import display_address
from conferral.runtime.web.json_requests import NO_STORE, RequestError, json_response
from conferral.runtime.web.server import SharedResult
from conferral.runtime.web.tokens import Permission
from conferral.storage.codecs.text_codec import to_iso

#: Interval for reading a day's outcomes (seconds).
READ_EVERY_S = 10.0
#: Reports that are kept (count): days and time zones that people look at.
_REPORTS_MAX = 64
#: Calls of a row that the page lists (count).
CALLS_MAX = 200
_PARAMETERS = frozenset({"day", "zone", "full", "row"})


class _Query(NamedTuple):
    day: date | None
    zone: ZoneInfo | None
    full: bool
    #: The key of a table's row whose calls are listed; or empty.
    row: str


class DayReports:
    """Days' reports, each read at most every `READ_EVERY_S`."""

    def __init__(self, redis: RedisAccess, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._reports: dict[tuple[date, str], SharedResult[OutcomeReport]] = {}

    async def read(self, day: date | None, zone: ZoneInfo | None) -> OutcomeReport:
        """Return a day's report, by default today's; raise StoreError."""
        day = day or datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC).astimezone(zone).date()
        key = (day, zone.key if zone is not None else "")
        if key not in self._reports:
            while len(self._reports) >= _REPORTS_MAX:
                del self._reports[next(iter(self._reports))]
            self._reports[key] = SharedResult(partial(self._read, day, zone), READ_EVERY_S)
        return await self._reports[key]()

    async def _read(self, day: date, zone: tzinfo | None) -> OutcomeReport:
        since_ms, until_ms = (round(1000 * start_of_day(day + timedelta(days=days), zone)) for days in (0, 1))
        # Of today, up to now, and never before its start.
        until_ms = max(since_ms, min(until_ms, self._clock.wall_ms()))
        return await self._redis.run(lambda reader: read_report(reader, since_ms, until_ms))


class ReportRoutes:
    """Serves a day's report."""

    def __init__(self, reports: DayReports, access: AccessControl, directory: Callable[[], Mapping[str, str]]) -> None:
        self._reports = reports
        self._access = access
        self._directory = directory

    async def as_json(self, request: web.Request) -> web.Response:
        """Return sentences and tables, and with `row` a row's calls."""
        query, found = await self._read_request(request)
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
        """Return all rows; a column has the unit of its numbers in its name."""
        query, found = await self._read_request(request)
        data = self._data(query, found)
        rows = [{"since": data["since"], "until": data["until"], **row} for row in _csv_rows(data)]
        text = StringIO()
        writer = csv.DictWriter(text, dict.fromkeys(chain.from_iterable(rows)))
        writer.writeheader()
        writer.writerows(rows)
        named = {"Content-Disposition": f'attachment; filename="report-{query.day or "today"}.csv"'}
        return web.Response(text=text.getvalue(), content_type="text/csv", headers=NO_STORE | named)

    def _data(self, query: _Query, found: OutcomeReport) -> dict[str, Any]:
        """Return a report that names people as the directory does."""
        names = {address: name for name, address in self._directory().items()}
        return found.data(
            full=query.full, zone=query.zone, name_of=lambda one: names.get(one, one.removeprefix("client:"))
        )

    async def _read_request(self, request: web.Request) -> tuple[_Query, OutcomeReport]:
        sign_in = await self._access.sign_in_of(request)
        if sign_in is None:
            raise RequestError("unauthorized", "sign in on the console's page first")
        sign_in.token.require(Permission.READ)
        query = _query_of(request)
        return query, await self._reports.read(query.day, query.zone)


def _query_of(request: web.Request) -> _Query:
    """Return what a request asks for; raise RequestError."""
    query = request.query
    if query.keys() - _PARAMETERS or len(query) > len(set(query)):
        raise RequestError("invalid", f"the parameters are {', '.join(sorted(_PARAMETERS))}, each once at most")
    day = _day_of(query["day"]) if query.get("day") else None
    zone = zone_of(query.get("zone", ""))
    return _Query(day, zone, query.get("full") == "1", query.get("row", ""))


def _day_of(text: str) -> date:
    """Return a date whose year is one in every zone; raise RequestError."""
    with suppress(ValueError):
        day = date.fromisoformat(text)
        if 1970 < day.year < 9999:
            return day
    raise RequestError("invalid", "day must be a date such as 2026-01-31")


def zone_of(name: str) -> ZoneInfo | None:
    """Return a time zone by its IANA name; None if this machine lacks it."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):  # all seen for names that are none
        return None


def _csv_rows(data: Mapping[str, Any]) -> Iterator[dict[str, str | float]]:
    """Yield the rows of all tables, as in JSON: what each counts, and numbers."""
    for table, found in data.items():
        if not isinstance(found, dict | list):
            continue
        # In a list, the first field is what a row counts.
        rows = found.items() if isinstance(found, dict) else [(next(iter(one.values())), one) for one in found]
        for row, value in rows:
            numbers = value if isinstance(value, dict) else {"minutes" if table == "minutes" else "count": value}
            known = (numbers | numbers.get("results", {})).items()
            yield {"table": table, "row": _safe(row)} | {key: one for key, one in known if isinstance(one, int | float)}


def _safe(cell: str) -> str:
    """Return a cell that a spreadsheet takes as text, not as a formula.

    Source: OWASP, CSV Injection.
    """
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
