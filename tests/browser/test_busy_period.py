"""What an operator sees after a busy shift: trouble first, and the same numbers as everywhere else."""

import pytest
from playwright.async_api import expect

from tests.browser import axe, browser_actions, busy_period
from tests.browser.windows import NARROW
from tests.conferral.cli_helpers import KEYS, put_desk


@pytest.mark.soak
async def test_sessions_with_problems_are_listed_first(redis, console, windows, camera):
    live = busy_period.put_busy_period(redis)
    page = await browser_actions.signed_in(windows, console)
    rows = browser_actions.sessions(page)
    await expect(rows).to_have_count(len(live))
    for number, words in enumerate(("overdue", "alone in the conference: customer")):
        await expect(rows.nth(number)).to_have_attribute("data-id", live[number].id)
        await expect(rows.nth(number)).to_contain_text(words)
    # Its caller talks to the agent again: a quiet mark, in its place by age.
    recovered = page.locator(f'[data-id="{live[2].id}"]')
    await expect(recovered.locator(".mark.is-plain")).to_contain_text("target was busy")
    tiles = page.get_by_role("list", name="Health at a glance").get_by_role("listitem")
    for label, value in (
        ("Live calls", str(len(live))),
        ("Needs attention", "2"),
        ("Left alone", "1"),
        ("Transfers", str(busy_period.TRANSFERS)),
        ("Failed transfers", f"{busy_period.FAILED}of {busy_period.TRANSFERS}"),
    ):
        await expect(tiles.filter(has_text=label).first).to_contain_text(value)
    await camera.take(page, "console")
    column = page.get_by_role("columnheader", name="Since")
    for order, oldest_first in (("ascending", True), ("descending", False)):
        await column.get_by_role("button").click()
        await expect(column).to_have_attribute("aria-sort", order)
        first = sorted(live, key=lambda one: one.created_at_ms, reverse=not oldest_first)[0]
        await expect(page.locator("[aria-rowindex='2']")).to_have_attribute("data-id", first.id)
    await column.get_by_role("button").click()  # the third click: by attention again
    others = page.get_by_role("columnheader", name="With")
    for order in ("ascending", "descending"):
        await others.get_by_role("button").click()
        await expect(others).to_have_attribute("aria-sort", order)
        await expect(page.locator("[aria-rowindex='2'] .cell-with")).not_to_be_empty()
    await others.get_by_role("button").click()

    await tiles.filter(has_text="Needs attention").get_by_role("link").click()
    await expect(rows).to_have_count(2)
    # A hold counts more than the transfer that it belongs to.
    await page.get_by_role("button", name="on hold", exact=False).click()
    await expect(rows).to_have_count(1)
    await expect(rows.get_by_role("cell").first).to_contain_text("on hold")
    await page.reload()
    await expect(rows).to_have_count(1)
    await page.get_by_role("button", name="Show all").click()
    await expect(rows).to_have_count(len(live))


@pytest.mark.soak
async def test_agents_are_listed_with_their_calls(redis, console, windows, camera):
    live = busy_period.put_busy_period(redis)
    ready, away = (*busy_period.PEOPLE, "dave", "heidi"), ("ivan",)
    for person in ready + away:
        put_desk(redis, person, person, "ready" if person in ready else "away", renewed_ms=redis.time()[0] * 1000)
    for fields in busy_period.talks(redis.time()[0] * 1000):
        redis.xadd(KEYS.outcomes, fields)
    page = await browser_actions.signed_in(windows, console)
    await page.get_by_role("link", name="Agents", exact=True).click()
    address = live[4].parties["agent"].address
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=address.removeprefix("client:")))
    talking = [
        one for one in live if one.parties["agent"].status == "connected" and one.parties["agent"].address == address
    ]
    await expect(row.get_by_role("link")).to_have_count(len(talking))
    await expect(row).to_contain_text("busy")
    await expect(row.get_by_role("cell").last).to_contain_text("min")
    assert await axe.troubles(page, "agents") == []
    await camera.take(page, "agents")


@pytest.mark.soak
async def test_the_first_call_is_in_the_upper_half_of_a_phones_screen(redis, console, windows):
    busy_period.put_busy_period(redis)
    page = await browser_actions.signed_in(windows, console)
    await browser_actions.resize(page, NARROW)
    await expect(browser_actions.sessions(page).first).to_be_visible()
    box = await browser_actions.sessions(page).first.bounding_box()
    assert box["y"] < NARROW["height"] / 2


@pytest.mark.soak
async def test_by_touch_the_list_is_sorted_and_no_target_is_small(redis, console, windows):
    live = busy_period.put_busy_period(redis)
    page = await browser_actions.signed_in(windows, console)
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    await page.reload()
    targets = page.locator(".rows-head button, .copy-id")
    await expect(targets).to_have_count(6 + len(live))
    for target in await targets.all():
        box = await target.bounding_box()
        assert (box["width"] >= 44, box["height"] >= 44) == (True, True), box
    await browser_actions.resize(page, NARROW)
    await page.get_by_label("Sort").select_option("since")
    oldest = min(live, key=lambda one: one.created_at_ms)
    await expect(page.locator("[aria-rowindex='2']")).to_have_attribute("data-id", oldest.id)
    await devtools.detach()
