"""A page that is loaded again: back in the call, ready again where it may ring, and an open line taken over.

Chromium has its autoplay policy as shipped.
"""

import asyncio

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.desk_stage import (
    DESK_SIZE,
    DeskStage,
    button,
    click,
    go_ready,
    link,
    reads,
    says,
    talking,
    transfer,
)
from tests.browser.scripted_desk import IDENTITY, LEG, SESSION, ScriptedDesk, done, opened, ready, session, talk
from tests.browser.twilio_signaling import TwilioSignaling
from tests.browser.windows import Windows
from tests.support.people import CUSTOMER

#: Of the ring after the line was lost.
NEW_LEG = "CA" + "3" * 32
#: From the page's load until the two talk again, by the page's own clock (ms).
BACK_MS = 3_000
WAS_READY = f"try {{ sessionStorage.setItem('conferral-desk {IDENTITY}', 'ready'); }} catch {{}}"
#: A call that rings, is answered, and ends: what a test evaluates counts as a click.
CALL = f"""
setInterval(() => {{
  const done = document.documentElement?.dataset.phone ?? "";
  if (done.endsWith(",registered,") && !window.phone.call) window.phone.ring({{ CallSid: "{LEG}", From: "" }});
  if (done.includes(",accept,") && window.isOver) window.phone.call.disconnect();
  window.isOver = done.includes(",accept,");
}}, 300);
"""
#: Notes when the agent is in a call.
MARK = """
const timer = setInterval(() => {
  const desk = document.querySelector("conferral-desk")?.shadowRoot;
  if (desk?.textContent.includes("You talk to")) { performance.mark("back"); clearInterval(timer); }
}, 10);
"""
READY_AGAIN = "You are away: this page was loaded again"


@pytest_asyncio.fixture(loop_scope="session")
async def stage(redis_server, tmp_path):
    async with DeskStage(redis_server.url, tmp_path) as opened:
        yield opened


async def signed_in(stage, windows, identity, **options):
    return await windows.open(await link(stage, identity), size=DESK_SIZE, **options)


@pytest.mark.soak
async def test_a_reload_in_a_consult_brings_the_agent_back_without_a_click(stage, windows: Windows):
    alice, dave = await signed_in(stage, windows, "alice"), await stage.desk(windows, "dave")
    alice.on("dialog", lambda dialog: dialog.accept())
    await alice.add_init_script(MARK)
    await go_ready(alice)
    await talking(stage, alice)
    await transfer(alice, "dave", "Consult")
    await click(dave, "Answer")
    await reads(alice, "You talk to dave")
    await alice.reload()
    await reads(alice, "You talk to dave")
    took_ms = await alice.evaluate("performance.getEntriesByName('back')[0].startTime")
    assert took_ms < BACK_MS, f"{took_ms} ms"
    await click(alice, "Complete")
    await reads(dave, f"You talk to {CUSTOMER}")


async def test_a_page_that_was_ready_is_ready_again_if_it_may_ring(desk, windows):
    page = await ready(windows, desk)
    await page.context.grant_permissions(["microphone", "notifications"])
    await page.goto(f"{desk.url}?again#desk-token")
    await says(page, "Ready")
    await button(page, "Go away").click()
    await page.goto(f"{desk.url}?and-again#desk-token")
    await expect(button(page, "Go ready")).to_be_visible()
    await says(page, "Away")
    assert await done(page) == []


async def test_a_reload_is_the_same_desk_and_another_tab_is_not(desk, windows):
    page = await ready(windows, desk)
    await page.goto(f"{desk.url}?again#desk-token")
    await desk.says_that_it_is("ready", "away")
    assert len(set(desk.desks)) == 1
    await ready(windows, desk, context=page.context)
    assert len(set(desk.desks)) == 2


async def test_a_page_that_may_not_ring_is_away_with_one_large_button(desk, windows):
    context = await windows.profile()
    await context.grant_permissions(["microphone"])
    await context.add_init_script(WAS_READY)
    page = await opened(windows, f"{desk.url}#desk-token", context=context)
    await desk.says_that_it_is("away", "away")  # twice, so it has decided: to look at the page counts as a click
    await expect(page.get_by_text(READY_AGAIN)).to_be_visible()
    await says(page, "Away")
    assert {status for _, status in desk.presence} <= {"away"}
    (box,) = [await one.bounding_box() for one in await button(page, "Go ready").all()]
    assert box["height"] >= 64
    await button(page, "Go ready").click()
    await says(page, "Ready")
    await expect(page.get_by_text(READY_AGAIN)).to_have_count(0)


async def test_after_a_call_that_came_back_by_itself_a_page_that_may_not_ring_goes_away(desk, windows):
    desk.sessions["s"] = session("ringing", leg={"is_lost": True})
    context = await windows.profile()
    await context.add_init_script(WAS_READY + CALL)
    page = await opened(windows, f"{desk.url}#desk-token", context=context)
    await desk.says_that_it_is("ready", "away")
    assert "accept" in await done(page)
    await expect(page.get_by_text(READY_AGAIN)).to_be_visible()
    await says(page, "Away")


