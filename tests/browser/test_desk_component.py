"""The desk with a scripted server and phone: what it shows and sends, and what it does when something is missing."""

import re
from itertools import pairwise

import pytest
from playwright.async_api import Page, expect

from conferral.statemachine.step import not_none
from tests.browser.host_page import embedded
from tests.browser.many_sessions import HOSTILE
from tests.browser.scripted_desk import (
    LEG,
    SESSION,
    TOKEN,
    done,
    has_done,
    iso,
    opened,
    party,
    ready,
    ring,
    session,
    talk,
)
from tests.browser.twilio_signaling import until
from tests.docs.generated import ROOT
from tests.support.people import ALICE, BOB, CUSTOMER, DAVE, NUMBER

COMMANDS = f"/sessions/{SESSION}/commands"
#: While a server or a token is missing, and the browser says so in its console.
MISSING = r"Failed to load resource|ERR_"


NOON_S = 1_800_014_400
NOTE_RENEWALS = """
    window.renewedMs = [];
    const ask = window.fetch;
    window.fetch = (url, options) => {
      if (options?.method === "PUT") renewedMs.push(Date.now());
      return ask(url, options);
    };
"""


SHADOW_ROOT = "document.querySelector('conferral-desk').shadowRoot"
RING = "([sid, text]) => phone.ring({ CallSid: sid, From: text }, { [text]: text })"


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


async def test_text_of_callers_bots_and_crm_is_never_markup(desk, windows):
    markup = HOSTILE[0]
    desk.names = [{"name": markup, "status": markup}]
    desk.parked = [session(id="CA9", ref=markup, parties={"customer": party(markup)})]
    past = dict.fromkeys(("session", "customer", "number", "ref", "result"), markup)
    desk.calls = [past | {"at": iso(), "talk_s": 0}]
    page = await ready(windows, desk)
    await expect(page.get_by_role("button", name="Retrieve")).to_have_count(1)
    about = {"brief": markup, "params": {markup: markup}, "from_agent": markup}
    fields = {"number": markup, "ref": markup, "leg": about}
    ringing = session("ringing", phase="ringing", **fields)
    ringing["parties"]["customer"]["address"] = markup
    await desk.push("session", ringing)
    await page.evaluate(RING, [LEG, markup])
    await page.evaluate("phone.call.emit('cancel')")
    await desk.push("session", ringing | {"state": "ended"})
    await expect(page.get_by_role("region", name="My calls today").get_by_text(markup).first).to_be_visible()
    await desk.push("session", ringing)
    await page.evaluate(RING, [LEG, markup])
    await expect(page.get_by_role("region", name="Incoming call").get_by_text(markup).first).to_be_visible()
    await button(page, "Answer").click()
    target = party(markup, call_sid=None)
    parties = {"customer": party(markup, held=True), "agent": party(ALICE, call_sid=LEG, **about), "target": target}
    await desk.push("session", session(state="transferring", phase="consult", parties=parties, **fields))
    await expect(page.get_by_text(f"You talk to {markup}")).to_be_visible()
    await desk.push("session", session(parties=parties, **fields))
    desk.end = {"status": "failed", "reason": markup, "code": 13224}
    await button(page, "Transfer").click()
    await page.get_by_role("option").click()
    await button(page, "Consult").click()
    await expect(page.get_by_role("alert").get_by_text(markup).first).to_be_visible()
    await page.keyboard.press("Escape")
    await button(page, "More").click()
    await expect(page).to_have_title(re.compile(" . Desk . Conferral$"))
    assert await page.evaluate(f"{SHADOW_ROOT}.querySelectorAll('img, script').length") == 0


async def test_the_token_leaves_the_address_at_once(desk, windows):
    page = await opened(windows, f"{desk.url}#{TOKEN}")
    assert page.url == desk.url
    await expect(page.get_by_text("alice", exact=True)).to_be_visible()


