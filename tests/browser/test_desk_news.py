"""What the desk says of a call when others change or end it, and before it is answered: in true words, and once."""

import re

from playwright.async_api import Page, expect

from tests.browser import desk_states
from tests.browser.scripted_desk import LEG, SESSION, done, has_done, iso, opened, party, ready, ring, session, talk
from tests.browser.twilio_signaling import until
from tests.support.people import ALICE, BOB, CUSTOMER, DAVE, NUMBER

#: Takes down what notifications say, of a page that no one sees.
NOTIFICATIONS = """
window.Notification = class {
  static permission = "granted";
  constructor(_title, { body }) { document.documentElement.dataset.notified = body; }
  addEventListener() {}
  close() {}
};
Object.defineProperty(document, "hidden", { get: () => true });
"""


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def said(page: Page):
    """The live region that says what has happened."""
    return page.get_by_role("status").last


def card(page: Page, name: str = "Call"):
    return page.get_by_role("region", name=name, exact=True)


def called(status: str, **changes):
    """Alice calls the customer, whose leg has the status."""
    parties = {"agent": party(ALICE, call_sid=LEG), "customer": party(CUSTOMER, status)}
    return session(direction="outbound", parties=parties, **changes)


async def test_a_call_back_that_fails_says_so_and_is_in_no_call(desk, windows):
    desk_states.setup(desk)
    desk.end = None
    page = await ready(windows, desk)
    await button(page, f"Call back {CUSTOMER}").first.click()
    await desk.push("session", called("dialing"))
    await page.evaluate("([sid, from]) => phone.ring({ CallSid: sid, From: from })", [LEG, NUMBER])
    await has_done(page, "accept")
    await desk.push("session", called("ringing"))
    await expect(card(page).get_by_text(f"{CUSTOMER} is being called.")).to_be_visible()
    await desk.push("session", called("left", state="ended", end_reason="customer-no-answer"))
    why = f"The call has ended: {CUSTOMER} did not answer."
    await expect(card(page).locator(".sentence")).to_have_text(f"Over. {why}")
    await expect(card(page).get_by_role("heading")).to_have_text(CUSTOMER)
    await expect(card(page)).not_to_contain_text("In a call")
    for name in ("Transfer", "Hold", "Digits", "More"):
        await expect(button(page, name)).to_have_attribute("title", "the call is over")
    await expect(said(page)).to_have_text(why)
    await expect(card(page).get_by_role("status").filter(has_text=why)).to_have_count(0)
    await button(page, "Hang up").click()
    await expect(card(page, "Calls")).to_contain_text(why)
    assert [path for path, _ in desk.sent] == ["/calls"]


