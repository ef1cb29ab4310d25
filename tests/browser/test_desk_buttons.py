"""The desk's buttons: each in its place, none that takes a click meant for another, and errors next to them."""

from playwright.async_api import Page, expect

from tests.browser import desk_states
from tests.browser.scripted_desk import SESSION, done, has_done, ready, ring, session, talk
from tests.support.people import CUSTOMER

FIRST = ["Transfer", "Hold", "Mute", "Digits", "Record", "Park", "More", "Hang up"]
SECOND = ["Cancel", "Swap", "Merge", "Complete"]
COMMANDS = f"/sessions/{SESSION}/commands"


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def card(page: Page):
    return page.get_by_role("region", name="Call", exact=True)


async def places(page: Page):
    """Where the buttons of the first row are."""
    return [await button(page, name).bounding_box() for name in FIRST]


async def test_buttons_are_always_there_in_their_order_and_stay_where_they_are(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    rows = card(page).get_by_role("group").get_by_role("button")
    await expect(rows).to_have_text(FIRST)
    before = await places(page)
    for target in ("ringing", "connected"):
        await desk.push("session", desk_states.transferring(target))
        await expect(rows).to_have_text([*FIRST, *SECOND])
        assert await places(page) == before
    desk.end = {"status": "failed", "reason": "busy", "code": None}
    await button(page, "Swap").click()
    await expect(page.get_by_role("alert").filter(has_text="Swap: the line is busy.")).to_be_visible()
    assert await places(page) == before
    await page.evaluate("phone.call.emit('warning', 'high-jitter', {})")
    await expect(page.get_by_text("Your network is bad")).to_be_visible()
    assert await places(page) == before
    left = session(state="conferenced")
    left["parties"]["customer"] |= {"status": "left"}
    await desk.push("session", left)
    await expect(page.get_by_text("You are alone in this call.").first).to_be_visible()
    await expect(rows).to_have_text(FIRST)
    assert await places(page) == before


async def test_one_button_is_the_main_one_in_each_state(desk, windows):
    page = await ready(windows, desk)
    main = page.locator("button.main")
    await expect(main).to_have_text(["Call out"])
    await ring(page, desk)
    await expect(main).to_have_text(["Answer"])
    await button(page, "Answer").click()
    held = session(state="conferenced")
    held["parties"]["customer"]["held"] = True
    left = session(state="conferenced")
    left["parties"]["customer"]["status"] = "left"
    for state, label in (
        (session("confirming"), "Take the call"),
        (session(state="conferenced"), "Transfer"),
        (held, "Unhold"),
        (desk_states.transferring("ringing"), "Cancel"),
        (desk_states.transferring(), "Complete"),
        (left, "Hang up"),
    ):
        await desk.push("session", state)
        await expect(main).to_have_text([label])


async def test_a_button_that_becomes_possible_under_the_pointer_waits_for_a_second(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced", refused={"park": "not now"})
    await page.clock.install()
    await page.clock.pause_at(await page.evaluate("Date.now() + 1000"))
    await button(page, "Park").hover()
    await button(page, "Hold").focus()
    await desk.push("session", session(state="conferenced", refused={"hold": "not now"}))
    await expect(button(page, "Hold")).to_have_attribute("title", "not now")
    await button(page, "Park").click(force=True)
    await desk.push("session", session(state="conferenced", refused={}))
    await expect(button(page, "Hold")).to_have_attribute("title", "The caller hears music")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Park: it has just become possible. Press it again.")).to_be_visible()
    assert desk.sent == []
    await page.clock.run_for(1_100)
    await page.mouse.down()
    await page.mouse.up()
    await expect(button(page, "Park")).to_have_attribute("aria-disabled", "true")  # until its result is known
    await desk.has_sent((COMMANDS, {"type": "park"}))


async def test_a_button_that_appears_under_the_pointer_waits_too_but_mute_and_hang_up_do_not(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    await desk.push("session", desk_states.transferring())
    box = await button(page, "Complete").bounding_box()
    await desk.push("session", session(state="conferenced"))
    await expect(button(page, "Complete")).to_have_count(0)
    await page.clock.install()
    await page.clock.pause_at(await page.evaluate("Date.now() + 1000"))
    await page.mouse.move(box["x"] + 9, box["y"] + 9)
    await desk.push("session", desk_states.transferring())
    await expect(button(page, "Complete")).to_be_visible()
    await page.mouse.down()
    await page.mouse.up()
    assert desk.sent == []
    for name in ("Mute", "Unmute"):
        await button(page, name).click()
    await button(page, "Hang up").hover()
    await button(page, "Hang up").click()
    await page.clock.run_for(1_100)
    await has_done(page, "disconnect")
    assert [one for one in await done(page) if "mute" in one] == ["mute", "unmute"]


async def test_an_error_is_gone_after_the_next_success_and_with_the_call(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    failed = page.get_by_role("alert").filter(has_text="the line is busy")
    for is_success in (True, False):
        desk.end = {"status": "failed", "reason": "busy", "code": None}
        await button(page, "Park").click()
        await expect(failed).to_be_visible()
        desk.end = {"status": "done", "reason": None, "code": None}
        if is_success:
            await button(page, "Hold").click()
        else:
            await page.evaluate("phone.call.disconnect()")
        await expect(failed).to_have_count(0)


async def test_names_keep_their_order_while_people_come_and_go_and_none_is_made_up(desk, windows):
    desk.names = desk_states.NAMES
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    await button(page, "Transfer").click()
    options = page.get_by_role("option")
    order = ["dave", "eve", "bob", "billing", "sales", "support", "carol"]
    shown = [text.split()[0] for text in await options.all_text_contents()]
    assert shown == order
    await desk.push("directory", {"names": [{"name": "carol", "status": "ready"}], "is_all": False})
    await expect(options.last).to_contain_text("ready")
    assert [text.split()[0] for text in await options.all_text_contents()] == order
    sends = [button(page, name) for name in ("Consult", "Add to call", "Transfer and leave")]
    for text, is_possible in (("mallory", False), ("dave", True), ("+14155550199", True), ("4155550199", False)):
        await page.get_by_role("combobox").fill(text)
        for send in sends:
            await expect(send).to_have_attribute("aria-disabled", str(not is_possible).lower())
    await page.get_by_role("combobox").fill("e")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("combobox")).to_have_value("dave")
    await expect(button(page, "Consult")).to_be_focused()
    await button(page, "Add to call").click()
    await expect(button(page, "Transfer")).to_be_focused()
    await desk.has_sent((COMMANDS, {"type": "transfer", "to": "dave", "mode": "warm"}))


async def test_focus_stays_in_the_desk_and_a_change_is_said_once_without_seconds(desk, windows):
    page = await ready(windows, desk)
    await ring(page, desk)
    await button(page, "Answer").press("Enter")
    await expect(card(page)).to_be_focused()
    await desk.push("session", session(state="conferenced"))
    await expect(card(page).get_by_role("status").first).to_have_text(f"Talking. You talk to {CUSTOMER}.")
    await desk.push("session", desk_states.transferring())
    await button(page, "Complete").focus()
    await desk.push("session", session(state="conferenced"))
    await expect(card(page)).to_be_focused()


async def test_shortcuts_work_on_the_desks_own_page_until_the_agent_turns_them_off(desk, windows):
    page = await ready(windows, desk)
    await ring(page, desk)
    await page.keyboard.press("a")
    await has_done(page, "accept")
    await desk.push("session", session(state="conferenced"))
    await expect(card(page)).to_contain_text("Talking")
    await page.keyboard.press("m")
    await expect(button(page, "Unmute")).to_be_visible()
    await button(page, "Digits").click()
    await page.keyboard.type("m")  # in a field
    await expect(page.get_by_role("textbox", name="Digits")).to_have_value("m")
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await page.get_by_role("checkbox", name="Use these keys").uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.press("m")
    await page.keyboard.press("Shift+X")
    await expect(button(page, "Unmute")).to_be_visible()
    assert desk.sent == []


async def test_calls_of_today_say_what_became_of_them_and_are_called_back(desk, windows):
    desk_states.setup(desk)
    page = await ready(windows, desk)
    calls = page.get_by_role("region", name="My calls today").get_by_role("listitem")
    await expect(calls.first).to_contain_text("incoming, missed")
    await expect(calls.nth(1)).to_contain_text("rang while you were busy")
    await expect(calls.nth(2)).to_contain_text(f"{CUSTOMER} · outgoing, talked 3:05")
    await calls.nth(1).get_by_role("button").click()
    await expect(calls.nth(1).get_by_role("button")).to_have_attribute("aria-disabled", "false")
    await desk.has_sent(("/calls", {"to": "+14155550142"}))
    desk.calls = desk.calls[:1]
    await desk.push("session", session("left", state="ended"))
    await expect(calls).to_have_count(1)


async def test_parked_calls_and_colleagues_come_by_the_stream(desk, windows):
    desk_states.setup(desk)
    page = await ready(windows, desk)
    parked = page.get_by_role("region", name="Parked calls")
    await expect(parked).to_contain_text("parked by dave")
    await desk.push("parked", {"id": "CA9", "session": None})
    await expect(parked).to_contain_text("No call is parked.")
    colleagues = page.get_by_role("region", name="Colleagues")
    await expect(colleagues).to_contain_text("dave and eve")
    await desk.push("directory", {"names": [{"name": "dave", "status": "away"}], "is_all": False})
    await expect(colleagues).not_to_contain_text("dave")
    await expect(page.get_by_text("While you are away")).to_have_count(0)
    await button(page, "Go away").click()
    await expect(page.get_by_text("While you are away, callers go to the next agent")).to_be_visible()