async def test_a_link_does_not_replace_the_token_in_use(desk, windows):
    windows.allow(MISSING)
    page = await ready(windows, desk)
    await talk(page, desk)
    await page.evaluate("location.hash = 'of-another'")
    await expect(page.get_by_text("You stay signed in here")).to_be_visible()
    assert page.url == desk.url
    async with page.expect_response(f"**{COMMANDS}*") as answer:
        await button(page, "Hold").click()
    assert (await answer.value).status == 202  # with another token, it would be 401
    desk.tokens = {"next"}
    await desk.break_streams()
    await expect(page.get_by_text("Your sign-in has expired or was withdrawn.")).to_be_visible()
    await page.evaluate("location.hash = 'next'")
    await expect(page.get_by_text("Your sign-in has expired or was withdrawn.")).to_have_count(0)
    await expect(page.get_by_text("You stay signed in here")).to_be_hidden()


async def test_who_calls_and_why_is_shown_before_the_answer(desk, windows):
    page = await ready(windows, desk)
    about = {"brief": "Order 7 is late", "params": {"account": "4711"}, "from_agent": BOB}
    await ring(page, desk, ref="order 7", leg=about)
    card = page.get_by_role("region", name="Incoming call")
    for text in (CUSTOMER, NUMBER, "Order 7 is late", "4711", "bob hands a call over to you.", "order 7", "0:3"):
        await expect(card.get_by_text(text).first).to_be_visible()
    await button(page, "Decline").click()
    assert (await done(page))[-1] == "reject"
    await expect(card).to_have_count(0)


async def test_timer_and_title_say_for_how_long_a_state_has_lasted(desk, windows):
    page = await ready(windows, desk)
    waits = party(CUSTOMER, held=True, since=iso(250))
    parties = {
        "customer": waits,
        "agent": party(ALICE, call_sid=LEG, since=iso(130)),
        "target": party(DAVE, since=iso(260)),
    }
    await talk(page, desk)
    await desk.push("session", session(state="transferring", phase="consult", parties=parties, updated_at=iso(10)))
    await expect(page.get_by_role("timer")).to_have_text(re.compile(r"^2:1\d$"))
    await expect(page).to_have_title(re.compile(rf"^2:1\d Talking: {re.escape(CUSTOMER)} . Desk"))
    held = session()
    held["parties"]["customer"] |= {"held": True, "since": iso(250)}
    await desk.push("session", held)
    await expect(page.get_by_role("timer")).to_have_text(re.compile(r"^4:1\d$"))
    await expect(page).to_have_title(re.compile(rf"^4:1\d On hold: {re.escape(CUSTOMER)} . Desk"))


async def test_hanging_up_removes_the_own_party_before_the_leg_ends(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk)
    await button(page, "Hang up").click()
    await has_done(page, "disconnect")
    await desk.has_sent((COMMANDS, {"type": "remove", "party": LEG}))


async def test_a_call_is_hung_up_although_no_server_accepts_it(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk)
    desk.end = None
    await button(page, "Hang up").click()
    await has_done(page, "disconnect")


async def test_without_the_api_an_agent_can_hang_up_mute_and_send_digits(desk, windows):
    windows.allow(MISSING)
    page = await ready(windows, desk)
    await talk(page, desk)
    desk.is_down = True
    await desk.break_streams()
    why = "Conferral can't serve this page: Redis is not reachable. Your call goes on: you can hang up, mute, and send"
    await expect(page.get_by_text(why)).to_be_visible()
    await button(page, "Mute").click()
    await expect(button(page, "Unmute")).to_be_visible()
    await expect(button(page, "Hold")).to_have_attribute("aria-disabled", "true")
    await button(page, "Digits").click()
    await page.get_by_role("textbox", name="Digits").fill("12#")
    await button(page, "Send").click()
    await page.keyboard.press("Escape")
    await button(page, "Hang up").click()
    await has_done(page, "disconnect")
    assert [one for one in await done(page) if one in ("mute", "digits 12#")] == ["mute", "digits 12#"]
    assert desk.sent == []


