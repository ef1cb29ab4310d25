"""The first page of a fresh Offhook: its number, a voice URL, a call, and what to paste."""

from aiohttp import web
from playwright.async_api import expect

from offhook import ACCOUNT_SID, AUTH_TOKEN, NUMBER, Sandbox
from tests.support.ports import free_port

GREETING = "Hello, Ann. For our opening hours, press 1."


async def test_number_gets_a_voice_url_and_a_call(windows, camera):
    async def hello(_request: web.Request) -> web.Response:
        return web.Response(
            text=f"<Response><Gather timeout='60'><Say>{GREETING}</Say></Gather></Response>",
            content_type="text/xml",
        )

    app = web.Application()
    app.router.add_post("/voice", hello)
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with Sandbox() as sandbox:
        sandbox.add_number(NUMBER, status_callback="http://127.0.0.1:9/status")
        page = await windows.open(f"{sandbox.url}/")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Offhook")
        start = page.get_by_role("group").filter(has_text=NUMBER)
        for line in ("offhook run -- COMMAND", ACCOUNT_SID, AUTH_TOKEN, sandbox.url):
            await expect(start).to_contain_text(line)
        await expect(start.get_by_role("button", name=f"Call it: {NUMBER}")).to_have_attribute("aria-disabled", "true")
        await start.get_by_label("voice URL").fill(f"http://127.0.0.1:{port}/voice")
        await start.get_by_role("button", name="Set").click()
        await start.get_by_role("button", name=f"Call it: {NUMBER}").click()
        await expect(page.get_by_role("heading", name="+12025550123")).to_be_visible()
        await expect(page.locator("body")).to_contain_text(f"a voice says: “{GREETING}”")
        await camera.take(page, "offhook")
        assert sandbox.model.state.numbers[NUMBER].status_callback.endswith("/status")
    await runner.cleanup()


async def test_two_phones_with_the_same_ending_differ(windows):
    addresses = ("+14155550123", "+12025550123")
    async with Sandbox() as sandbox:
        for address in addresses:
            sandbox.phone(address)
        page = await windows.open(f"{sandbox.url}/")
        for address in addresses:
            await expect(page.get_by_role("heading", name=address)).to_be_visible()
