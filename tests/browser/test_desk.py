"""Agents take, hold, and transfer calls by their desks; a caller is on the other end."""

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.camera import Camera
from tests.browser.desk_stage import DeskStage, button, click, reads, says, talking, transfer
from tests.browser.windows import Windows
from tests.support.people import CUSTOMER, DAVE


@pytest_asyncio.fixture(loop_scope="session")
async def stage(redis_server, tmp_path):
    async with DeskStage(redis_server.url, tmp_path) as opened:
        yield opened


async def test_two_desks_play_a_consult_by_clicks_alone(stage, windows: Windows, camera: Camera):
    alice, dave = await stage.desk(windows, "alice"), await stage.desk(windows, "dave")
    caller = await stage.call_in()
    await expect(alice.get_by_role("region", name="Incoming call")).to_contain_text(CUSTOMER)
    await click(alice, "Answer")
    await reads(alice, f"You talk to {CUSTOMER}")

    await transfer(alice, "dave", "Consult")
    await reads(alice, "dave is being called")
    await expect(dave.get_by_role("region", name="Incoming call")).to_contain_text(
        f"alice asks you first. {CUSTOMER} waits with music."
    )
    await click(dave, "Answer")
    await reads(alice, "You talk to dave.")
    await reads(alice, f"{CUSTOMER} waits with music")
    await reads(dave, "You talk to alice")
    await alice.mouse.move(1, 1)
    await expect(button(alice, "Cancel")).to_have_attribute("aria-disabled", "false")
    await camera.take(alice, "desk")

    await click(alice, "Swap")
    await reads(alice, f"You talk to {CUSTOMER}")
    await reads(dave, "You wait on hold")
    await click(alice, "Swap")
    await reads(alice, "You talk to dave")
    await click(alice, "Merge")
    await reads(dave, f"You talk to {CUSTOMER} and alice")
    await click(alice, "Complete")
    await says(alice, "Ready")
    await expect(alice.get_by_text("Handed over to dave.").first).to_be_visible()
    await reads(dave, f"You talk to {CUSTOMER}")
    await click(dave, "Hang up")
    await says(dave, "Ready")
    await stage.eventually(lambda: caller.status, "the caller's call ends", equals="completed")
    await stage.settled()


@pytest.mark.soak
async def test_a_declined_call_ends_without_an_agent(stage, windows: Windows):
    alice = await stage.desk(windows, "alice")
    caller = await stage.call_in()
    await click(alice, "Decline")
    await stage.eventually(lambda: caller.status, "the caller's call ends", equals="completed")
    await says(alice, "Ready")


@pytest.mark.soak
async def test_a_second_caller_hears_that_the_agent_is_busy(stage, windows: Windows):
    alice = await stage.desk(windows, "alice")
    await talking(stage, alice)
    second = await stage.call_in()
    await stage.until(second.sid, end_reason="agent-busy")
    await reads(alice, f"You talk to {CUSTOMER}")
    await click(alice, "Hang up")
    await says(alice, "Ready")
    await expect(alice.get_by_role("region", name="My calls today")).to_contain_text("rang while you were busy")


@pytest.mark.soak
async def test_a_busy_target_is_named_and_the_agent_keeps_the_caller(stage, windows: Windows):
    stage.sandbox.phone(DAVE).script(outcome="busy")
    alice = await stage.desk(windows, "alice")
    await talking(stage, alice)
    await transfer(alice, "dave", "Consult")
    await expect(alice.get_by_role("alert").filter(has_text="Transfer to dave: the line is busy.")).to_be_visible()
    await reads(alice, f"You talk to {CUSTOMER}")


@pytest.mark.soak
async def test_a_call_that_one_agent_parks_is_retrieved_by_another(stage, windows: Windows):
    alice, dave = await stage.desk(windows, "alice"), await stage.desk(windows, "dave")
    await talking(stage, alice)
    await click(alice, "Park")
    await says(alice, "Ready")
    await click(dave, f"Retrieve {CUSTOMER}")
    await reads(dave, f"You talk to {CUSTOMER}")


@pytest.mark.soak
async def test_a_call_is_played_with_the_keyboard_alone(stage, windows: Windows):
    alice, dave = await stage.desk(windows, "alice"), await stage.desk(windows, "dave")
    await stage.call_in()
    await button(alice, "Answer").press("Enter")
    await reads(alice, f"You talk to {CUSTOMER}")
    await button(alice, "Transfer").press("Enter")
    await expect(alice.get_by_role("option", name="dave")).to_be_visible()
    for key in ("d", "Enter", "Enter"):
        await alice.keyboard.press(key)
    await button(dave, "Answer").press("Space")
    await reads(alice, "You talk to dave")
    await button(alice, "Complete").press("Enter")
    await reads(dave, f"You talk to {CUSTOMER}")
    await button(dave, "Hang up").press("Enter")
    await says(dave, "Ready")


@pytest.mark.soak
async def test_a_token_that_expires_during_a_call_ends_nothing(stage, windows: Windows):
    windows.allow("Failed to load resource")
    alice = await stage.desk(windows, "alice")
    caller = await talking(stage, alice)
    await alice.evaluate("document.querySelector('conferral-desk').token = 'expired'")
    await click(alice, "Hold")
    await expect(alice.get_by_role("alert").filter(has_text="desk token").first).to_be_visible()
    assert caller.status == "in-progress"
    token = await stage.token("alice")
    await alice.evaluate("([token]) => { document.querySelector('conferral-desk').token = token; }", [token])
    await click(alice, "Hold")
    await reads(alice, "waits with music")
