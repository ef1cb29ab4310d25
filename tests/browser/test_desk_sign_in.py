"""Signing in and out at the desk's own page: by links, side by side, over a reload, and to a clear end."""

import pytest
import pytest_asyncio
from playwright.async_api import expect

from conferral.operations.desk_sign_out import end_sign_ins
from conferral.storage.queries.session_reader import SessionReader
from tests.browser.desk_stage import DESK_SIZE, ISSUER, DeskStage, button, go_ready, link, reads, says, talking
from tests.browser.windows import Windows
from tests.support.people import CUSTOMER
from tests.support.ports import free_port
from tests.support.proxies import DeskProxy, proxy
from tests.support.sign_in_proxy import sign_in_proxy

SECRET = "secret-between-proxy-and-desk"


@pytest_asyncio.fixture(loop_scope="session")
async def stage(redis_server, tmp_path):
    async with DeskStage(redis_server.url, tmp_path) as opened:
        yield opened


async def test_links_sign_two_agents_in_side_by_side_and_last_over_a_reload(stage, windows: Windows):
    profile = await windows.profile()
    alice = await windows.open(await link(stage, "alice"), size=DESK_SIZE, context=profile)
    await go_ready(alice)
    dave = await windows.open(await link(stage, "dave"), size=DESK_SIZE, context=profile)
    await go_ready(dave)
    assert [page.url.partition("/desk")[2] for page in (alice, dave)] == ["?as=alice", "?as=dave"]

    await alice.reload()
    await go_ready(alice)
    await expect(alice.locator("header").get_by_text("alice", exact=True)).to_be_visible()


async def test_signing_out_in_a_call_asks_first_and_hangs_up(stage, windows: Windows):
    windows.allow("401")
    page = await windows.open(await link(stage, "alice"), size=DESK_SIZE)
    await go_ready(page)
    caller = await talking(stage, page)
    asked = []

    async def answer(dialog):
        asked.append(dialog.message)
        await (dialog.accept() if len(asked) > 1 else dialog.dismiss())

    page.on("dialog", answer)
    await button(page, "Sign out").click()
    await says(page, "On a call")
    await button(page, "Sign out").click()
    await expect(page.get_by_role("alert")).to_contain_text("You are signed out")
    await stage.eventually(lambda: not caller.is_live, f"{CUSTOMER} is hung up")
    assert stage.sandbox.request_log.dials_to("client:alice") <= 1
    assert "in a call" in asked[0]

    await page.goto(await link(stage, "alice"))  # only the fragment differs: the page isn't loaded again
    await go_ready(page)


async def test_a_page_whose_sign_in_has_ended_says_so_and_a_used_link_too(stage, windows: Windows):
    windows.allow("401")
    used = await link(stage, "alice")
    page = await windows.open(used, size=DESK_SIZE)
    await go_ready(page)
    await end_sign_ins(SessionReader(stage.client, stage.keys), "alice", everything=True)
    await expect(page.get_by_role("alert").first).to_contain_text("You are signed out")
    await page.goto(used.replace("?as", "?again&as"))
    await expect(page.get_by_role("alert").first).to_contain_text("this link was used, or is too old")


async def test_a_link_that_was_cut_in_an_escape_says_what_to_do_and_leaves_the_address(stage, windows: Windows):
    windows.allow("401")
    page = await windows.open(f"{stage.public_url}/desk?as=alice#abc%2", size=DESK_SIZE)
    await expect(page.get_by_role("alert").first).to_contain_text("ask for a new one")
    assert page.url == f"{stage.public_url}/desk?as=alice"


async def test_a_link_for_someone_else_asks_first(stage, windows: Windows):
    page = await windows.open(await link(stage, "alice"), size=DESK_SIZE)
    await go_ready(page)
    asked = []

    async def answer(dialog):
        asked.append(dialog.message)
        await (dialog.accept() if len(asked) > 1 else dialog.dismiss())

    page.on("dialog", answer)
    for identity in ("alice", "dave"):
        await page.goto(await link(stage, "dave"))
        await go_ready(page)
        assert page.url.endswith(f"?as={identity}")
    assert asked == ["You are signed in as alice here. Sign in as dave?"] * 2


async def test_a_token_link_in_a_tab_that_is_signed_in_changes_nothing(stage, windows: Windows):
    page = await windows.open(await link(stage, "alice"), size=DESK_SIZE)
    await go_ready(page)
    await page.goto(f"{stage.public_url}/desk#{await stage.token('dave')}")
    await expect(page.get_by_text("You stay signed in here")).to_be_visible()
    await expect(page.locator("header").get_by_text("alice", exact=True)).to_be_visible()
    assert page.url.endswith("/desk?as=alice")


async def test_a_proxys_refusal_signs_no_one_out(stage, windows: Windows):
    windows.allow("401")
    page = await windows.open(await link(stage, "alice"), size=DESK_SIZE)
    await expect(button(page, "Sign out")).to_be_visible()  # the code has been sent; only what follows is refused
    refused = "**/desk/session"
    await page.route(refused, lambda route: route.fulfill(status=401, body="<h1>Sign in with your company</h1>"))
    await button(page, "Sign out").click()
    await expect(page.get_by_role("alert").first).to_contain_text("You are not signed out yet")
    await expect(page.locator("header").get_by_text("alice", exact=True)).to_be_visible()
    await page.unroute(refused)
    await button(page, "Sign out").click()
    await expect(page.get_by_role("alert").first).to_contain_text("You are signed out")


@pytest.mark.processes
@pytest.mark.parametrize("is_asked", [True, False], ids=["auth-request", "reverse-proxy"])
async def test_a_sign_in_proxy_behind_nginx_signs_in_over_a_reload_and_again(redis_server, tmp_path, windows, is_asked):
    windows.allow("401")
    settings = {
        "CONFERRAL_DESK_URL": f"http://127.0.0.1:{(port := free_port())}",
        "CONFERRAL_DESK_TOKEN_NAME": ISSUER,
        "CONFERRAL_DESK_PROXY_HEADER": "X-Email" if is_asked else "X-Forwarded-Email",
        "CONFERRAL_DESK_PROXY_FROM": "127.0.0.1",
        "CONFERRAL_DESK_PROXY_SECRET": SECRET,
    }
    agents = '[agents.alice]\nname = "Alice A."\nemail = "alice@example.com"\n'
    async with (
        DeskStage(redis_server.url, tmp_path, agents=agents, **settings) as stage,
        sign_in_proxy(stage.public_url, SECRET, "alice@example.com") as other,
    ):
        webhooks_port = int(stage.public_url.rpartition(":")[2])
        with proxy("nginx", tmp_path, webhooks_port, port=port, desk=DeskProxy(other.port, is_asked, SECRET)):
            page = await windows.open(f"http://127.0.0.1:{port}/desk", size=DESK_SIZE)
            await go_ready(page)
            await expect(page.locator("header").get_by_text("Alice A.")).to_be_visible()
            await page.reload()
            await go_ready(page)
            caller = await talking(stage, page)

            other.sessions.clear()  # the proxy's own sign-in ends, and so does Conferral's
            await end_sign_ins(SessionReader(stage.client, stage.keys), "alice", everything=True)
            again = page.get_by_role("link", name="Sign in again")
            await expect(again).to_be_visible()
            async with page.context.expect_page() as opened:
                await again.click()
            window = await opened.value
            await stage.eventually(window.is_closed, "the window closes itself")
            await page.bring_to_front()
            await expect(again).to_be_hidden()
            assert caller.is_live
            await reads(page, f"You talk to {CUSTOMER}")
            await page.close()