async def test_an_expired_token_ends_no_call(desk, windows):
    windows.allow(MISSING)
    page = await ready(windows, desk)
    await talk(page, desk)
    desk.tokens.clear()
    await desk.break_streams()
    await expect(page.get_by_text("Your sign-in has expired or was withdrawn.")).to_contain_text("Your call goes on")
    desk.tokens.add("next")
    await page.evaluate("location.hash = 'next'")
    await button(page, "Hold").click()
    await expect(page.get_by_text("Your sign-in has expired")).to_have_count(0)
    await desk.has_sent((COMMANDS, {"type": "hold", "party": "customer"}))


async def test_a_page_is_asked_for_a_new_token_when_one_is_refused(desk, windows):
    windows.allow(MISSING)
    page = await opened(windows, desk.url)
    await page.evaluate(
        """() => { let count = 0; document.querySelector('conferral-desk').token = async () => `token-${++count}`; }"""
    )
    desk.tokens = {"token-2"}
    await expect(button(page, "Go ready")).to_be_visible()
    await button(page, "Go ready").click()
    await expect(page.get_by_role("status").first).to_have_text("Ready")


async def test_a_lost_leg_that_is_rung_again_is_taken_without_a_click_or_a_ring(desk, windows):
    page = await ready(windows, desk)
    await stop_time(page)
    desk.answers_presence.clear()  # it says which desk takes the call
    asked = len(desk.presence)
    await desk.push("session", session("ringing", {"is_lost": True}, state="transferring", phase="recall"))
    await until(lambda: len(desk.presence) > asked)
    await expect(page.get_by_text(f"Taking your call with {CUSTOMER} back…")).to_be_visible()
    await page.evaluate("([sid, from]) => phone.ring({ CallSid: sid, From: from })", [LEG, CUSTOMER])
    assert "accept" not in await done(page)
    await expect(page.get_by_role("region", name="Incoming call")).to_have_count(0)
    desk.answers_presence.set()
    await has_done(page, "accept")


async def test_who_was_muted_is_muted_again_once_a_lost_line_is_back(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk)
    await button(page, "Mute").click()
    await expect(page.get_by_role("region", name="Call", exact=True)).to_contain_text("Talking · muted")
    await page.evaluate("phone.call.disconnect()")
    await desk.push("session", session("ringing", {"is_lost": True}, state="transferring", phase="recall"))
    await page.evaluate("([sid, from]) => phone.ring({ CallSid: sid, From: from })", [LEG, CUSTOMER])
    await expect(button(page, "Unmute")).to_be_visible()
    assert [one for one in await done(page) if one in ("mute", "unmute", "accept")] == [
        "accept",
        "mute",
        "accept",
        "mute",
    ]


async def test_a_page_after_a_reload_names_a_lost_leg_but_no_leg_elsewhere(desk, windows):
    page = await opened(windows, desk.url)
    await page.evaluate(f"document.querySelector('conferral-desk').token = '{TOKEN}'")
    lost = page.get_by_text("Your line was lost.")
    await desk.push("session", session("ringing", {"is_lost": True}, state="transferring", phase="recall"))
    await expect(lost).to_contain_text(CUSTOMER)
    await desk.push("session", session(state="transferring", phase="consult"))
    await expect(lost).to_have_count(0)


async def test_a_page_that_unloads_ignores_a_call_that_rings(desk, windows):
    page = await ready(windows, desk)
    await ring(page, desk)
    await page.reload()
    assert await page.evaluate("sessionStorage.getItem('ignored')") == "yes"


async def test_the_desk_that_the_server_does_not_register_waits_and_says_so(desk, windows):
    page = await ready(windows, desk)
    desk.registered = "another"  # as the answer to a renewal says, too, which may come after the event
    await desk.push("presence", {"identity": "alice", "status": "ready", "registered": "another"})
    await expect(page.get_by_text("You are ready in another window")).to_be_visible()
    await has_done(page, "destroyed", is_last=True)


async def test_a_desk_that_goes_away_keeps_its_phone_until_its_calls_are_over(desk, windows):
    page = await ready(windows, desk)
    await ring(page, desk)
    await button(page, "Go away").click()
    await button(page, "Answer").click()
    await has_done(page, "accept")
    assert "destroyed" not in await done(page)
    await page.evaluate("phone.call.disconnect()")
    await has_done(page, "destroyed")


