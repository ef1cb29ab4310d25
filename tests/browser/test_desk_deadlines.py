"""What the desk says of a command before its result is certain."""

import time
from datetime import datetime

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.scripted_desk import LEG, SESSION, ready, talk

HOLD = (f"/sessions/{SESSION}/commands", {"type": "hold", "party": "customer"})
UNKNOWN = "Hold: not known yet; Conferral has not answered."


@pytest_asyncio.fixture(loop_scope="session")
async def page(desk, windows):
    """In a call; its answers to commands get lost, and it has a clock of its own."""
    windows.allow("Failed to load resource")
    context = await windows.profile()
    await context.clock.install()
    page = await ready(windows, desk, context=context)
    await talk(page, desk, state="conferenced")
    desk.is_answer_lost, desk.end = True, None
    return page


def hold(page: Page):
    return page.get_by_role("button", name="Hold", exact=True)


async def test_command_of_which_nothing_is_heard_has_failed_only_once_its_deadline_is_over(desk, page):
    await hold(page).click()
    await expect(page.get_by_text(UNKNOWN)).to_be_visible()
    # A browser sends a request again whose connection ends before an answer; the command's id is the same.
    assert {str(sent) for sent in desk.sent} == {str(HOLD)}
    (deadline,) = {*desk.deadlines}
    assert 6 <= datetime.fromisoformat(deadline).timestamp() - time.time() <= 8.5
    await expect(hold(page)).to_have_attribute("aria-disabled", "true")

    await page.clock.run_for(8_000)
    await expect(page.get_by_text("it took too long")).to_have_count(0)
    await page.clock.run_for(5_000)
    await expect(page.get_by_text("Hold: it took too long.")).to_be_visible()
    await expect(page.get_by_text(UNKNOWN)).to_have_count(0)
    await expect(hold(page)).to_have_attribute("aria-disabled", "false")


@pytest.mark.parametrize("status, said", [("done", 0), ("failed", 1)])
async def test_desk_asks_for_the_result_of_a_command_whose_answer_was_lost(desk, page, status, said):
    desk.result = {"status": status, "reason": "hold-failed" if said else None, "code": None}
    await hold(page).click()
    await expect(page.get_by_text(UNKNOWN)).to_be_visible()
    await page.clock.run_for(1_500)
    await expect(page.get_by_text(UNKNOWN)).to_have_count(0)
    await expect(page.get_by_text("Hold: the caller could not be put on hold")).to_have_count(said)
    assert len(desk.asked) == 1


async def test_result_stays_unknown_while_the_server_can_not_be_asked(desk, page):
    desk.is_down = True
    await hold(page).click()
    await expect(page.get_by_text(UNKNOWN)).to_be_visible()
    await page.clock.run_for(40_000)
    await expect(page.get_by_text(UNKNOWN)).to_be_visible()
    await expect(page.get_by_text("took too long")).to_have_count(0)

    desk.is_down = False
    desk.result |= {"status": "done"}
    await page.clock.run_for(6_000)
    await expect(page.get_by_text(UNKNOWN)).to_have_count(0)


async def test_hang_up_has_a_deadline_too(desk, page):
    desk.is_answer_lost = False
    await page.get_by_role("button", name="Hang up").click()
    await page.clock.run_for(1_100)
    await desk.has_sent((f"/sessions/{SESSION}/commands", {"type": "remove", "party": LEG}))
    assert len(desk.deadlines) == 1
