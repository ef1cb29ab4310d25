"""A window that is closed, and a desk that is taken out and put back in a call, with the real server.

The page has Twilio's own SDK; its signaling is the local Twilio's, without sound.
"""

import json

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from conferral.runtime.web.pages import SHARED_FOLDER
from tests.browser.desk_stage import DESK_SIZE, DeskStage, button, click, go_ready, reads, says, talking
from tests.browser.test_desk_left import TAKE_OUT
from tests.browser.twilio_signaling import OFFER
from tests.browser.windows import Windows
from tests.support.people import ALICE, CUSTOMER

#: Leads the SDK's sockets to the local Twilio, adds what the SDK needs besides, and gives it a microphone.
PREPARE = """
window.WebSocket = class extends WebSocket {
  constructor() { super("SIGNALING"); }
  addEventListener(name, listener) {
    if (name !== "message") return super.addEventListener(name, listener);
    setInterval(() => this.readyState === 1 && listener({ data: "\\n" }), 5000);
    const more = (payload) => ({ sdp: OFFER, reconnect: "token", ...payload });
    super.addEventListener(name, ({ data }) => {
      const { type, payload } = JSON.parse(data);
      listener({ data: JSON.stringify({ type, payload: type === "invite" ? more(payload) : payload }) });
    });
  }
};
navigator.mediaDevices.getUserMedia = async () => new AudioContext().createMediaStreamDestination().stream;
"""
#: How frameworks put a desk back: the same element, or a new one.
PUT_BACK = {
    "same": "() => document.body.append(window.out)",
    "new": """() => {
      const desk = document.createElement("conferral-desk");
      desk.token = window.out.token;
      document.body.append(desk);
    }""",
}


@pytest_asyncio.fixture(loop_scope="session")
async def stage(redis_server, tmp_path):
    async with DeskStage(redis_server.url, tmp_path) as opened:
        yield opened


async def ready(windows: Windows, stage: DeskStage, context: BrowserContext | None = None) -> Page:
    """Open alice's desk with Twilio's SDK, and go ready."""
    windows.allow(r"ERR_|WebSocket|Twilio|twilio|Failed to load")
    page = await (context or await windows.profile()).new_page()
    signaling = f"{stage.sandbox.url.replace('http', 'ws')}/sandbox/signaling"
    await page.add_init_script(PREPARE.replace("SIGNALING", signaling).replace("OFFER", json.dumps(OFFER)))
    sdk = SHARED_FOLDER / "vendor" / "twilio-voice-sdk.js"
    await page.route("**/desk/voice-sdk.js", lambda route: route.fulfill(path=sdk))
    await page.set_viewport_size(DESK_SIZE)
    await page.goto(f"{stage.public_url}/desk#{await stage.token('alice')}")
    await go_ready(page)
    assert await page.evaluate("Twilio.Device.packageName") == "@twilio/voice-sdk"
    return page


async def closed(windows: Windows, context: BrowserContext) -> None:
    """Close the pages, and forget what the SDK wanted of Twilio: sounds and statistics."""
    for page in context.pages:
        await page.close()
    windows.foreign[:] = [url for url in windows.foreign if ".twilio.com/" not in url]


async def test_a_call_rings_in_the_window_that_is_left_as_soon_as_the_ready_one_is_closed(stage, windows: Windows):
    first = await ready(windows, stage)
    second = await ready(windows, stage, first.context)
    await says(first, "Ready elsewhere")
    await second.close(run_before_unload=True)
    await says(first, "Ready")
    caller = await stage.call_in()
    await click(first, "Answer")
    await reads(first, f"You talk to {CUSTOMER}")
    assert stage.sandbox.request_log.dials_to(ALICE) <= 1
    await click(first, "Hang up")
    await stage.eventually(lambda: caller.status, "the caller's call ends", equals="completed")
    await closed(windows, first.context)


@pytest.mark.parametrize("put_back", PUT_BACK)
async def test_a_desk_that_is_put_back_in_a_call_has_it_again_without_a_click(stage, windows: Windows, put_back):
    page = await ready(windows, stage)
    caller = await talking(stage, page)
    await page.evaluate(TAKE_OUT)
    await stage.eventually(lambda: not stage.sandbox.browsers.is_registered(ALICE), "the desk's phone is gone")
    await page.evaluate(PUT_BACK[put_back])
    await says(page, "On a call")
    await reads(page, f"You talk to {CUSTOMER}")
    assert caller.status == "in-progress"
    await click(page, "Hang up")
    await expect(button(page, "Hang up")).to_have_count(0)
    await stage.eventually(lambda: caller.status, "the caller's call ends", equals="completed")
    await closed(windows, page.context)
