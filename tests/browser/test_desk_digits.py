"""The sheet that sends digits: a keypad for touch, and what was sent while it is open."""

from playwright.async_api import Page, expect

from tests.browser import axe
from tests.browser.browser_actions import drawn
from tests.browser.desk_stage import button
from tests.browser.scripted_desk import SESSION, done, ready, talk

COMMANDS = f"/sessions/{SESSION}/commands"
KEYS = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "star", "0", "pound")
PHONE = {"width": 390, "height": 844}


def keypad(page: Page):
    return page.get_by_role("group", name="Keypad")


def field(page: Page):
    return page.get_by_role("textbox", name="Digits")


async def test_digits_are_typed_by_touch_on_keys_that_a_finger_hits(desk, windows):
    page = await ready(windows, desk, size=PHONE)
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    await talk(page, desk)
    await button(page, "Digits").click()
    for name in KEYS:
        key = keypad(page).get_by_role("button", name=name, exact=True)
        box = await key.bounding_box()
        assert (box["width"] >= 44, box["height"] >= 44) == (True, True), box
        await key.click()
    await expect(field(page)).to_have_value("123456789*0#")
    await expect(field(page)).not_to_be_focused()  # it would open the keyboard over the keypad
    await expect(keypad(page).get_by_role("button")).to_have_count(12)
    await button(page, "Send").click()
    await expect(page.get_by_role("status").filter(has_text="Sent: 123456789*0#")).to_be_visible()
    assert "digits 123456789*0#" in await done(page)
    assert await axe.troubles(page, "digits") == []
    await devtools.detach()


async def test_digits_are_typed_on_the_keypad_by_keyboard(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk)
    await button(page, "Digits").press("Enter")
    await expect(field(page)).to_be_focused()
    await page.keyboard.type("4")
    for _ in ("Send", "1", "2"):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Space")
    await expect(field(page)).to_have_value("422")
    await button(page, "Send").press("Enter")
    await expect(page.get_by_role("status").filter(has_text="Sent: 422")).to_be_visible()


async def test_what_was_sent_shows_until_the_sheet_is_closed_and_is_nowhere_after(desk, windows):
    page = await ready(windows, desk)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    await talk(page, desk, state="conferenced")
    await button(page, "Digits").click()
    for digits in ("4711", "#"):
        await field(page).fill(digits)
        await page.keyboard.press("Enter")
        await expect(field(page)).to_have_value("")
    await expect(page.get_by_text("Sent: 4711 #")).to_be_visible()
    await page.keyboard.press("Escape")
    await button(page, "Digits").click()
    await expect(field(page)).to_be_focused()
    await expect(page.get_by_text("Sent:")).to_have_count(0)
    await page.keyboard.press("Escape")
    left = await page.evaluate(
        """() => JSON.stringify([{...localStorage}, {...sessionStorage}, location.href, document.title])
          + document.querySelector("conferral-desk").shadowRoot.innerHTML"""
    )
    assert "4711" not in left
    assert "4711" not in "".join(said)


async def test_digits_of_a_sheet_that_was_closed_do_not_change_the_next_one(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    desk.end = None
    await button(page, "Digits").click()
    await field(page).fill("4711")
    await page.keyboard.press("Enter")
    await desk.has_sent((COMMANDS, {"type": "press", "party": "customer", "digits": "4711"}))
    await page.keyboard.press("Escape")
    await button(page, "Digits").click()
    await field(page).fill("12")
    await expect(button(page, "Send")).to_have_attribute("aria-disabled", "true")
    desk.result = {"status": "done", "reason": None, "code": None}
    await expect(button(page, "Send")).to_have_attribute("aria-disabled", "false")
    await drawn(page)
    await expect(field(page)).to_have_value("12")
    await expect(page.get_by_text("4711")).to_have_count(0)


async def test_a_transfer_that_is_accepted_late_closes_no_other_sheet(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, state="conferenced")
    desk.end = None
    await button(page, "Transfer").click()
    await page.get_by_role("combobox").fill("+14155550199")
    await button(page, "Consult").click()
    await desk.has_sent((COMMANDS, {"type": "transfer", "to": "+14155550199", "mode": "consult"}))
    await page.keyboard.press("Escape")
    await button(page, "Digits").click()
    await field(page).fill("12")
    desk.result = {"status": "done", "reason": None, "code": None}
    async with page.expect_response("**/desk/commands/*"):
        pass
    await drawn(page)
    await expect(field(page)).to_have_value("12")
