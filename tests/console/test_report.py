"""The report of a day: for those who are signed in, by the same code as the command's."""

import csv
import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.conferral.cli_helpers import KEYS
from tests.console.console_helpers import sign_in
from tests.support.outcome_entries import attempt, transfer
from tests.support.people import CUSTOMER

pytestmark = pytest.mark.redis


@pytest.fixture
def today(redis):
    """One transfer that a phone let ring."""
    now_ms = int(time.time() * 1000) - 1  # the page shows what ended before it is requested
    redis.xadd(KEYS.outcomes, transfer(now_ms, "failed", attempt(CUSTOMER, "no-answer", 30), reason="no-answer"))


async def read(console, query=""):
    answer = await console.get(f"/report.json?{query}")
    return answer, await answer.json()


async def test_today_in_sentences_and_tables_whose_rows_lead_to_their_calls(console, today):
    answer, report = await read(console)

    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert report["totals"][0] == "0 calls ended, and 1 transfer: 1 failed."
    assert "1 of 1 ring not answered: +…23 (1)." in report["totals"]
    (rung,) = (table for table in report["tables"] if table["name"] == "rung")
    assert (rung["rows"], report["calls"]) == ([["+…23", "1", "0", "1", "30.0 s", ""]], [])
    assert CUSTOMER not in await answer.text()
    for table in report["tables"]:
        for (name, *_), key in zip(table["rows"], table["keys"], strict=True):
            for full in ("", "&full=1"):
                _, report = await read(console, f"row={key}{full}")
                (call,) = report["calls"]
                assert re.fullmatch("CA[0-9a-f]{32}", call["session"]), name
                assert report["calls_count"] == 1


async def test_people_are_named_as_in_the_directory_and_every_row_is_there(open_console, redis):
    now_ms = int(time.time() * 1000) - 1
    for one in ("client:dave", "client:erin", "+14155550177", *(f"client:agent_{number}" for number in range(25))):
        redis.xadd(KEYS.outcomes, transfer(now_ms, "failed", attempt(one, "no-answer", 30), reason="no-answer"))
    console = await open_console(directory=lambda: {"Dave K.": "client:dave", "Billing": "+14155550177"})
    _, report = await read(console)
    (rung,) = (table["rows"] for table in report["tables"] if table["name"] == "rung")
    names = {row[0] for row in rung}
    assert len(rung) == 28
    assert {"Dave K.", "erin", "Billing", "agent_24"} < names


@pytest.mark.parametrize("zone, offset", [("Pacific/Kiritimati", r"\+14:00"), ("Nowhere/Land", r"[+-]\d\d:\d\d")])
async def test_the_days_are_the_reader_s_if_the_zone_is_known(console, today, zone, offset):
    _, report = await read(console, f"zone={zone}")
    assert re.fullmatch(rf"\S+ 00:00{offset} to \S+ \d\d:\d\d{offset}", report["period"])


async def test_any_day_has_a_report_and_one_to_come_is_empty(console, redis):
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)
    for at in (noon, noon, noon + timedelta(days=1)):
        at_ms = round(at.timestamp() * 1000)
        redis.xadd(KEYS.outcomes, transfer(at_ms, "failed", attempt(CUSTOMER, "no-answer", 30), reason="no-answer"))

    _, report = await read(console, f"day={noon.date()}&zone=UTC")
    assert report["totals"][0] == "0 calls ended, and 2 transfers: 2 failed."
    assert report["period"] == f"{noon.date()} 00:00+00:00 to {noon.date() + timedelta(days=1)} 00:00+00:00"
    _, report = await read(console, f"day={noon.date() + timedelta(days=10)}")
    assert report["totals"] == ["Nothing ended in this period. Choose another."]


@pytest.mark.parametrize("query", ["since=yesterday", "day=today", "day=0001-01-01", "day=2026-01-01&day=2026-01-02"])
async def test_what_is_no_day_is_refused_with_what_is_possible(console, query):
    answer, report = await read(console, query)
    assert (answer.status, report["error"]["type"]) == (422, "invalid")
    assert re.search(r"day must be a date such as 2026|the parameters are day,", report["error"]["reason"])


async def test_csv_has_a_row_for_each_transfer_or_each_call(console, today):
    answer = await console.get("/report.csv?day=&zone=Asia/Tokyo&rows=transfers")

    assert (answer.content_type, answer.headers["Cache-Control"]) == ("text/csv", "no-store")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="transfers-today.csv"'
    (row,) = csv.DictReader((await answer.read()).decode("utf-8-sig").splitlines())
    assert (row["reason"], row["not_answered"]) == ("no-answer", "+…23")
    assert datetime.fromisoformat(row["ended_at"]).utcoffset() == timedelta(hours=9)
    full = await (await console.get("/report.csv?rows=transfers&full=1")).text()
    assert CUSTOMER in full
    calls = await console.get("/report.csv?rows=calls")
    assert len((await calls.text()).splitlines()) == 1
    refused = await console.get("/report.csv?rows=sessions")
    assert (refused.status, (await refused.json())["error"]["reason"]) == (422, "rows must be calls or transfers")


@pytest.mark.parametrize("path", ["/report.json", "/report.csv?rows=calls"])
async def test_signing_in_is_required(browser, today, path):
    assert (await browser.get(path)).status == 401
    await sign_in(browser)
    assert (await browser.get(path)).status == 200
