"""Transfers played by hand: every phone and every command by clicks, and each page says what has become of it."""

from playwright.async_api import Page, expect

from tests.browser import players
from tests.browser.stage import TARGET
from tests.browser.windows import Windows

#: Half of what is shown side by side, px.
HALF = {"width": 1100, "height": 1000}


async def the_two_talk(phones: Page) -> None:
    await players.press(players.phone(phones, "customer"), "Call")
    await players.press(players.phone(phones, "alice"), "Pick up")
    await expect(players.phone(phones, "customer")).to_contain_text("alice")


async def test_a_consult_transfer_is_played_by_clicks_alone(stage, windows: Windows, camera):
    phones = await windows.open(stage.phones_url, size=HALF)
    console = await players.signed_in(windows, stage.console, size=HALF)
    await the_two_talk(phones)

    (call,) = [call for call in stage.sandbox.live_calls() if not call.record.parent_sid]
    await players.open_session(console, call.sid)
    state = console.get_by_role("main")
    await expect(state).to_contain_text("bridged")
    await camera.frame(console, phones)

    await players.give(console, "Transfer", to=TARGET, choices=["consult"])
    await expect(state).to_contain_text("transferring")
    await expect(players.phone(phones, "customer")).to_contain_text("music")
    await expect(players.phone(phones, "dave")).to_contain_text("ring")
    await camera.frame(console, phones)

    await players.press(players.phone(phones, "dave"), "Pick up")
    await expect(state).to_contain_text("target hears agent")
    await camera.frame(console, phones)

    await players.give(console, "Complete")
    await expect(state).to_contain_text("done")
    await expect(state).to_contain_text("customer hears agent")
    await expect(players.phone(phones, "alice")).to_contain_text("Not in a call")
    await camera.frame(console, phones)

    await players.press(players.phone(phones, "customer"), "Hang up")
    await expect(state).to_contain_text("ended")
    await camera.frame(console, phones)
    camera.write_film("consult")
    await stage.settled()


async def test_why_a_transfer_failed_is_found_in_the_console(stage, windows: Windows, camera):
    stage.sandbox.phone(TARGET).script(outcome="busy")
    phones = await windows.open(stage.phones_url)
    console = await players.signed_in(windows, stage.console)
    await the_two_talk(phones)
    await players.sessions(console).first.get_by_role("link").click()
    await players.give(console, "Transfer", to=TARGET, choices=["blind"])

    main = console.get_by_role("main")
    await expect(main.get_by_text("busy").first).to_be_visible()
    await camera.take(console, "session")
    await camera.take(phones, "phones")
