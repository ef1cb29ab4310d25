"""What fails to load, once or for long, is loaded later: the desk is never blank without a word."""

from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from conferral.webhooks.desk import pages
from tests.browser.desk_stage import button, go_ready, reads, says
from tests.browser.host_page import embedded
from tests.browser.scripted_desk import LEG, PHONE, SESSION, TOKEN, has_done, session
from tests.browser.windows import Windows
from tests.support.people import CUSTOMER

FOLDER = Path(pages.__file__).parent / "static"
FAILED = "The desk could not be loaded"
WAS_READY = "sessionStorage.setItem('conferral-desk alice', 'ready');"


class Failing:
    """Requests for some files fail for a while."""

    def __init__(self, times: int, kind: str = "503") -> None:
        self.left = times
        self.kind = kind
        self.failed: list[str] = []

    async def answer(self, route: Route) -> None:
        if self.left <= 0:
            await route.fallback()
            return
        self.left -= 1
        self.failed.append(route.request.url)
        await (route.abort() if self.kind == "abort" else route.fulfill(status=503, body="<h1>No server</h1>"))


async def _open(windows: Windows, url: str, pattern: str, failing: Failing, script: str = "") -> Page:
    windows.allow(r"Failed to load|ERR_FAILED|MIME")
    page = await (await windows.profile()).new_page()
    await page.add_init_script(script)
    await page.add_init_script(path=PHONE)
    await page.route(pattern, failing.answer)
    await page.goto(url)
    return page


def loaded() -> list[str]:
    """What the page loads by itself, without the files that only look."""
    names = [path.name for path in FOLDER.glob("*.js")]
    return [*sorted(names), "shared/html.js", "shared/vendor/preact.mjs", "desk.css", "shared/tokens.css"]


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["503", "abort"])
async def test_each_file_that_fails_twice_is_loaded_later(desk, windows, kind):
    for name in loaded():
        if name == "sdk-loader.js":
            continue
        failing = Failing(2, kind)
        page = await _open(windows, f"{desk.url}#{TOKEN}", f"**/desk/{name}", failing)
        await go_ready(page)
        await expect(page.get_by_text(FAILED).filter(visible=True)).to_have_count(0)
        assert len(failing.failed) == 2, name
        await page.close()


@pytest.mark.parametrize("name", ["conferral-desk.js", "page.js", "rings.js"])
async def test_a_module_that_fails_is_said_and_loaded_later(desk, windows, name):
    failing = Failing(10**6)
    page = await _open(windows, f"{desk.url}#{TOKEN}", f"**/desk/{name}", failing)
    await expect(page.get_by_text(FAILED).filter(visible=True)).to_have_count(1)
    failing.left = 0
    await go_ready(page)
    await expect(page.get_by_text(FAILED).filter(visible=True)).to_have_count(0)


async def test_without_its_style_the_desk_works_and_says_so(desk, windows):
    failing = Failing(10**6)
    page = await _open(windows, f"{desk.url}#{TOKEN}", "**/*.css", failing)
    await go_ready(page)
    await expect(page.get_by_text(FAILED).filter(visible=True)).to_have_count(1)
    failing.left = 0
    await expect(page.get_by_text(FAILED).filter(visible=True)).to_have_count(0)
    await expect(button(page, "Go away")).to_have_css("border-radius", "6px")


async def test_a_call_is_taken_back_although_a_module_fails_after_the_reload(desk, windows):
    desk.sessions[SESSION] = session("ringing", {"is_lost": True}, state="transferring", phase="recall")
    page = await _open(windows, f"{desk.url}#{TOKEN}", "**/desk/desk.*s", Failing(2), WAS_READY)
    await has_done(page, "registered")
    await page.evaluate("sid => phone.ring({ CallSid: sid, From: '' })", LEG)
    await has_done(page, "accept")
    await desk.push("session", session())
    await reads(page, f"You talk to {CUSTOMER}")


async def test_a_page_of_its_own_gets_the_desk_later_too(windows):
    async with embedded(windows) as (page, _):
        failing = Failing(1)
        windows.allow(r"Failed to load")
        await page.route("**/desk/call-view.js", failing.answer)
        await page.reload()
        await button(page, "Go ready").click()
        await says(page, "Ready")
        assert len(failing.failed) == 1
