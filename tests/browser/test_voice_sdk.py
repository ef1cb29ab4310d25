"""The sandbox's Voice SDK in a page of another origin, such as the desk's."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Page
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VoiceGrant

from conferral.runtime.web.pages import SHARED_FOLDER
from conferral.runtime.web.server import run_server
from offhook import ACCOUNT_SID, CallHandle, Sandbox
from tests.browser.windows import Windows
from tests.support.people import CUSTOMER, NUMBER

API_KEY = ("SK" + "1" * 32, "secret-of-the-api-key-in-these-tests")
TWILIOS_SDK = SHARED_FOLDER / "vendor" / "twilio-voice-sdk.js"
DECLARED = json.loads((Path(__file__).parent / "voice_sdk_declarations.json").read_text())
TWIML = "<Response><Dial><Client>alice</Client></Dial></Response>"
#: Keeps what happens in `log`, and the page's connections in `sockets`.
START = """
([token, options]) => {
  window.log = [];
  window.device = new Twilio.Device(token, options);
  const shown = (it) => (typeof it === "boolean" ? [it] : it?.code ? [it.code] : []);
  const note = (name) => (...given) => log.push([name, ...given.flatMap(shown)]);
  for (const name of Object.values(Twilio.Device.EventName)) device.on(name, note(name));
  device.on("incoming", (call) => {
    window.call = call;
    for (const name of ["accept", "cancel", "disconnect", "error", "mute", "reject", "reconnecting", "reconnected"]) {
      call.on(name, note(`call ${name}`));
    }
  });
  return device.register().catch(() => {});
}
"""
PREPARE = """
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(url) {
    super(window.signaling ?? url);
    window.sockets.push(this);
  }
  // Twilio's own SDK wants a description of the sound, and a token to reconnect.
  addEventListener(name, listener) {
    const more = '"invite","payload":{"sdp":"v=0","reconnect":"token",';
    const described = ({ data }) => data.replace('"invite","payload":{', more);
    super.addEventListener(name, (event) => listener(name === "message" ? { data: described(event) } : event));
  }
};
"""
NAMES = """
() => {
  const own = (it) => (it && it !== Object.prototype
    ? [...Object.getOwnPropertyNames(it), ...own(Object.getPrototypeOf(it))]
    : []);
  const seen = (it, type) => {
    const statics = Object.getOwnPropertyNames(type).filter((name) => !["length", "name", "prototype"].includes(name));
    const enums = statics.filter((name) => typeof type[name] === "object").map((name) => [name, type[name]]);
    return { members: own(it).filter((name) => name !== "constructor"), statics, enums: Object.fromEntries(enums) };
  };
  return {
    Twilio: Object.keys(Twilio),
    Device: seen(device, Twilio.Device),
    Call: seen(call, Twilio.Call),
    AudioHelper: seen(device.audio, device.audio.constructor),
    OutputDeviceCollection: seen(device.audio.speakerDevices, device.audio.speakerDevices.constructor),
  };
}
"""


class DeskStage:
    """A sandbox, and an application of another origin: a page with the script, and the number's voice URL."""

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox = sandbox
        self.url = url

    def token(self, ttl_s: int = 3600) -> str:
        token = AccessToken(ACCOUNT_SID, *API_KEY, identity="alice", ttl=ttl_s)
        token.add_grant(VoiceGrant(incoming_allow=True))
        return token.to_jwt()

    async def open(
        self, windows: Windows, path: str = "", *, token: str = "", script: str = "", **options: object
    ) -> Page:
        """Open the page, and register."""
        page = await (await windows.profile()).new_page()
        await page.add_init_script(PREPARE + script)
        await page.goto(self.url + path)
        await page.evaluate(START, [token or self.token(), options])
        return page

    async def ring(self):
        """Let the customer call; return the legs of the customer and of alice."""
        known = len(self.sandbox.calls_of("client:alice"))
        caller = await self.sandbox.call_in(CUSTOMER, NUMBER)
        await self.sandbox.wait_until(lambda: len(self.sandbox.calls_of("client:alice")) > known)
        return caller, self.sandbox.calls_of("client:alice")[-1]


async def until(page: Page, condition: str) -> None:
    await page.wait_for_function(condition)


async def names_of(page: Page) -> list:
    return await page.evaluate("log")


