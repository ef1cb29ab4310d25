"""Who is let into the console, what a reader may do, and what a page says when no one answers it."""

import re
import time

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser import browser_actions
from tests.browser.browser_environment import TOKEN, Console
from tests.browser.many_sessions import crowd, put_all, session_id
from tests.conferral.cli_helpers import KEYS, set_up
from tests.support.owners import owned_by
from tests.support.token_files import secret_of, table, write_tokens

GONE = r"WebSocket|ERR_CONNECTION_REFUSED|Failed to load resource"


def fill(redis, count: int, *, first: int = 0) -> None:
    put_all(redis, crowd(first + count, redis.time()[0] * 1000)[first:])


async def test_token_holder_can_sign_in_and_out(console, windows):
    windows.allow("401")
    page = await windows.open(console.address)
    await page.get_by_label("Token").fill("not this one")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert").filter(has_text="Wrong token.")).to_be_visible()
    await page.get_by_label("Token").fill(TOKEN)
    await page.keyboard.press("Enter")
    table = page.get_by_role("table", name="Calls")
    await expect(table).to_be_visible()
    await page.reload()
    await expect(table).to_be_visible()
    assert TOKEN not in await page.evaluate("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})")
    other = await windows.open(console.address, context=page.context)
    await expect(other.get_by_role("table", name="Calls")).to_be_visible()
    await page.get_by_role("searchbox").fill("4155550123")
    await expect(page).to_have_url(re.compile("4155550123"))
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Token")).to_be_visible()
    assert "4155550123" not in await page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    await expect(other.get_by_label("Token")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Token")).to_be_visible()


async def test_printed_address_signs_in_and_leaves_no_token_in_the_history(console, windows):
    windows.allow("401")
    page = await browser_actions.signed_in(windows, console)
    assert TOKEN not in page.url
    await page.go_back()
    assert TOKEN not in page.url
    other = await windows.open(f"{console.address}#token=wrong")
    await expect(other.get_by_label("Token")).to_be_visible()
    await expect(other.get_by_role("alert").first).to_contain_text("token")
    await other.goto(console.url)  # the same document: nothing is loaded again
    await expect(other.get_by_role("table", name="Calls")).to_be_visible()
    assert TOKEN not in other.url


async def test_a_page_says_that_it_is_blind_and_recovers_by_itself(redis, console, windows):
    windows.allow(GONE)
    fill(redis, 3)
    page = await browser_actions.signed_in(windows, console)
    await expect(browser_actions.sessions(page)).to_have_count(3)
    await console.stop()
    await expect(page.get_by_text("Disconnected for")).to_be_visible()
    await expect(page.get_by_role("alert").first).to_contain_text("lost")
    await expect(browser_actions.sessions(page)).to_have_count(3)
    fill(redis, 2, first=3)
    await console.start()
    await expect(page.get_by_text("Disconnected for")).to_have_count(0, timeout=40_000)
    await expect(browser_actions.sessions(page)).to_have_count(5)


@pytest.mark.soak
async def test_sign_out_without_an_answer_says_the_browser_is_still_signed_in(console, windows):
    windows.allow(GONE)
    page = await browser_actions.signed_in(windows, console)
    await console.stop()
    await expect(page.get_by_text("Disconnected for")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Token")).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text("This browser is still signed in")


@pytest.mark.soak
async def test_a_lost_worker_is_named_until_others_have_taken_over(redis, console, windows):
    fill(redis, 1)
    redis.zadd(KEYS.workers, {"worker-1": 1})
    page = await browser_actions.signed_in(windows, console)
    banner = page.get_by_text("partitions are waiting for another worker.")
    await expect(banner).to_be_visible()
    await expect(page.get_by_text("1 worker died: worker-1.")).to_be_visible()
    renewed = owned_by("worker-2", round(time.time() * 1000) + 3_000)
    redis.hset(KEYS.owners, mapping={str(number): renewed for number in range(KEYS.partitions)})
    await expect(page.get_by_text("Other workers took over all calls.")).to_be_visible()


@pytest.mark.soak
async def test_lost_redis_is_reported(redis, console, windows):
    fill(redis, 1)
    page = await browser_actions.signed_in(windows, console)
    await expect(browser_actions.sessions(page)).to_have_count(1)
    redis.execute_command("CLIENT", "PAUSE", 6_000)
    await expect(page.get_by_text("No updates from Redis")).to_be_visible()
    await expect(page.get_by_text("No updates from Redis")).to_have_count(0, timeout=40_000)


@pytest_asyncio.fixture(loop_scope="session")
async def reader(redis_server, redis):
    set_up(redis)
    async with Console(redis_server.url, read_only=True) as opened:
        yield opened


async def status_of(page: Page, body: dict, path: str = "commands") -> int:
    """What the server answers a request that the page would not send."""
    return await page.evaluate(
        """async ([path, body]) => (await fetch("./" + path, {
          method: "POST",
          headers: { "Content-Type": "application/json", "X-Conferral": "console" },
          body: JSON.stringify(body),
        })).status""",
        [path, body],
    )


async def test_a_reader_changes_nothing(redis, reader, windows):
    windows.allow("403")
    fill(redis, 1)
    page = await browser_actions.signed_in(windows, reader)
    await browser_actions.open_session(page, session_id(0))
    for label in ("Transfer…", "Convert", "End…"):
        button = await browser_actions.action(page, label.removesuffix("…"))
        await expect(button).to_have_attribute("aria-disabled", "true")
        await expect(button).to_have_accessible_description("this console is read-only")
    assert await status_of(page, {"type": "end", "session": session_id(0)}) == 403
    assert redis.xlen("conferral:commands") == 0


@pytest_asyncio.fixture(loop_scope="session")
async def limited(redis_server, redis, tmp_path):
    set_up(redis)
    path = write_tokens(tmp_path / "tokens.toml", table("desk", ["read", "hold", "end"]), table("wall", ["read"]))
    async with Console(redis_server.url, token_file=path) as opened:
        yield opened, path


async def test_a_named_token_sees_only_what_it_may_do_and_is_out_once_it_is_removed(redis, limited, windows):
    windows.allow("403")
    console, path = limited
    letter = {"dead_reason": "over 64 KiB", "dead_stream": KEYS.commands, "dead_entry": "1-0", "type": "transfer"}
    dead_id = redis.xadd(KEYS.dead, letter)
    fill(redis, 1)
    page = await windows.open(console.address)
    await page.get_by_label("Token").fill(secret_of("desk"))
    await page.keyboard.press("Enter")
    await browser_actions.open_session(page, session_id(0))
    await expect(page.get_by_title("The token that you are signed in with")).to_have_text("desk")
    for label in ("Hold", "End"):
        await expect(await browser_actions.action(page, label)).to_be_visible()
    await expect(page.get_by_role("button", name="Listen")).to_have_count(0)
    for label in ("Transfer…", "Convert", "Mute…"):
        await expect(page.get_by_role("button", name=label)).to_have_count(0)
    await expect(page.get_by_role("heading", name="Transfer", exact=True)).to_have_count(0)
    assert await status_of(page, {"type": "convert", "session": session_id(0)}) == 403
    assert redis.xlen("conferral:commands") == 0
    await page.goto(f"{console.address}#dead")
    await expect(page.get_by_text("Show contents")).to_be_visible()
    await expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    await expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    assert await status_of(page, {"act": "drop", "ids": [dead_id]}, "dead") == 403
    assert redis.xlen(KEYS.dead) == 1
    await page.go_back()

    write_tokens(path, table("desk", ["read"]))
    console.tokens.reload()
    await expect(page.get_by_text("Your token, desk, may send no commands.")).to_be_visible()
    await expect(page.get_by_role("button", name="Hold…")).to_have_count(0)

    write_tokens(path, table("wall", ["read"]))
    console.tokens.reload()
    await expect(page.get_by_label("Token")).to_be_visible()