@pytest.mark.soak
async def test_a_microphone_that_was_chosen_is_used_again(desk, windows):
    page = await ready(windows, desk)
    plug = "phone.device.audio.plug('built-in', 'headset')"
    await page.evaluate(plug)
    await button(page, "Audio").click()
    await page.get_by_label("Microphone").select_option("headset")
    await has_done(page, "microphone headset", is_last=True)
    await button(page, "Go away").click()
    await has_done(page, "destroyed", is_last=True)
    await button(page, "Go ready").click()
    await has_done(page, "registered", is_last=True)
    await page.evaluate(plug)
    await has_done(page, "microphone headset", is_last=True)
    await page.evaluate("phone.device.audio.inputDevice = null")  # as the SDK when it is unplugged
    await page.evaluate("phone.device.audio.plug('built-in')")
    await expect(page.get_by_label("Microphone").get_by_role("option", name="headset")).to_have_count(0)
    await page.evaluate(plug)
    await has_done(page, "microphone headset,microphone headset", is_last=True)


async def test_a_bad_network_is_shown_while_it_is_bad(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk)
    await page.evaluate("phone.call.emit('warning', 'high-jitter', {})")
    await expect(page.get_by_text("Your network is bad: sound gets lost, or comes late.")).to_be_visible()
    await page.evaluate("phone.call.emit('warning-cleared', 'high-jitter')")
    await expect(page.get_by_text("Your network is bad")).to_have_count(0)
    assert await page.evaluate("phone.options.maxCallSignalingTimeoutMs") == 20_000


async def test_what_cannot_be_done_says_why_when_asked(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk)
    await expect(button(page, "Swap")).to_have_count(0)
    await desk.push("session", session(refused={"park": "a bridge can't wait"}))
    await button(page, "Park").press("Enter")
    await expect(page.get_by_role("status").get_by_text("Park: a bridge can't wait.")).to_be_visible()
    assert desk.sent == []


