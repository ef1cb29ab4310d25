"""Transfers played by hand: every phone and every command by clicks, and each page says what has become of it."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser import browser_actions
from tests.browser.camera import Camera, Part
from tests.browser.windows import Windows
from tests.support.people import DAVE

#: Of a country that the allow-list doesn't name.
FORBIDDEN = "+33142685300"
#: Of the pictures: the console is one column then.
COLUMN = {"width": 700, "height": 1000}


async def test_a_consult_transfer_is_played_by_clicks_alone(stage, windows: Windows, camera: Camera):
    phones = await windows.open(stage.phones_url)
    await phones.get_by_text("How to use it").click()  # it knows by now
    console = await browser_actions.signed_in(windows, stage.console, size=COLUMN)
    await browser_actions.press(browser_actions.phone(phones, "customer"), "Call")
    await expect(browser_actions.phone(phones, "alice")).to_contain_text("ring ring!")
    (call,) = [call for call in stage.sandbox.live_calls() if not call.record.parent_sid]
    await browser_actions.open_session(console, call.sid)
    await stands(console, "bridged")
    await take_moment(camera, console, phones)

    await browser_actions.press(browser_actions.phone(phones, "alice"), "Answer")
    await stands(console, "bridged", "customer: hears alice", "agent: hears +…23")
    await take_moment(camera, console, phones)

    await (await browser_actions.action(console, "Transfer")).click()
    dialog = console.get_by_role("dialog")
    consult, to = dialog.get_by_role("button", name="Consult"), dialog.get_by_role("combobox", name="To")
    await to.fill("dave")  # no name of the directory
    await expect(consult).to_have_accessible_description("choose a name, or type a number with its plus")
    await to.fill(FORBIDDEN)
    await expect(consult).to_have_accessible_description("the customer hears music while agent and target talk first")
    await consult.click()
    # Refused: the form stays open with what was entered.
    await expect(dialog.get_by_role("alert")).to_contain_text("is not in CONFERRAL_ALLOWED_DESTINATIONS")
    await expect(to).to_have_value(FORBIDDEN)
    await to.fill(DAVE)
    await consult.click()
    await expect(dialog).to_have_count(0)
    await stands(console, "transferring", "customer: hears music")
    await expect(browser_actions.phone(phones, "customer")).to_contain_text("music")
    await expect(browser_actions.phone(phones, "dave")).to_contain_text("ring ring!")
    await take_moment(camera, console, phones)

    await browser_actions.press(browser_actions.phone(phones, "dave"), "Answer")
    await stands(console, "transferring", "target: hears alice", "agent: hears dave", "customer: on hold")
    await expect(browser_actions.phone(phones, "dave")).to_contain_text("you hear alice")
    await take_moment(camera, console, phones)
    await camera.take(phones, "phones")

    await browser_actions.give(console, "Complete")
    await stands(console, "conferenced", "agent: hears +…23")
    await expect(browser_actions.given(console, "complete")).to_contain_text("done")
    await expect(browser_actions.given(console, "transfer").first).to_contain_text("target reached")
    await expect(browser_actions.phone(phones, "customer")).to_contain_text("you hear dave")
    await expect(browser_actions.phone(phones, "alice")).to_contain_text("Not in a call")
    await take_moment(camera, console, phones)

    await browser_actions.press(browser_actions.phone(phones, "customer"), "Hang up")
    await stands(console, "ended")
    transfer = await browser_actions.action(console, "Transfer")
    await expect(transfer).to_have_attribute("aria-disabled", "true")
    await expect(transfer).to_have_accessible_description("the session has ended (customer-left)")
    await expect(console.get_by_text("the session has ended")).to_have_count(1)
    await expect(browser_actions.phone(phones, "dave")).to_contain_text("Not in a call")
    await take_moment(camera, console, phones)
    camera.write_film("consult")
    await stage.settled()


async def take_moment(camera: Camera, console: Page, phones: Page) -> None:
    """Console left: state and who hears whom. Phones right: what is heard in each, and its first buttons."""
    head = console.get_by_role("article", name="Call").locator("header")
    panel = console.get_by_role("region", name="Who hears whom")
    cards = [browser_actions.phone(phones, name) for name in ("customer", "alice", "dave")]
    await camera.frame(
        [Part(head, head), Part(panel, panel)],
        [Part(card, card.locator(".acts")) for card in cards],
    )


async def stands(console: Page, state: str, *words: str) -> None:
    """Waits until the page of a session shows a state, and says so much of who hears whom."""
    await expect(browser_actions.call(console).locator("#state-here")).to_have_text(f"State: {state}")
    people = console.get_by_role("region", name="Who hears whom").get_by_role("listitem")
    for one in words:
        role, text = one.split(": ")
        person = people.filter(has=console.get_by_text(role, exact=True))
        await expect(person).to_contain_text(text)


@pytest.mark.soak
async def test_why_a_transfer_failed_is_found_in_the_console(stage, windows: Windows, camera):
    """From the page of sessions to the reason: one that failed is marked there, and its first failure is named."""
    stage.sandbox.phone(DAVE).script(outcome="busy")
    phones = await windows.open(stage.phones_url)
    console = await browser_actions.signed_in(windows, stage.console)
    await browser_actions.call_alice(phones)
    await browser_actions.sessions(console).first.get_by_role("link").click()
    await browser_actions.give(console, "Transfer", to=DAVE, choices=["Consult"])
    await expect(browser_actions.given(console, "transfer")).to_contain_text("busy")
    await stands(console, "conferenced", "customer: hears alice")
    await console.get_by_role("link", name="All calls").click()

    troubled = browser_actions.sessions(console).first
    await expect(troubled.get_by_role("cell").last).to_contain_text(re.compile(r"^\W*target was busy"))
    await expect(troubled.get_by_title("transfer failed: target was busy")).to_have_count(1)
    await troubled.get_by_role("link").click()
    await expect(console.get_by_text("First failure:")).to_be_visible()
    await console.get_by_role("button", name="target was busy", exact=True).click()
    moment = console.get_by_role("listitem").filter(has_text="first failure")
    await expect(moment).to_be_in_viewport()
    await expect(moment).to_contain_text("transfer failed: target was busy")
    await console.evaluate("scrollTo(0, 0)")
    if camera.folder is not None:
        # For a moment a button takes no second press; the picture would show it as one that says no reason.
        transfer = await browser_actions.action(console, "Transfer")
        await expect(transfer).not_to_have_attribute("aria-disabled", "true")
    await camera.take(console, "session")
