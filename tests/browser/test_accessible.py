"""Every view can be used by everyone: rules of accessibility in both themes, on a phone and on a desk."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser import axe, browser_actions, busy_period, test_report
from tests.browser.browser_environment import BrowserEnvironment
from tests.browser.many_sessions import HOSTILE, hostile, put_all
from tests.browser.windows import NARROW, WIDE, Windows
from tests.conferral.cli_helpers import put_desk
from tests.support.people import DAVE

PANELS = ("REST", "Inject faults", "Conferences", "Debugger", "Callbacks")


@dataclass(frozen=True)
class Views:
    """The system to check: everything that can happen is happening."""

    stage: BrowserEnvironment
    console: Page
    phones: Page
    session: str


@pytest_asyncio.fixture(loop_scope="session")
async def views(stage: BrowserEnvironment, windows: Windows, redis) -> AsyncIterator[Views]:
    """A consult transfer under way, a transfer that has failed, hostile names, dead letters."""
    at_ms = redis.time()[0] * 1000
    for number in range(3):
        redis.xadd(
            stage.keys.dead,
            {"dead_reason": f"not UTF-8 {number % 2}", "dead_stream": stage.keys.commands, "type": "x"},
        )
    phones = await windows.open(stage.phones_url)
    console = await browser_actions.signed_in(windows, stage.console)
    await browser_actions.call_alice(phones)
    (call,) = [call for call in stage.sandbox.live_calls() if not call.record.parent_sid]
    await browser_actions.open_session(console, call.sid)
    await browser_actions.give(console, "Transfer", to=DAVE, choices=["Consult"])
    await browser_actions.press(browser_actions.phone(phones, "dave"), "Answer")
    await expect(console.get_by_role("main")).to_contain_text("hears alice")
    put_all(redis, [hostile(number, name, at_ms) for number, name in enumerate(HOSTILE[:3])], stage.keys)
    put_desk(redis, "frank", HOSTILE[0], "ready", renewed_ms=redis.time()[0] * 1000, keys=stage.keys)
    yield Views(stage, console, phones, call.sid)


async def check_everywhere(views: Views, theme: str, size: dict[str, int]) -> None:
    for page in (views.console, views.phones):
        await page.emulate_media(color_scheme=theme)
        await browser_actions.resize(page, size)
    found: list[str] = []

    async def check(page: Page, what: str) -> None:
        found.extend(await axe.troubles(page, f"{what}, {theme}, {size['width']} px"))

    console, address = views.console, views.stage.console.address
    for view, there in (
        ("agents", console.get_by_role("row").nth(1)),
        ("report", console.get_by_role("link", name="CSV: calls")),
        ("health", console.get_by_role("row").nth(1)),
        ("dead", console.get_by_role("heading", name="By reason")),
        ("sessions", browser_actions.sessions(console).first),
    ):
        await console.goto(f"{address}#{view}")
        await expect(there).to_be_visible()
        await check(console, view)
    await console.keyboard.press("?")
    await expect(console.get_by_role("dialog")).to_be_visible()
    await check(console, "keys")
    await console.keyboard.press("Escape")
    await console.goto(f"{address}#session/{views.session}")
    await expect(console.get_by_role("button", name="Complete", exact=True)).not_to_have_attribute(
        "aria-disabled", "true"
    )
    await check(console, "session")
    await browser_actions.unfold(console)
    await (await browser_actions.action(console, "End")).focus()
    await check(console, "session, unfolded")
    if size == NARROW:
        await console.get_by_role("navigation", name="On this page").get_by_role("button", name="Timeline").click()
        await expect(console.get_by_role("heading", name="Timeline")).to_be_focused()
        await expect(console.get_by_role("heading", name="Timeline")).to_be_in_viewport()
    await (await browser_actions.action(console, "End")).click()
    await expect(console.get_by_role("dialog")).to_be_visible()
    await check(console, "form")
    await console.keyboard.press("Escape")
    await browser_actions.call(console).get_by_role("button", name="Listen").click()
    await expect(console.get_by_role("combobox", name="To")).to_be_focused()
    await check(console, "form, whom to call")
    await console.keyboard.press("Escape")
    for panel in PANELS:
        await views.phones.get_by_role("button", name=panel, exact=True).click()
        await check(views.phones, f"phones, {panel}")
    assert not found, "\n".join(found)


@pytest.mark.soak
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_view_is_accessible(views, theme, size):
    await check_everywhere(views, theme, size)


#: Cells that are beyond the window's edge or their table's, which a phone shows no bar to scroll for.
CUT_OFF = """() => [...document.querySelectorAll("table :is(td, th)")].filter((cell) => {
  const { left, right } = cell.getBoundingClientRect();
  const { left: from, right: to } = (cell.closest(".scroll") ?? document.body).getBoundingClientRect();
  return left < right && (left < Math.max(0, from) || right > Math.min(innerWidth, to));
}).map((cell) => cell.textContent)"""


@pytest.mark.parametrize("view", ["agents", "report", "health"])
async def test_no_table_is_cut_off_on_a_phone(redis, console, windows, view):
    if view == "report":
        test_report.put_day(redis)
    else:
        busy_period.put_busy_period(redis)
        put_desk(redis, "dave", "dave", "ready", renewed_ms=redis.time()[0] * 1000)
    page = await browser_actions.signed_in(windows, console)
    await browser_actions.resize(page, test_report.PHONE)
    await page.goto(f"{console.address}#{view}")
    rows = page.get_by_role("row").filter(has=page.locator("td"))
    await expect(rows.first).to_be_visible()
    assert await page.evaluate(CUT_OFF) == []
    named = {"agents": "Status", "report": "not answered", "health": "Outbox"}[view]
    cell = page.locator(f"td[data-label='{named}']").first
    assert await cell.evaluate("cell => getComputedStyle(cell, '::before').content") == f'"{named}"'
    assert await axe.troubles(page, view) == []


WIDTHS = (360, 600, 761, 1000, 1100, 1600)


@pytest.mark.soak
async def test_no_view_is_wider_than_its_window_nor_has_letters_below_12_px(redis, console, windows):
    live = busy_period.put_busy_period(redis)
    page = await browser_actions.signed_in(windows, console)
    found = []
    for view in ("sessions", f"session/{live[3].id}", "agents", "report", "health", "dead"):
        await page.goto(f"{console.address}#{view}")
        await expect(page.get_by_role("heading", level=1).first).to_be_attached()
        for width in WIDTHS:
            await browser_actions.resize(page, {"width": width, "height": 800})
            found += [f"{view}: {line}" for line in await axe.too_wide(page)]
        found += [f"{view}: {line}" for line in await page.evaluate(SMALL_LETTERS)]
    assert found == []


#: Texts that are smaller than 12 px.
SMALL_LETTERS = """() => [...document.querySelectorAll("#page *")].filter((one) =>
  [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim())
  && one.getClientRects().length && parseFloat(getComputedStyle(one).fontSize) < 12
).map((one) => `${one.tagName} ${one.className}: ${one.textContent.slice(0, 40)}`)"""


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.soak)])
async def test_sign_in_is_accessible(console, windows, theme):
    page = await windows.open(console.address, theme=theme, size=NARROW)
    await expect(page.get_by_label("Token")).to_be_visible()
    assert await axe.troubles(page, "sign-in") == []