async def test_what_others_do_to_a_call_is_said_once(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    consult = desk_states.transferring()
    consult["parties"] = {"supervisor": party(BOB)} | consult["parties"]  # no word of who listens
    await desk.push("session", consult)
    back = session(state="conferenced", transfer=consult["transfer"] | {"status": "cancelled", "reason": "target-left"})
    await desk.push("session", back)
    await expect(said(page)).to_have_text("dave left the call.")
    await expect(card(page).locator(".said")).to_have_text("dave left the call.")
    del consult["parties"]["supervisor"]
    await desk.push("session", consult)
    await button(page, "Cancel").click()
    await expect(said(page)).to_have_text("")
    back["transfer"] |= {"reason": "command"}
    await desk.push("session", back | {"parties": consult["parties"]})
    await desk.push("session", back)
    await expect(button(page, "Cancel")).to_have_count(0)
    await expect(said(page)).to_have_text("The transfer was canceled.")

    left = session("left", state="ended", end_reason="customer-left")
    await desk.push("session", left)
    await page.evaluate("phone.call.disconnect()")
    await expect(said(page)).to_have_text("The call has ended: the caller hung up.")
    await ring(page, desk)
    await expect(said(page)).to_have_text("")
    await page.evaluate("phone.call.emit('cancel')")
    await desk.push("session", left)
    await expect(said(page)).to_have_text("The call has ended: the caller hung up.")


async def test_a_parked_call_is_called_so_until_it_is_retrieved(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    await button(page, "Park").click()
    parked = session("left", state="conferenced", phase="parked")
    await desk.push("session", parked)
    await page.evaluate("phone.call.disconnect()")
    await desk.push("parked", {"id": SESSION, "session": parked})
    await expect(card(page, "Calls")).to_contain_text("The call is parked.")
    await desk.push("parked", {"id": SESSION, "session": None})
    await expect(page.get_by_text("The call is parked.")).to_have_count(0)


async def test_a_recall_says_once_why_it_comes(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    desk.end = None
    back = {"mode": "blind", "to": DAVE, "status": "failed", "reason": "no-answer", "code": None}
    await button(page, "Transfer").click()
    await page.get_by_role("combobox").fill(DAVE)
    await button(page, "Transfer and leave").click()
    await desk.push("session", session("left", state="transferring", phase="blind"))
    await page.evaluate("phone.call.disconnect()")
    await desk.push("session", session("ringing", state="transferring", phase="recall", transfer=back))
    await page.evaluate("([sid, from]) => phone.ring({ CallSid: sid, From: from })", [LEG, NUMBER])
    await expect(card(page, "Incoming call")).to_contain_text("Back from dave: no one answered.")
    desk.result |= {"status": "failed", "reason": "no-answer"}
    desk.asked.clear()
    await until(lambda: desk.asked)
    await button(page, "Answer").click()
    await expect(card(page)).to_contain_text("Back from dave: no one answered.")
    await expect(page.get_by_text("no one answered")).to_have_count(1)


async def test_who_calls_and_what_for_is_said_and_nothing_before_it_is_known(desk, windows):
    context = await windows.profile()
    await context.add_init_script(NOTIFICATIONS)
    page = await ready(windows, desk, context=context)
    await page.evaluate("([sid, from]) => phone.ring({ CallSid: sid, From: from })", [LEG, NUMBER])
    await expect(card(page, "Incoming call")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("data-notified", "")
    await expect(page.get_by_text(NUMBER)).to_have_count(0)
    await button(page, "Call out").press("Enter")
    await expect(page.get_by_text("Call out: a call rings.")).to_be_visible()
    await desk.push("session", session("ringing", phase="ringing"))
    await expect(card(page, "Incoming call").locator(".sentence")).to_have_text(f"Incoming call. {CUSTOMER} calls.")
    await expect(page.locator("html")).to_have_attribute("data-notified", f"{CUSTOMER} on {NUMBER}")

    parties = session()["parties"]
    held = {"customer": party(CUSTOMER, held=True), "agent": party(BOB)}
    own = parties["agent"] | {"status": "ringing", "from_agent": BOB}
    for phase, known, text in (
        ("consult", held | {"target": own}, f"Consult. bob asks you first. {CUSTOMER} waits with music."),
        ("warm", held | {"target": own}, f"Three-way call. bob adds you to the call with {CUSTOMER}."),
        ("connected", held | {"party-1": own}, f"Three-way call. bob adds you to the call with {CUSTOMER}."),
        ("blind", held | {"target": own}, "Handover. bob hands a call over to you."),
        ("connected", held | {"supervisor": own}, f"Supervision. You are asked to listen to the call with {CUSTOMER}."),
        ("queued", {"customer": held["customer"], "agent": own}, f"Incoming call. {CUSTOMER} calls."),
        ("ringing", {"agent": party(BOB), "customer": own}, "Colleague. bob, a colleague, calls you."),
    ):
        await desk.push("session", session(phase=phase, parties=known))
        await expect(card(page, "Incoming call").locator(".sentence")).to_have_text(text)
    assert "reject" not in await done(page)


async def test_the_band_counts_from_the_end_of_a_hold_and_says_that_it_is_recorded(desk, windows):
    page = await opened(windows, "about:blank")
    await page.goto(f"{desk.url}#desk-token")
    await button(page, "Go ready").click()
    await expect(page.get_by_role("status").first).to_have_text("Ready")
    await talk(page, desk, state="conferenced")
    band = card(page).locator(".state")
    await expect(band).to_have_text(re.compile(r"^\s*Talking\s*0:[3-5]\d"))
    held = session(state="conferenced")
    held["parties"]["customer"] |= {"held": True, "since": iso(250)}
    await desk.push("session", held)
    await expect(band).to_contain_text(re.compile(r"4:[1-5]\d"))
    talking = session(state="conferenced", updated_at=iso(80), recording="in-progress")
    for party_ in talking["parties"].values():
        party_["since"] = iso(1_000)
    for version in range(2):
        await desk.push("session", talking | {"version": version, "updated_at": iso(80 * (1 - version))})
        await expect(band).to_have_text(re.compile(r"Talking · recording\s*1:[2-5]\d"))
    await desk.push("session", talking | {"recording": "paused"})
    await expect(band).to_contain_text("Talking · recording paused")


async def test_a_calls_news_and_errors_stay_when_another_call_rings_and_ends(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    desk.end = {"status": "failed", "reason": "hold-failed", "code": None}
    await button(page, "Hold").click()
    failed = "Hold: the caller could not be put on hold."
    await expect(card(page).get_by_role("alert")).to_have_text(failed)
    other = session("ringing", {"call_sid": "CA" + "3" * 32}, id="CA" + "4" * 32, phase="recall")
    await desk.push("session", other)
    await page.evaluate("phone.ring({ CallSid: 'CA' + '3'.repeat(32), From: 'x' })")
    incoming = card(page, "Incoming call")
    await expect(incoming.get_by_role("alert")).to_be_attached()
    await desk.push("session", other | {"state": "ended", "end_reason": "customer-left"})
    await expect(incoming.locator(".sentence")).to_have_text("Over. You are not in this call any more.")
    await expect(incoming.get_by_role("alert")).to_have_count(0)
    await expect(incoming.get_by_role("status")).to_have_count(0)
    await expect(button(page, "Answer")).to_have_attribute("title", "the call is over")
    await expect(card(page).get_by_role("alert")).to_have_text(failed)
    await expect(said(page)).to_have_text("")


async def test_the_end_of_a_call_wins_over_what_the_agent_had_planned(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    desk.end = None
    await button(page, "Park").click()
    await desk.sends(f"/sessions/{SESSION}/commands")
    await button(page, "More").click()
    await expect(button(page, "Close")).to_be_visible()
    await desk.push("session", session("left", state="ended", end_reason="customer-left"))
    await expect(said(page)).to_have_text("The call has ended: the caller hung up.")
    await expect(button(page, "Close")).to_have_count(0)


async def test_why_a_button_did_nothing_is_forgotten_with_the_button(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk)
    await desk.push("session", session("ringing", {"call_sid": "CA" + "3" * 32}, id="CA" + "4" * 32, phase="recall"))
    await page.evaluate("phone.ring({ CallSid: 'CA' + '3'.repeat(32), From: 'x' })")
    await button(page, "Answer").press("Enter")
    await expect(page.get_by_text("Answer: end your call first.")).to_be_visible()
    await page.evaluate("phone.call.emit('cancel')")
    await expect(button(page, "Answer")).to_have_count(0)
    await expect(page.get_by_text("Answer: end your call first.")).to_have_count(0)


async def test_an_agent_whom_a_colleague_calls_holds_the_colleague(desk, windows):
    page = await ready(windows, desk)
    parties = {"agent": party(BOB), "customer": party(ALICE, "ringing", call_sid=LEG)}
    call = {"direction": "outbound", "state": "conferenced"}
    await desk.push("session", session(parties=parties, **call))
    await page.evaluate("([sid, from]) => phone.ring({ CallSid: sid, From: from })", [LEG, NUMBER])
    await button(page, "Answer").click()
    parties["customer"]["status"] = "connected"
    await desk.push("session", session(parties=parties, **call))
    await expect(button(page, "Hold")).to_have_attribute("title", "bob hears music")
    await button(page, "Hold").click()
    await desk.has_sent((f"/sessions/{SESSION}/commands", {"type": "hold", "party": "agent"}))
    await desk.push("session", session(parties=parties, **call | {"state": "ended", "end_reason": "agent-left"}))
    await expect(said(page)).to_have_text("The call has ended: bob hung up.")
