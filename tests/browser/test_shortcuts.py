"""Keys: whatever the layout and Caps Lock, and never from someone who types."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.browser_actions import sessions, signed_in
from tests.browser.desk_stage import button
from tests.browser.host_page import embedded
from tests.browser.many_sessions import crowd, put_all
from tests.browser.scripted_desk import done, ready, ring, talk

SHIFT = 8
#: Fields of the page around the desk: one in a tree that no one outside sees, and others.
FIELDS = """{
  const host = document.body.appendChild(document.createElement("div"));
  const field = document.createElement("input");
  host.attachShadow({ mode: "closed" }).append(field);
  window.inClosed = () => field.focus();
  const text = document.body.appendChild(document.createElement("p"));
  text.contentEditable = true;
  window.inText = () => text.focus();
  document.body.append(document.createElement("input"));
  window.inPlain = () => document.querySelector("input").focus();
}"""


async def press(page: Page, key: str, code: str, modifiers: int = 0) -> None:
    """Press a key as a layout sends it."""
    cdp = await page.context.new_cdp_session(page)
    for kind in ("keyDown", "keyUp"):
        await cdp.send("Input.dispatchKeyEvent", {"type": kind, "key": key, "code": code, "modifiers": modifiers})
    await cdp.detach()


@pytest.mark.parametrize(
    ("answer", "mute", "not_yet", "hang_up"),
    [
        pytest.param("A", "M", "X", "x", id="caps-lock"),
        pytest.param("ф", "ь", "ч", "Ч", id="cyrillic"),
        pytest.param("α", "μ", "χ", "Χ", id="greek"),  # noqa: RUF001
    ],
)
async def test_the_desks_keys_work_with_caps_lock_and_without_latin_letters(
    desk, windows, answer, mute, not_yet, hang_up
):
    page = await ready(windows, desk)
    await ring(page, desk)
    await press(page, answer, "KeyA")
    await expect(page.get_by_role("status").first).to_have_text("On a call")
    await press(page, mute, "KeyM")
    await expect(button(page, "Unmute")).to_be_visible()
    await press(page, not_yet, "KeyX")
    await press(page, mute, "KeyM")
    await expect(button(page, "Mute")).to_be_visible()
    assert "disconnect" not in await done(page), "it ends a call only with Shift"
    await press(page, hang_up, "KeyX", SHIFT)
    await expect(page.get_by_role("status").first).to_have_text("Ready")


async def test_the_letter_counts_not_its_place_where_letters_are_latin(desk, windows):
    page = await ready(windows, desk)
    await ring(page, desk)
    await press(page, "q", "KeyA")  # of AZERTY
    await press(page, "?", "KeyM", SHIFT)
    await expect(page.get_by_role("checkbox", name="Use these keys")).to_be_visible()
    assert "accept" not in await done(page)


@pytest.mark.parametrize("attributes", ["", "shortcuts"])
async def test_no_one_who_types_in_the_page_around_the_desk_hangs_up(windows, attributes):
    async with embedded(windows, attributes=attributes, script=FIELDS) as (page, desk):
        await page.evaluate("localStorage.setItem('conferral-desk-shortcuts', 'true')")
        await page.reload()
        await button(page, "Go ready").click()
        await talk(page, desk)
        for field in ("inClosed", "inText", "inPlain"):
            await page.evaluate(f"window.{field}()")
            await page.keyboard.press("Shift+X")
            await page.keyboard.press("m")
        await expect(button(page, "Mute")).to_be_visible()
        assert "disconnect" not in await done(page)
        await button(page, "Mine").focus()
        await page.keyboard.press("m")
        await expect(button(page, "Unmute" if attributes else "Mute")).to_be_visible()
        await button(page, "Hold").focus()
        await page.keyboard.press("m")
        await expect(button(page, "Mute" if attributes else "Unmute")).to_be_visible()


async def test_the_consoles_keys_work_with_caps_lock_and_without_latin_letters(redis, console, windows):
    put_all(redis, crowd(3, redis.time()[0] * 1000))
    page = await signed_in(windows, console)
    await expect(sessions(page)).to_have_count(3)
    for key, place in (("J", 0), ("о", 1), ("K", 0)):  # noqa: RUF001
        await press(page, key, "KeyK" if key == "K" else "KeyJ")
        await expect(sessions(page).nth(place)).to_have_attribute("aria-current", "true")
    await press(page, "G", "KeyG")
    await press(page, "р", "KeyH")  # noqa: RUF001
    await expect(page.get_by_role("heading", name="Health", exact=True).first).to_be_attached()


async def test_events_that_are_no_presses_of_a_key_raise_no_error(desk, windows):
    """A browser that fills in a form sends `keydown` without a key; scripts send it to the document."""
    page = await ready(windows, desk)
    await page.evaluate("document.body.dispatchEvent(new Event('keydown', { bubbles: true }))")
    await page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'm' }))")
    await page.evaluate("0")
    assert windows.heard == []
