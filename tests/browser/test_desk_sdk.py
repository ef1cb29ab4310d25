"""The desk and Twilio's Voice SDK: the vendored file, and the members that the desk uses."""

import gzip
import json
import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from conferral.webhooks.desk import pages
from tests.browser.scripted_desk import TOKEN
from tests.browser.windows import Windows

DECLARED = json.loads((Path(__file__).parent / "voice_sdk_declarations.json").read_text("utf-8"))
FOLDER = Path(pages.__file__).parent / "static"
SOURCE = "".join((FOLDER / name).read_text("utf-8") for name in ("phone.js", "audio-devices.js"))
PHONE = re.sub(r"//.*|/\*(?:.|\n)*?\*/", "", SOURCE)
#: What holds an object of each type there.
HOLDERS = {
    "Device": r"device|#device",
    "Call": r"call|former|call\.value",
    "AudioHelper": r"audio",
    "OutputDeviceCollection": r"(?:speaker|ringtone)Devices",
}
#: All that a page loads, with the SDK and the libraries; and the desk's own scripts and styles.
COMPRESSED_MAX, OWN_MAX = 129 * 1024, 127 * 1024


@pytest.mark.parametrize("kind", HOLDERS)
def test_the_desk_uses_only_what_the_type_declarations_have(kind):
    declared, emitter = DECLARED[kind], DECLARED["EventEmitter"]["members"]
    holder = rf"(?<![\w\"])(?:{HOLDERS[kind]})\??\."
    members = set(re.findall(rf"{holder}(?!value\b)(\w+)", PHONE))
    assert members
    assert members <= {*declared["members"], *emitter}
    events = set(re.findall(rf'{holder}on\("([\w-]+)"', PHONE))
    assert events <= set(declared.get("events", ()))
    assert bool(events) == (kind != "OutputDeviceCollection")


def test_the_desk_sets_only_options_that_the_device_has():
    (options,) = re.findall(r"new Twilio\.Device\(token, \{([^}]*)\}", PHONE)
    names = set(re.findall(r"(\w+):", options))
    assert "allowIncomingWhileBusy" in names
    assert names <= set(DECLARED["Device"]["options"])


async def test_the_vendored_sdk_loads_without_a_network(desk, windows: Windows):
    page = await windows.open(desk.url)
    await page.evaluate(
        """async () => {
            const script = document.createElement("script");
            script.src = "/desk/voice-sdk.js";
            const loaded = new Promise((done) => (script.onload = done));
            document.head.append(script);
            await loaded;
        }"""
    )
    assert await page.evaluate("[Twilio.Device.version, Twilio.Device.packageName]") == [
        DECLARED["version"],
        DECLARED["package"],
    ]


async def test_the_sdk_is_loaded_only_once_the_agent_goes_ready(desk, windows: Windows):
    asked = []
    page = await windows.open(f"{desk.url}#{TOKEN}")
    page.on("request", lambda request: asked.append(request.url))
    await page.route("**/voice-sdk.js", lambda route: route.abort())
    windows.allow(r"ERR_FAILED")
    go = page.get_by_role("button", name="Go ready")
    await expect(go).to_be_enabled()
    assert await page.evaluate("window.Twilio === undefined")
    await go.click()
    await expect(page.get_by_text("The phone's software could not be loaded.")).to_be_visible()
    assert any(url.endswith("/desk/voice-sdk.js") for url in asked)


async def test_a_refused_microphone_is_a_clear_state(desk, windows: Windows):
    page = await (await windows.profile()).new_page()
    refuse = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); };"
    await page.add_init_script(refuse)
    await page.goto(f"{desk.url}#{TOKEN}")
    await page.get_by_role("button", name="Go ready").click()
    await expect(page.get_by_role("alert")).to_contain_text(
        "The browser refuses the microphone. Allow it for this page"
    )
    await expect(page.get_by_role("status").first).to_have_text("Away")


async def test_all_that_a_page_loads_is_small(desk, windows: Windows):
    page = await windows.open(desk.url)
    sizes = {f"{desk.url}/voice-sdk.js": 0}
    page.on("response", lambda response: sizes.setdefault(response.url, 0))
    await page.reload()
    await expect(page.get_by_role("button", name="Go ready")).to_be_visible()
    assert len(sizes) > 10
    for url in [*sizes]:
        response = await page.request.get(url)
        sizes[url] = len(gzip.compress(await response.body()))
    assert sum(sizes.values()) < COMPRESSED_MAX, sizes


def test_the_desk_itself_is_small():
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir() if path.suffix in (".js", ".css")}
    assert sum(sizes.values()) < OWN_MAX, sizes