@pytest_asyncio.fixture(loop_scope="session")
async def desk() -> AsyncIterator[DeskStage]:
    """Name it before `windows`: those close first."""
    app = web.Application()
    async with Sandbox(api_keys=dict([API_KEY])) as sandbox:
        html = "<!doctype html><title>desk</title><script src='/voice-sdk.js'></script>"

        async def page(_request: web.Request) -> web.Response:
            return web.Response(text=html, content_type="text/html")

        async def twilios(_request: web.Request) -> web.Response:
            signaling = f"{sandbox.url.replace('http', 'ws')}/sandbox/signaling"
            script = f"<script>window.signaling = {signaling!r}</script><script src='/twilios.js'></script>"
            return web.Response(text=f"<!doctype html><title>Twilio's</title>{script}", content_type="text/html")

        async def twilios_script(_request: web.Request) -> web.FileResponse:
            return web.FileResponse(TWILIOS_SDK)

        async def voice(_request: web.Request) -> web.Response:
            return web.Response(text=TWIML, content_type="text/xml")

        async def script(_request: web.Request) -> web.Response:
            raise web.HTTPFound(f"{sandbox.url}/sandbox/voice-sdk.js")

        app.router.add_get("/", page)
        app.router.add_get("/voice-sdk.js", script)
        app.router.add_get("/twilios", twilios)
        app.router.add_get("/twilios.js", twilios_script)
        app.router.add_post("/voice", voice)
        async with run_server(app, "127.0.0.1", 0, shutdown_s=0.1) as port:
            sandbox.add_number(NUMBER, voice_url=f"http://127.0.0.1:{port}/voice")
            yield DeskStage(sandbox, f"http://127.0.0.1:{port}/")


async def test_it_has_what_the_sdk_has_and_no_more(desk, windows):
    page = await desk.open(windows)
    await desk.ring()
    await until(page, "window.call")
    seen = await page.evaluate(NAMES)

    assert seen.pop("Twilio") == ["Device", "Call"]
    emitter = set(DECLARED["EventEmitter"]["members"])
    for name, has in seen.items():
        declared = DECLARED[name]
        assert set(has["members"]) <= {*declared["members"], *emitter}, name
        assert set(has["statics"]) <= {*declared.get("static", ()), *declared.get("enums", ())}, name
        for enum, values in has["enums"].items():
            assert values.items() <= declared["enums"][enum].items(), enum
    script = (Path(__file__).parents[2] / "sandbox/offhook/static/voice-sdk.js").read_text()
    events = set(re.findall(r'(?:this\.emit|#close)\("([\w-]+)"', script)) - {"transportClose", "offline"}
    assert events <= {event for name in seen for event in DECLARED[name].get("events", ())}
    options = set(re.findall(r"#options\.(\w+)", script))
    assert options <= set(DECLARED["Device"]["options"])


async def test_call_is_answered_muted_and_ended_without_a_microphone(desk, windows):
    desk.sandbox.phone("client:alice").script(answer_after_s=0.0)
    page, other = await desk.open(windows), await desk.open(windows)
    assert await page.evaluate("[device.state, device.identity]") == ["registered", "alice"]
    caller, leg = await desk.ring()
    await until(page, "window.call")
    await until(other, "window.call")
    about = "[call.parameters.CallSid, call.parameters.From, call.direction, call.status(), device.calls.length]"
    assert await page.evaluate(about) == [leg.sid, CUSTOMER, "INCOMING", "pending", 1]

    await page.evaluate("call.accept()")
    await until(page, "call.status() === 'open'")
    await until(other, "call.status() === 'closed'")
    assert (await page.evaluate("[device.isBusy, device.calls.length]")) == [True, 0]
    assert leg.has_heard(caller)
    await page.evaluate("call.mute(); call.mute(false); call.sendDigits('1#')")
    caller.hang_up()
    await until(page, "call.status() === 'closed'")

    registered = [["registering"], ["registered"], ["incoming"]]
    assert await names_of(other) == [*registered, ["call cancel"]]
    events = [["call accept"], ["call mute", True], ["call mute", False], ["call disconnect"]]
    assert await names_of(page) == [*registered, *events]


@pytest.mark.soak
async def test_decline_ends_the_ringing_in_every_window(desk, windows):
    page, other = await desk.open(windows), await desk.open(windows)
    _, leg = await desk.ring()
    await until(page, "window.call")
    await until(other, "window.call")
    await page.evaluate("call.reject()")
    await until(other, "call.status() === 'closed'")
    assert (leg.status, leg.record.sip_code) == ("busy", 600)
    assert (await names_of(page))[-1] == ["call reject"]


