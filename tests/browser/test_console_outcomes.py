"""The console shows outcomes that don't arrive, and sends them again."""

import re

import pytest
from playwright.async_api import expect

from conferral.operations.dead_letters import UNDELIVERED
from conferral.storage import coordinator
from tests.browser.browser_actions import signed_in
from tests.conferral.cli_helpers import CALL, KEYS
from tests.support.owners import owned_by


@pytest.mark.soak
async def test_undelivered_outcomes_and_a_410_are_shown_and_sent_again(redis, console, windows, monkeypatch):
    ids = [
        redis.xadd(KEYS.outcomes, {"id": f"o{number}", "kind": kind, "result": result, "session": CALL})
        for number, (kind, result) in enumerate([("transfer", "failed"), ("session", "ended")])
    ]
    redis.zadd(KEYS.undelivered, dict.fromkeys(ids, 1))
    redis.hset(KEYS.sending_state, mapping={"position": ids[1], "stopped_at": redis.time()[0] * 1000})
    page = await signed_in(windows, console)
    monkeypatch.setattr(coordinator, "SHOWN_DEAD_AFTER_MS", 600_000)  # the owner renews nothing here
    redis.hset(KEYS.owners, coordinator.OUTCOMES, owned_by("w1", redis.time()[0] * 1000))
    await page.get_by_role("link", name=re.compile("^Health")).click()
    await expect(page.get_by_text("outcomes: the receiver responded with 410")).to_be_visible()
    await expect(page.get_by_text("undelivered")).to_have_count(1)  # said once
    await expect(page.get_by_text("2 outcomes undelivered")).to_be_visible()

    await page.get_by_role("link", name="Dead letters").first.click()
    await expect(page.get_by_text("The receiver of outcomes responded with 410 at")).to_be_visible()
    panel = page.get_by_role("region", name="2 undelivered outcomes")
    await expect(panel.get_by_role("listitem")).to_have_count(2)
    await panel.get_by_role("listitem").filter(has_text="transfer.failed").get_by_role("button").click()
    await expect(page.get_by_role("status").filter(has_text="1 outcome will be sent again.")).to_be_visible()
    await page.get_by_role("region", name="1 undelivered outcome").get_by_role("button", name="Send all again").click()
    await expect(page.get_by_text("undelivered outcome")).to_have_count(0)
    assert redis.hget(KEYS.sending, CALL) == f"0 {ids[0]} {ids[1]}"
    redis.hdel(KEYS.sending_state, "stopped_at")
    await expect(page.get_by_text("responded with 410")).to_have_count(0)
    assert UNDELIVERED not in await page.get_by_role("main").inner_text()
