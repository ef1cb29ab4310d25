"""What somebody sees who looks after a busy shift: trouble first, and numbers that are the others' too."""

from playwright.async_api import expect

from tests.browser import players, shift


async def test_what_is_wrong_stands_first(redis_server, console, windows, camera):
    with redis_server.client() as redis:
        live = shift.put_shift(redis)
    page = await players.signed_in(windows, console)
    rows = players.sessions(page)
    await expect(rows).to_have_count(len(live))
    for number, words in enumerate(("overdue", "alone in the conference: customer")):
        await expect(rows.nth(number)).to_have_attribute("data-id", live[number].id)
        await expect(rows.nth(number)).to_contain_text(words)
    # Its caller talks to the agent again: a quiet mark, in its place by age.
    recovered = page.locator(f'[data-id="{live[2].id}"]')
    await expect(recovered.locator(".mark.is-plain")).to_contain_text("failed: the transfer (busy)")
    tiles = page.get_by_role("list", name="Health at a glance").get_by_role("listitem")
    for label, value in (
        ("Live", str(len(live))),
        ("Needs attention", "2"),
        ("Lone now", "1"),
        ("Transfers", str(shift.TRANSFERS)),
        ("Failed", f"{100 * shift.FAILED / shift.TRANSFERS:.1f} %"),
    ):
        await expect(tiles.filter(has_text=label).first).to_contain_text(value)
    await camera.take(page, "console")

    await tiles.filter(has_text="Needs attention").get_by_role("link").click()
    await expect(rows).to_have_count(2)
    await page.get_by_role("button", name="transferring").click()
    await expect(rows).to_have_count(1)
    await page.reload()
    await expect(rows).to_have_count(1)
    await page.get_by_role("button", name="Show all").click()
    await expect(rows).to_have_count(len(live))