async def test_refused_microphone_declines_the_call(desk, windows):
    refuse = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); };"
    page = await desk.open(windows, script=refuse)
    _, leg = await desk.ring()
    await until(page, "window.call")
    await page.evaluate("call.accept()")
    await until(page, "log.at(-1)[0] === 'call error'")
    assert (await names_of(page))[-2:] == [["call disconnect"], ["call error", 31401]]
    await desk.sandbox.wait_until(lambda: leg.status == "busy")


@pytest.mark.parametrize("answered", [True, pytest.param(False, marks=pytest.mark.soak)])
async def test_reload_ends_the_leg(desk, windows, answered):
    page = await desk.open(windows, closeProtection=False)
    _, leg = await desk.ring()
    await until(page, "window.call")
    if answered:
        await page.evaluate("call.accept()")
        await until(page, "call.status() === 'open'")
    await page.reload()
    await desk.sandbox.wait_until(lambda: leg.status == ("completed" if answered else "busy"))


async def test_call_outlives_a_lost_connection(desk, windows):
    page = await desk.open(windows, maxCallSignalingTimeoutMs=20_000)
    _, leg = await desk.ring()
    await until(page, "window.call")
    await page.evaluate("call.accept()")
    await until(page, "call.status() === 'open'")

    await page.evaluate("sockets.at(-1).close()")
    await until(page, "log.at(-1)[0] === 'registered' && log.some(([name]) => name === 'call reconnected')")

    lost = [["call reconnecting", 53001], ["unregistered"], ["registering"], ["call reconnected"], ["registered"]]
    assert (await names_of(page))[-5:] == lost
    await page.evaluate("call.disconnect()")
    await desk.sandbox.wait_until(lambda: leg.status == "completed")


@pytest.mark.soak
async def test_token_that_expires_unregisters_until_there_is_another(desk, windows):
    page = await desk.open(windows, token=desk.token(ttl_s=2), tokenRefreshMs=1_500)
    await until(page, "log.some(([name]) => name === 'unregistered')")
    seen = [it for it in await names_of(page) if it not in (["registering"], ["registered"])]
    assert seen == [["tokenWillExpire"], ["error", 20104], ["unregistered"]]
    await page.evaluate("([token]) => device.updateToken(token)", [desk.token()])
    await until(page, "device.state === 'registered'")


@pytest.mark.soak
async def test_refused_token_leaves_the_device_unregistered(desk, windows):
    page = await desk.open(windows, token="no.valid.token")
    assert await names_of(page) == [["registering"], ["error", 20101], ["unregistered"]]


async def story_of(desk: DeskStage, page: Page) -> list:
    """What a device reports that takes no call; for both SDKs the same."""

    async def rings() -> CallHandle:
        await page.evaluate("delete window.call")
        caller, _ = await desk.ring()
        await until(page, "window.call")
        return caller

    async def happened(last: str) -> None:
        await until(page, f"log.at(-1)[0] === {last!r}")

    (await rings()).hang_up()
    await happened("call cancel")
    await rings()
    await page.evaluate("call.reject()")
    await happened("call reject")
    caller = await rings()
    await page.evaluate("call.ignore()")
    caller.hang_up()
    await happened("call cancel")
    await page.evaluate("device.unregister()")
    await happened("unregistered")
    await page.evaluate("([token]) => device.updateToken(token)", [desk.token()])
    await happened("registered")
    await page.evaluate("device.updateToken('no.valid.token')")
    await happened("error")
    await page.evaluate("([token]) => device.updateToken(token)", [desk.token()])
    await rings()
    await page.evaluate("sockets.at(-1).close()")
    await happened("incoming")  # it still rings
    await rings()
    await page.evaluate("device.destroy()")
    return await names_of(page)


@pytest.mark.soak
async def test_it_reports_what_twilios_own_sdk_reports(desk, windows):
    """Twilio's own, with the sandbox for its signaling, and without sound."""
    windows.allow("ERR_|Failed to|Twilio")
    ours = await desk.open(windows)
    seen = await story_of(desk, ours)
    await ours.close()
    await desk.sandbox.wait_until(lambda: not desk.sandbox.browsers.is_registered("client:alice"))
    twilios = await desk.open(windows, "twilios", publishEvents=False)

    assert await story_of(desk, twilios) == seen

    windows.foreign.clear()  # its ring tone