async def test_digits_in_a_conference_go_to_one_party(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    await button(page, "Digits").click()
    digits = page.get_by_role("textbox", name="Digits")
    await digits.fill("4711#")
    await button(page, "Send").click()
    await expect(digits).to_have_value("")
    await desk.has_sent((COMMANDS, {"type": "press", "party": "customer", "digits": "4711#"}))


async def test_a_call_that_could_not_be_retrieved_rings_if_it_comes_later(desk, windows):
    desk.parked = [session(id=SESSION, state="conferenced", phase="parked")]
    desk.end = {"status": "failed", "reason": "busy", "code": None}
    page = await ready(windows, desk)
    await button(page, f"Retrieve {CUSTOMER}").click()
    await expect(page.get_by_role("alert").filter(has_text="Retrieve: the line is busy.")).to_be_visible()
    await ring(page, desk)
    await expect(button(page, "Answer")).to_be_visible()
    assert "accept" not in await done(page)


async def test_a_parked_call_is_retrieved_and_a_number_called(desk, windows):
    waits = {"customer": party(CUSTOMER, held=True, since=iso(250))}
    desk.parked = [session(id="CA9", state="conferenced", phase="parked", parties=waits, updated_at=iso(5))]
    page = await ready(windows, desk)
    await expect(page.get_by_text("waits for 4 min")).to_be_visible()
    await button(page, f"Retrieve {CUSTOMER}").click()
    await button(page, "Call out").click()
    await page.keyboard.type(DAVE)
    await page.keyboard.press("Enter")
    await expect(button(page, "Call")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(button(page, "Call out")).to_be_focused()
    await desk.has_sent(("/parked/CA9/retrieve", {}), ("/calls", {"to": DAVE}))


#: Keeps what the page around the desk hears.
HEAR = """window.heard = []; {
  const desk = document.querySelector("conferral-desk");
  for (const name of ["desk-incoming", "desk-connected", "desk-ended"])
    desk.addEventListener(name, ({ detail }) => heard.push([name, detail]));
}"""


async def stop_time(page: Page) -> None:
    """Stop the page's clock: a busy machine takes longer than the page waits for what it does not know yet."""
    await page.clock.install()
    await page.clock.pause_at(await page.evaluate("Date.now() + 1000"))


async def test_a_page_hears_of_each_call_in_order_with_what_is_known(desk, windows):
    page = await ready(windows, desk)
    await page.evaluate(f"() => {{ {HEAR} }}")
    await stop_time(page)
    detail = {"session": SESSION, "ref": "order 7", "params": {}}
    await ring(page, desk, ref="order 7")
    await button(page, "Answer").click()
    await expect(page.get_by_text("order 7").first).to_be_visible()
    await page.evaluate("phone.call.disconnect()")  # before the session says that they talk
    names = ["desk-incoming", "desk-connected", "desk-ended"]
    assert await page.evaluate("heard.splice(0)") == [[name, detail] for name in names]
    await ring(page, desk, ref="order 7")
    await button(page, "Decline").click()
    assert await page.evaluate("heard.splice(0)") == [[name, detail] for name in (names[0], names[2])]
    await page.evaluate(RING, ["CA" + "3" * 32, DAVE])
    await desk.push("session", session(state="ended"))
    await page.evaluate("phone.call.emit('cancel')")
    assert [name for name, _ in await page.evaluate("heard")] == [names[0], names[2]]


async def test_a_page_of_another_origin_embeds_it_and_neither_style_leaks(windows):
    """Ten lines are enough, and the page around it hears of each call."""
    async with embedded(windows, script=HEAR) as (page, desk):
        await button(page, "Go ready").click()
        await expect(page.get_by_role("status").first).to_have_text("Ready")
        await stop_time(page)
        await talk(page, desk, ref="order 7")
        await page.evaluate("phone.call.disconnect()")
        detail = {"session": SESSION, "ref": "order 7", "params": {}}
        heard = [["desk-incoming", detail], ["desk-connected", detail], ["desk-ended", detail]]
        assert await page.evaluate("heard") == heard
        away = button(page, "Go away")
        assert await away.evaluate("one => getComputedStyle(one).fontSize") == "14px"
        assert await away.evaluate("one => getComputedStyle(one).color") != "rgb(255, 0, 0)"
        mine = button(page, "Mine")
        assert await mine.evaluate("one => getComputedStyle(one).minHeight") != "36px"
        await away.click()
        go = button(page, "Go ready")
        await page.clock.run_for(1_100)  # it has come under the pointer
        await expect(go).to_have_attribute("aria-disabled", "false")
        assert await go.evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(1, 2, 3)"


@pytest.mark.soak
async def test_nothing_is_too_small_to_read_or_to_touch(desk, windows):
    page = await ready(windows, desk, size={"width": 360, "height": 740})
    await talk(page, desk, ref="order 7")
    await button(page, "More").click()
    shown = f"[...{SHADOW_ROOT}.querySelectorAll('*')].filter((one) => one.checkVisibility())"
    assert min(await page.evaluate(f"{shown}.map((one) => parseFloat(getComputedStyle(one).fontSize))")) >= 12


async def test_presence_is_renewed_as_often_as_the_pages_say(desk, windows):
    (page_says,) = re.findall(
        r"renews its agent's presence every (\d+) to (\d+) s", (ROOT / "docs/desk.md").read_text()
    )
    shortest_s, longest_s = map(int, page_says)
    profile = await not_none((await windows.profile()).browser).new_context()  # no other test gets its clock
    async with profile:
        await profile.clock.install(time=NOON_S)
        await profile.clock.pause_at(NOON_S + 1)
        page = await ready(windows, desk, context=profile)
        await page.evaluate(NOTE_RENEWALS)
        await profile.clock.run_for(34_000)  # silent for longer, the stream counts as lost
        renewed_ms = await page.evaluate("renewedMs")

    pauses_s = [(later - earlier) / 1000 for earlier, later in pairwise(renewed_ms)]
    assert len(pauses_s) >= 2
    assert all(shortest_s <= pause_s <= longest_s for pause_s in pauses_s), pauses_s
