"""The report as a person sees it: in both themes, on a phone and on a desk, with all of its text readable."""

import asyncio
import re
import time

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser import axe, browser_actions
from tests.conferral.cli_helpers import KEYS
from tests.support.outcome_entries import attempt, session, transfer
from tests.support.people import NUMBER, SALES

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
LONG = "sip:a-long-name-of-a-desk-in-another-building@phones.example.com"

#: By the remainder of a number: how a transfer ended, its mode, to whom, and what became of a failed attempt.
RESULTS = (*["completed"] * 6, "failed", *["completed"] * 3, "recalled", "cancelled", "failed")
MODES = ("consult", "warm", "consult", "blind", "consult")
TARGETS = ("client:dave", "client:erin", "+14155550123", "client:dave", LONG, "client:frank", "client:erin")
FAILURES = ("no-answer", "busy", "no-answer", "rejected", "no-answer")


def put_day(redis) -> None:
    """Calls and transfers of today, with every result, and one of the day before yesterday."""
    now_ms = round(time.time() * 1000)
    before_ms = now_ms - 2 * 86_400_000
    redis.xadd(KEYS.outcomes, session(before_ms), id=f"{before_ms}-0")
    for number in range(240):
        result, to = RESULTS[number % len(RESULTS)], TARGETS[number % len(TARGETS)]
        mode, failure = MODES[number % len(MODES)], FAILURES[number % len(FAILURES)]
        rang_s = 2 + number * 7 % 29
        seconds = {"hold_s": f"{20 + number * 13 % 90}"} if mode == "consult" else {}
        if result == "completed":
            one = attempt(to, "answered", rang_s)
            fields = {"answer_s": f"{rang_s}.4", **({"consult_s": f"{5 + number % 40}"} if mode == "consult" else {})}
        else:
            one = attempt(to, failure, 0 if failure == "busy" else 30)
            fields = {"reason": failure, "landed_on": {"recalled": "recall", "failed": "voicemail"}.get(result, "")}
        redis.xadd(KEYS.outcomes, transfer(now_ms, result, one, mode=mode, **seconds, **fields))
        is_abandoned, wait_s = number % 24 == 0, 2 + number * 11 % 23
        agent = f"client:{('alice', 'bob')[number % 2]}"
        ring = attempt(agent, "cancelled", 60) if is_abandoned else attempt(agent, rang_s=2 + number % 9)
        minutes = {"bridged_s": "95", "conference_s": f"{number * 3}", "participant_s": f"{number * 7}"}
        call = {"answer_s": "" if is_abandoned else f"{wait_s}", "number": (NUMBER, SALES)[number % 5 == 0]}
        call["reason"] = ("customer-left", "agent-left")[number % 2]
        redis.xadd(KEYS.outcomes, session(now_ms, ring, direction="inbound", alone_s="1", **call, **minutes))


async def opened(windows, console) -> Page:
    page = await browser_actions.signed_in(windows, console)
    await page.get_by_role("link", name="Report").click()
    await expect(page.get_by_role("heading", name="Report")).to_be_visible()
    return page


@pytest.mark.soak
async def test_the_report_is_readable_in_both_themes_on_a_phone_and_on_a_desk(redis, console, windows, camera):
    put_day(redis)
    page = await opened(windows, console)
    await expect(page.get_by_text("240 calls ended, and 240 transfers")).to_be_visible()
    found = []
    for theme in ("light", "dark"):
        for size in (PHONE, DESK):
            await page.emulate_media(color_scheme=theme)
            await browser_actions.resize(page, size)
            found += await axe.troubles(page, f"{theme}, {size['width']} px")
    assert found == []
    await camera.take(page, "report")


async def test_it_says_first_who_let_it_ring_and_each_row_leads_to_its_calls(redis, console, windows):
    put_day(redis)
    page = await opened(windows, console)
    await expect(page.get_by_text("240 calls ended, and 240 transfers")).to_be_in_viewport()
    table = page.get_by_role("region", name="Table: Who was rung, and who did not answer").get_by_role("table")
    await expect(table.get_by_role("row")).to_have_count(1 + len({*TARGETS}) + 2)
    await expect(table).to_contain_text("+…23")
    await table.get_by_role("link", name="frank").click()
    await expect(page).to_have_url(re.compile(r"#report\?day=\d{4}-\d\d-\d\d&row=\d+$"))  # tomorrow, too, of that day
    calls = page.get_by_role("region", name="calls: frank")
    await expect(calls.get_by_role("link").first).to_be_visible()
    await page.get_by_role("checkbox", name="Show full numbers").check()
    await expect(table).to_contain_text("+14155550123")
    await page.get_by_role("button", name="Day before").click()
    await expect(page).to_have_url(re.compile(r"#report\?day=\d{4}-\d\d-\d\d$"))
    await expect(page.get_by_text("Nothing ended in this period. Choose another.")).to_be_visible()
    assert await axe.troubles(page, "empty") == []
    for rows in ("calls", "transfers"):
        async with page.expect_download() as download:
            await page.get_by_role("link", name=f"CSV: {rows}").click()
        assert re.fullmatch(rf"{rows}-\d{{4}}-\d\d-\d\d\.csv", (await download.value).suggested_filename)


@pytest.mark.soak
async def test_a_late_answer_about_another_day_changes_nothing(redis, console, windows):
    put_day(redis)
    page = await opened(windows, console)
    today = page.get_by_text("240 calls ended, and 240 transfers")
    await expect(today).to_be_visible()
    held: asyncio.Queue[Route] = asyncio.Queue()
    await page.route(re.compile("report.json"), held.put, times=1)
    await page.get_by_role("button", name="Day before").click()
    late = await held.get()
    await page.get_by_role("button", name="Day after").click()
    await expect(today).to_be_visible()
    async with page.expect_response(re.compile("report.json")):
        await late.continue_()
    await expect(today).to_be_visible()
