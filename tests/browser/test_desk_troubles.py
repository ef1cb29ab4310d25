"""The desk next to others: its other pages, another phone that takes the call, another clock, and a strict page."""

import base64
import json
import re
import time

from aiohttp import web
from playwright.async_api import Page, expect

from conferral.runtime.web.server import run_server
from tests.browser.scripted_desk import (
    IDENTITY,
    LEG,
    TOKEN,
    ScriptedDesk,
    has_done,
    opened,
    ready,
    ring,
    session,
    talk,
)
from tests.support.people import CUSTOMER


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


async def test_a_page_that_newer_ones_have_replaced_connects_again_by_a_click_alone(desk, windows):
    page = await ready(windows, desk)
    await desk.push("replaced", {})
    await desk.break_streams()
    notice = page.get_by_role("alert").filter(has_text="This page is the oldest of yours that are open")
    await page.evaluate(f"document.querySelector('conferral-desk').token = '{TOKEN}'")
    await expect(notice).to_be_visible()
    assert desk.streams_opened == 1
    await button(page, "Connect here").click()
    await expect(notice).to_have_count(0)
    await expect(button(page, "Call out")).to_have_attribute("aria-disabled", "false")
    assert desk.streams_opened == 2


async def test_a_page_without_a_stream_says_why_and_removes_its_leg_before_it_hangs_up(desk, windows):
    windows.allow("Failed to load resource")
    page = await ready(windows, desk)
    desk.refused_streams = "2000 event streams are already open"
    await desk.break_streams()
    why = "Conferral can't serve this page: 2000 event streams are already open."
    await expect(page.get_by_text(why)).to_be_visible()
    await page.evaluate("([sid, from]) => phone.ring({ CallSid: sid, From: from })", [LEG, CUSTOMER])
    await button(page, "Answer").click()
    await button(page, "Hang up").click()
    await has_done(page, "disconnect")
    await desk.has_sent((f"/sessions/{LEG}/commands", {"type": "remove", "party": LEG}))


async def test_who_called_in_is_not_being_called(desk, windows):
    page = await ready(windows, desk)
    await ring(page, desk)
    await button(page, "Answer").click()
    ringing = session("ringing", phase="ringing")
    ringing["parties"]["customer"]["status"] = "ringing"
    await desk.push("session", ringing)
    await expect(page.get_by_text(f"You are being connected to {CUSTOMER}.")).to_be_visible()
    await expect(page.get_by_text("is being called")).to_have_count(0)
    await desk.push("session", ringing | {"direction": "outbound"})
    await expect(page.get_by_text(f"{CUSTOMER} is being called")).to_be_visible()


async def test_a_clock_that_is_an_hour_ahead_asks_for_no_token_at_each_request(desk, windows):
    said = {"identity": "alice", "exp": int(time.time()) + 3_600}
    token = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=") + ".signature"
    desk.tokens.add(token)
    context = await windows.profile()
    await context.add_init_script("const real = Date.now; Date.now = () => real() + 3_600_000;")
    page = await opened(windows, desk.url, context=context)
    await page.evaluate(
        """(token) => {
            window.asked = 0;
            document.querySelector('conferral-desk').token = async () => (window.asked += 1, token);
        }""",
        token,
    )
    await button(page, "Go ready").click()
    await expect(page.get_by_role("status").first).to_have_text("Ready")
    await talk(page, desk)
    await button(page, "Hold").click()
    await expect(button(page, "Hold")).to_have_attribute("aria-disabled", "false")
    assert await page.evaluate("asked") == 1
    await expect(page.get_by_role("timer")).to_have_text(re.compile(r"^0:3"))


async def test_a_page_that_demands_trusted_types_loads_the_sdk(windows):
    """As `docs/desk.md` says; other scripts of a page can't use the desk's policy."""
    crm = web.Application()
    address = []

    async def show(_request: web.Request) -> web.Response:
        text = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>CRM</title>
        <conferral-desk></conferral-desk>
        <script>document.querySelector("conferral-desk").token = async () => "{TOKEN}";</script>
        <script type="module" src="{address[0]}/conferral-desk.js"></script>"""
        policy = "require-trusted-types-for 'script'; trusted-types conferral-desk"
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})

    crm.router.add_get("/", show)
    async with run_server(crm, "127.0.0.1", 0, shutdown_s=0.1) as port:
        origin = f"http://127.0.0.1:{port}"
        async with ScriptedDesk(CONFERRAL_DESK_ORIGINS=origin) as desk:
            address.append(desk.url)
            page = await (await windows.profile()).new_page()
            await page.add_init_script("navigator.mediaDevices.getUserMedia = async () => new MediaStream();")
            await page.route("**/access-token", lambda route: route.abort())  # the phone would ask Twilio
            windows.allow("ERR_FAILED")
            await page.goto(origin)
            await button(page, "Go ready").click()
            await expect(page.get_by_role("alert").filter(has_text="Conferral can't be reached").first).to_be_visible()
            loaded = "const check = () => (window.Twilio?.Device ? done() : setTimeout(check, 20));"
            await page.evaluate(f"new Promise((done) => {{ {loaded} check(); }})")
            await page.close()


async def test_who_did_not_answer_a_waiting_caller_is_away_until_a_click(desk, windows):
    page = await ready(windows, desk)
    desk.reason = "no-answer"
    await desk.push("presence", {"identity": IDENTITY, "status": "away", "reason": desk.reason})
    notice = page.get_by_text("You did not answer a caller who waits, so you are away.")
    await expect(notice).to_be_visible()
    await desk.says_that_it_is("ready", "away")
    assert desk.reason, "nothing but a click ends it"
    await button(page, "Go ready").click()
    await desk.says_that_it_is("away", "ready")
    await expect(notice).to_have_count(0)
    assert not desk.reason


async def test_a_desk_shows_how_many_wait_and_for_how_long_the_first_has(desk, windows):
    page = await ready(windows, desk)
    waiting = page.get_by_role("region", name="Waiting callers")
    await expect(waiting).to_have_count(0)
    since = ("2026-01-01T00:00:30.000Z", "2026-01-01T00:00:00.000Z")
    for number, at in enumerate(since):
        queued = session() | {"id": f"s{number}", "state": "conferenced", "phase": "queued", "queued_since": at}
        await desk.push("queued", {"id": f"s{number}", "session": queued})
    await expect(waiting).to_contain_text("2 waiting, the first for")
    await desk.push("queued", {"id": "s0", "session": None})
    await expect(waiting).to_contain_text("1 waiting")
    await desk.push("queued", {"id": "s1", "session": None})
    await expect(waiting).to_have_count(0)
