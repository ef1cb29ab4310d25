"""A page that is closed or left, and an element that is taken out and put back."""

import re

from playwright.async_api import expect

from tests.browser.desk_stage import button, reads, says
from tests.browser.host_page import embedded
from tests.browser.scripted_desk import LEG, TOKEN, done, has_done, ready, ring, session, talk
from tests.browser.twilio_signaling import until
from tests.browser.windows import Windows
from tests.support.people import CUSTOMER

NEW_LEG = "CA" + "3" * 32
#: Takes the desk out of the page, as a change of the route does.
TAKE_OUT = "() => { window.out = document.querySelector('conferral-desk'); window.out.remove(); }"
#: The same element, and a new one, as frameworks make.
PUT_BACK = {
    "same": "document.body.append(window.out)",
    "new": f"""() => {{
      const desk = document.createElement("conferral-desk");
      desk.token = async () => "{TOKEN}";
      document.body.append(desk);
    }}""",
}


async def test_a_window_that_is_closed_says_so_and_one_in_a_call_does_not(desk, windows):
    page = await ready(windows, desk)
    other = await ready(windows, desk, context=page.context)
    first, second = dict.fromkeys(desk.desks)
    await other.close(run_before_unload=True)
    await until(lambda: desk.left == [second])
    await talk(page, desk)
    page.on("dialog", lambda dialog: dialog.accept())
    await page.goto("about:blank")
    await until(lambda: not desk.is_followed)
    assert desk.left == [second], "the line is lost, and rings again at the desk that comes next"
    assert first != second


async def test_a_window_that_is_away_has_nothing_to_say(desk, windows):
    page = await ready(windows, desk)
    await button(page, "Go away").click()
    await desk.says_that_it_is("away")
    await page.goto("about:blank")
    await until(lambda: not desk.is_followed)
    assert desk.left == []


async def test_back_to_a_page_that_rang_is_ready_at_once(signaling, signaling_desk, windows: Windows):
    """With Twilio's own SDK, which ends its device when a page is left while a call rings."""
    desk = signaling_desk
    windows.allow(r"ERR_|WebSocket|Twilio|twilio|Failed to load")
    page = await (await windows.profile()).new_page()
    await page.add_init_script(signaling.script)
    await page.goto(f"{desk.url}#{TOKEN}")
    await button(page, "Go ready").click()
    await says(page, "Ready")
    signaling.invite(LEG)
    await expect(button(page, "Answer")).to_be_visible()
    leave = "name => dispatchEvent(new PageTransitionEvent(name, { persisted: true }))"
    await page.evaluate(leave, "pagehide")
    await until(lambda: len(desk.left) == 1 and not signaling.is_registered)
    assert signaling.rejected == [], "it rings on elsewhere"
    renewals, sockets = len(desk.presence), len(signaling.sockets)
    await page.evaluate(leave, "pageshow")
    await until(lambda: signaling.is_registered and len(desk.presence) > renewals)
    assert len(signaling.sockets) == sockets + 1
    assert desk.presence[-1][1] == "ready"
    await expect(button(page, "Answer")).to_have_count(0)
    signaling.invite(LEG)
    await button(page, "Answer").click()
    await says(page, "On a call")
    await page.close()
    windows.foreign[:] = [url for url in windows.foreign if ".twilio.com/" not in url]  # sounds and statistics


async def _takes_back(windows: Windows, put_back: str) -> None:
    async with embedded(windows) as (page, desk):
        await button(page, "Go ready").click()
        await talk(page, desk)
        before = len(desk.presence)
        await page.evaluate(TAKE_OUT)
        await has_done(page, "destroyed", is_last=True)
        assert "away" not in [status for _, status in desk.presence[before:]]
        await desk.push("session", session("ringing", {"is_lost": True, "call_sid": NEW_LEG}, phase="recall"))
        await page.evaluate(put_back)
        await has_done(page, "registered", is_last=True)
        await page.evaluate("sid => phone.ring({ CallSid: sid, From: '' })", NEW_LEG)
        await has_done(page, "accept", is_last=True)
        await desk.push("session", session(leg={"call_sid": NEW_LEG}))
        await reads(page, f"You talk to {CUSTOMER}")
        assert len(set(desk.desks)) == 1


async def test_a_desk_that_is_put_back_takes_its_call_back(windows):
    await _takes_back(windows, PUT_BACK["same"])


async def test_a_new_desk_in_the_place_of_the_old_one_takes_its_call_back(windows):
    await _takes_back(windows, PUT_BACK["new"])


async def test_a_desk_that_is_signed_out_does_not_come_back_by_itself(desk, windows):
    page = await ready(windows, desk)
    await page.context.grant_permissions(["microphone", "notifications"])
    await ring(page, desk)
    await page.evaluate("document.querySelector('conferral-desk').token = null")
    await desk.says_that_it_is("ready", "away")
    windows.allow("401")
    await page.reload()
    await page.evaluate(f"document.querySelector('conferral-desk').token = '{TOKEN}'")
    await expect(page.get_by_role("status").first).to_have_text(re.compile("Away"))
    await desk.says_that_it_is("away", "away")
    assert desk.left == []
    assert await done(page) == []
