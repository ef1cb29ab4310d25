"""The page of phones: a person plays customer, agent and target, each in a window of their own."""

from urllib.parse import quote

from playwright.async_api import expect

from tests.browser import browser_actions
from tests.support.local_system import AGENT, CUSTOMER


async def test_a_call_is_played_in_three_windows(stage, windows):
    everyone = await windows.open(stage.phones_url)
    await everyone.get_by_role("button", name="Inject faults").click()
    await everyone.get_by_label("of the kind").select_option("hold")
    await everyone.get_by_role("button", name="Succeed, then drop the connection").click()
    wanted = "the next request POST /Conferences/*/Participants/**, Hold=true loses its connection after its effect"
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
