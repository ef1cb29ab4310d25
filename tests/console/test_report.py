"""The report of today: for those who are signed in, by the same code as the command's page."""

import re
import time
from datetime import datetime, timedelta

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


async def test_a_page_shows_today_with_plots(console, today):
    answer = await console.get("/report")
    text = await answer.text()

    assert (answer.status, answer.content_type, answer.headers["Cache-Control"]) == (200, "text/html", "no-store")
    assert "0 calls ended, and 1 transfer: 1 failed." in text
    assert "1 of 1 ring not answered: +…23 (1)." in text
    assert re.search(r"\d 00:00[+-]\d\d:\d\d to ", text)
    assert text.count("<svg") == 2
    assert re.findall("<text[^>]*>([^<]+)<", text) == ["+…23", "1", "consult", "1"], "destinations, modes, and counts"
    assert '<nav><a href="./">Console</a> <a href="./report?day=yesterday">Yesterday</a></nav>' in text
    assert CUSTOMER not in text


@pytest.mark.parametrize("zone, offset", [("Pacific/Kiritimati", r"\+14:00"), ("Nowhere/Land", r"[+-]\d\d:\d\d")])
async def test_the_days_are_the_reader_s_if_the_zone_is_known(console, today, zone, offset):
    text = await (await console.get(f"/report?zone={zone}")).text()
    assert re.search(rf"\d 00:00{offset} to \S+ \d\d:\d\d{offset}", text)
    assert ("zone=Pacific%2FKiritimati" in text) == (zone == "Pacific/Kiritimati")


async def test_yesterday_has_a_page_of_its_own(console, redis):
    start = datetime.combine(datetime.now().astimezone().date(), datetime.min.time()).astimezone()
    noon, other = (round((start - timedelta(hours=hours)).timestamp() * 1000) for hours in (12, 60))
    for at_ms in (noon, noon, other):
        redis.xadd(KEYS.outcomes, transfer(at_ms, "failed", attempt(CUSTOMER, "no-answer", 30), reason="no-answer"))

    text = await (await console.get("/report?day=yesterday&full=1")).text()
    assert CUSTOMER in text
    assert "0 calls ended, and 2 transfers: 2 failed." in text
    assert len(re.findall(r"\d 00:00[+-]\d\d:\d\d to \S+ 00:00[+-]", text)) == 1
    assert '<a href="./report?day=today&amp;full=1">Today</a>' in text
    text = await (await console.get("/report?full=1")).text()
    assert CUSTOMER not in text
    assert '<a href="./report?day=yesterday&amp;full=1">Yesterday</a>' in text


@pytest.mark.parametrize(
    "query", ["since=yesterday&until=today", "day=7d", "day=", "day=today&day=yesterday", "Day=today"]
)
async def test_another_period_is_refused_with_what_is_possible(console, query):
    answer = await console.get(f"/report?{query}")
    error = (await answer.json())["error"]
    assert (answer.status, error["type"], error["allowed"]) == (422, "invalid", ["today", "yesterday"])
    assert "?day=yesterday; for other periods: conferral report" in error["reason"]


async def test_only_the_pages_own_style_is_allowed(console):
    answer = await console.get("/report")

    policy = answer.headers["Content-Security-Policy"]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-\S+'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        policy,
    )
    assert answer.headers["X-Frame-Options"] == "DENY"


async def test_signing_in_is_required(browser, today):
    assert (await browser.get("/report")).status == 401
    await sign_in(browser)
    assert (await browser.get("/report")).status == 200
