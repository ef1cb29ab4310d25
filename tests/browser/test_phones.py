"""The page of phones: a person plays customer, agent and target, each in a window of their own."""

import re
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from tests.browser import browser_actions
from tests.support.local_system import AGENT, CUSTOMER


async def test_a_call_is_played_in_three_windows(stage, windows):
    everyone = await windows.open(stage.phones_url)
    await everyone.get_by_role("button", name="Inject faults").click()
    await everyone.get_by_label("of the kind").select_option("hold")
    await everyone.get_by_role("button", name="Succeed, then drop the connection").click()
    wanted = "POST /Conferences/*/Participants/**, Hold=true: cuts_connection True, moment after"
    await everyone.get_by_role("button", name=f"Remove {wanted}").click()
    await expect(everyone.get_by_text("No faults set")).to_be_visible()
    context = everyone.context
    customer, alice = [
        await windows.open(f"{stage.phones_url}#phone={quote(address)}", context=context)
        for address in (CUSTOMER, AGENT)
    ]
    await browser_actions.key(browser_actions.phone(customer, "customer"), "Call").dblclick()
    await expect(alice).to_have_title("☎ ring ring! alice")
    await expect(browser_actions.phone(alice, "alice").get_by_role("group", name="Its calls")).to_have_count(0)
    await expect(browser_actions.phone(everyone, "alice")).to_contain_text("ring ring!")
    await browser_actions.press(browser_actions.phone(alice, "alice"), "Answer")
    await expect(browser_actions.phone(customer, "customer")).to_contain_text("you hear alice")
    await browser_actions.press(browser_actions.phone(customer, "customer"), "Hang up")
    for page in (customer, alice, everyone):
        await expect(page.locator("body")).to_contain_text("Not in a call")
    await stage.settled()


SIZES = [{"width": 720, "height": 800}, {"width": 390, "height": 844}]


@pytest.mark.soak
@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size["width"]))
async def test_the_ringing_phone_can_be_answered_without_scrolling(stage, windows, size):
    for name in ("bob", "carol", "erin", "frank"):
        stage.sandbox.phone(f"client:{name}").script()
    page = await windows.open(stage.phones_url, size=size)
    await browser_actions.call_alice(page)
    await page.evaluate("scrollTo(0, 0)")
    call = stage.sandbox.live_calls()[0].sid
    # The third phone is on the screen; the last is brought there when it rings.
    for name in ("dave", "frank"):
        await stage.begins("transfer", call, to=f"client:{name}", mode="consult")
        answer = browser_actions.key(browser_actions.phone(page, name), "Answer")
        await expect(answer).not_to_have_attribute("aria-disabled", "true")
        await expect(answer).to_be_in_viewport(ratio=1)
        assert name != "dave" or await page.evaluate("scrollY") == 0
        await stage.done("cancel", call)
    assert await page.evaluate("document.documentElement.scrollHeight") < 2_500


@pytest.mark.soak
async def test_the_keys_stand_as_on_a_phone(stage, windows):
    page = await windows.open(f"{stage.phones_url}#phone={quote(AGENT)}", size=SIZES[1])
    keys = browser_actions.phone(page, "alice").get_by_role("button", name=re.compile("^Key "))
    await expect(keys).to_have_count(12)
    places = [await key.bounding_box() for key in await keys.all()]
    assert [len({round(place[side]) for place in places}) for side in ("x", "y")] == [3, 4]
