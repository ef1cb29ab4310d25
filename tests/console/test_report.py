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
    for query in (
        "of=rung&row=%2B…23",
        f"full=1&of=rung&row=%2B{CUSTOMER[1:]}",
        "of=failures&row=target+did+not+answer",
    ):
        _, report = await read(console, query)
        (call,) = report["calls"]
        assert re.fullmatch("CA[0-9a-f]{32}", call["session"]), query
        assert report["calls_count"] == 1


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
    assert report["totals"] == ["Nothing ended in this period."]


@pytest.mark.parametrize("query", ["since=yesterday", "day=today", "day=0001-01-01", "day=2026-01-01&day=2026-01-02"])
async def test_what_is_no_day_is_refused_with_what_is_possible(console, query):
    answer, report = await read(console, query)
    assert (answer.status, report["error"]["type"]) == (422, "invalid")
    assert re.search(r"day must be a date such as 2026|the parameters are day,", report["error"]["reason"])


async def test_csv_has_one_number_a_line_and_no_formulas(console, today):
    answer = await console.get("/report.csv?day=&zone=UTC")

    assert (answer.content_type, answer.headers["Cache-Control"]) == ("text/csv", "no-store")
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.reader((await answer.text()).splitlines()))
    assert rows[:2] == [
        ["table", "row", "column", "value"],
        ["Who was rung, and who did not answer", "'+…23", "not answered", "1"],
    ]


@pytest.mark.parametrize("path", ["/report.json", "/report.csv"])
async def test_signing_in_is_required(browser, today, path):
    assert (await browser.get(path)).status == 401
    await sign_in(browser)
    assert (await browser.get(path)).status == 200