async def test_an_open_line_without_a_phone_is_taken_over_by_a_click(desk, windows):
    desk.sessions["s"], desk.registered = session(), "another"
    page = await opened(windows, f"{desk.url}#desk-token")
    await expect(page.get_by_text(f"Your line with {CUSTOMER} is still open")).to_be_visible()
    await button(page, "Take over here").click()
    await desk.sends("/sessions/CA11111111111111111111111111111111/take-over")
    assert (await done(page)) == ["registered"], "it may be rung before the other line ends"
    await says(page, "Ready")
    await desk.push("session", session("ringing", leg={"is_lost": True}))
    await expect(button(page, "Take over here")).to_have_count(0)
    await page.evaluate("sid => phone.ring({ CallSid: sid, From: '' })", LEG)
    await says(page, "On a call")


async def test_a_page_that_gives_no_token_is_asked_again_later_and_later_or_by_a_click(desk, windows):
    page = await opened(windows, desk.url)
    await page.evaluate(
        """() => {
          const asked = (window.asked = []);
          document.querySelector("conferral-desk").token = async () => {
            document.documentElement.dataset.asked = asked.push(performance.now());
            throw new Error("the CRM is away");
          };
        }"""
    )
    notice = page.get_by_role("alert").filter(has_text="This page gave the desk no token")
    await expect(notice).to_contain_text("asks again by itself")
    asked = page.locator("html")
    await expect(asked).to_have_attribute("data-asked", "3")
    first, second, third = await page.evaluate("window.asked")
    assert 2 * (second - first) > third - second > second - first >= 990
    await button(page, "Try again").click()
    await expect(asked).to_have_attribute("data-asked", "4")
    await page.evaluate("document.querySelector('conferral-desk').token = async () => 'desk-token'")
    await expect(notice).to_have_count(0)
    await go_ready(page)


@pytest.mark.soak
async def test_a_line_that_twilio_keeps_after_a_crash_is_taken_over(windows: Windows):
    """With Twilio's own SDK; the leg of the crashed page lives on for 30 s."""
    windows.allow(r"ERR_|WebSocket|Twilio|twilio|Failed to load|crashed")
    async with TwilioSignaling() as signaling, ScriptedDesk(TWILIO_API_URL=signaling.url) as desk:
        context = await windows.profile()
        page = await context.new_page()
        await page.add_init_script(signaling.script)
        await page.goto(f"{desk.url}#desk-token")
        await go_ready(page)
        signaling.invite(LEG)
        await desk.push("session", session("ringing", phase="ringing"))
        await button(page, "Answer").click()
        await desk.push("session", session())
        await reads(page, f"You talk to {CUSTOMER}")
        assert LEG in signaling.legs

        crash = asyncio.ensure_future((await context.new_cdp_session(page)).send("Page.crash"))
        async with asyncio.timeout(60):
            while signaling.is_registered:
                await asyncio.sleep(0.02)  # a delay: the browser's process ends
        desk.registered = "that of the crashed page"
        after = await context.new_page()
        await after.add_init_script(signaling.script)
        await after.goto(f"{desk.url}#desk-token")
        await button(after, "Take over here").click()
        await desk.sends(f"/sessions/{SESSION}/take-over")
        assert LEG in signaling.legs, "Twilio still had it"
        assert signaling.is_registered, "so that it can be rung"
        assert not [path for path, _ in desk.sent if path.endswith("/commands")], "no command lets the agent go"

        signaling.end_leg(LEG)
        desk.registered = ""
        await desk.push("session", session("ringing", {"is_lost": True, "call_sid": NEW_LEG}, phase="recall"))
        signaling.invite(NEW_LEG)
        await says(after, "On a call")
        crash.cancel()
        for one in context.pages:
            await one.close()
        windows.foreign[:] = [url for url in windows.foreign if ".twilio.com/" not in url]  # sounds and statistics


async def test_after_a_take_over_the_other_open_desk_takes_no_ring(desk, windows):
    other = await ready(windows, desk)
    await talk(other, desk)
    other_id = desk.desks[-1]
    desk.registered = other_id
    page = await opened(windows, f"{desk.url}#desk-token")
    await button(page, "Take over here").click()
    await desk.sends(f"/sessions/{SESSION}/take-over")
    await other.evaluate("phone.call.disconnect()")
    await desk.push("session", session("ringing", {"is_lost": True, "call_sid": NEW_LEG}, phase="recall"))
    for one in (other, page):
        await one.evaluate("sid => phone.ring({ CallSid: sid, From: '' })", NEW_LEG)
    await says(page, "On a call")
    assert [(await done(one)).count("accept") for one in (other, page)] == [1, 1]
