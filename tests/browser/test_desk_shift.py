"""A shift at two desks: every flow, a reload in each state, an outage of webhooks, a second caller, a lost network.

With `CONFERRAL_TEST_SHEET`, a file's name, both desks after each step are one sheet of pictures.
"""

import asyncio
from contextlib import suppress

import pytest
import pytest_asyncio
from playwright.async_api import Error, Page, expect

from tests.browser.desk_stage import DESK_SIZE, DeskStage, button, click, go_ready, link, reads, says, transfer
from tests.browser.sheet import Sheet
from tests.browser.windows import Windows
from tests.support.people import CUSTOMER

OUTAGE_S, LOSS_S = 13.0, 6.0
#: What the phone is connected by, so that it can be cut.
SOCKETS = """
window.sockets = [];
window.WebSocket = class extends WebSocket { constructor(...given) { super(...given); window.sockets.push(this); } };
"""
TALKING, WAITS = f"You talk to {CUSTOMER}", f"{CUSTOMER} waits with music"


@pytest_asyncio.fixture(loop_scope="session")
async def stage(redis_server, tmp_path):
    async with DeskStage(redis_server.url, tmp_path) as opened:
        yield opened


async def signed_in(stage: DeskStage, windows: Windows, identity: str) -> Page:
    context = await windows.profile()
    await context.add_init_script(SOCKETS)
    await context.grant_permissions(["microphone", "notifications"])
    page = await windows.open(await link(stage, identity), size=DESK_SIZE, context=context)
    page.on("dialog", lambda dialog: dialog.accept())
    await go_ready(page)
    return page


async def loses_its_network(page: Page) -> None:
    await page.context.set_offline(True)
    await page.evaluate("sockets.forEach((one) => one.close())")
    await asyncio.sleep(LOSS_S)  # a delay: so long is the network away
    await page.context.set_offline(False)


class Shift:
    """Two agents at their desks, and what a designer gets to see of them."""

    def __init__(self, stage: DeskStage, alice: Page, dave: Page) -> None:
        self._stage, self._alice, self._dave = stage, alice, dave
        self.sheet = Sheet()

    async def shown(self, name: str) -> None:
        await self.sheet.add(name, self._alice, self._dave)

    async def reloads(self, page: Page, text: str, name: str) -> None:
        await page.reload()
        await reads(page, text)
        await self.shown(f"{name}, after a reload")

    async def begins(self) -> None:
        """Ready, ringing, talking, and holding."""
        alice = self._alice
        await alice.reload()
        await says(alice, "Ready")
        await self.shown("ready, after a reload")
        await self._stage.call_in()
        await expect(button(alice, "Answer")).to_be_visible()
        await alice.reload()
        await expect(button(alice, "Answer")).to_be_visible()
        await self.shown("ringing, after a reload")
        await click(alice, "Answer")
        await reads(alice, TALKING)
        await self.shown("talking")
        await self.reloads(alice, TALKING, "talking")
        await click(alice, "Hold")
        await reads(alice, WAITS)
        await self.shown("on hold")
        await self.reloads(alice, TALKING, "on hold")  # who comes back talks

    async def consults(self) -> None:
        """A second caller; a consult that is swapped, merged, and completed."""
        alice, dave = self._alice, self._dave
        second = await self._stage.call_in()
        await self._stage.until(second.sid, end_reason="agent-busy")
        await transfer(alice, "dave", "Consult")
        await expect(button(dave, "Answer")).to_be_visible()
        await self.reloads(alice, "dave is being called", "consult, ringing")
        await click(dave, "Answer")
        await reads(alice, "You talk to dave")
        await self.reloads(alice, "You talk to dave", "consult")
        await click(alice, "Swap")
        await reads(alice, TALKING)
        await alice.reload()
        await reads(alice, "dave")
        await self.shown("swapped, after a reload")
        await click(alice, "Merge")
        await reads(dave, f"You talk to {CUSTOMER} and alice")
        await self.reloads(alice, "and dave", "merged")
        await click(alice, "Complete")
        await says(alice, "Ready")
        await reads(dave, TALKING)
        await self.shown("handed over")
        await self.reloads(dave, TALKING, "handed over")
        await expect(alice.get_by_role("region", name="My calls today")).to_contain_text("rang while you were busy")

    async def comes_back(self) -> None:
        """Parked, retrieved, sent on, and back from someone who declines."""
        alice, dave = self._alice, self._dave
        await click(dave, "Park")
        await says(dave, "Ready")
        await alice.reload()
        await click(alice, f"Retrieve {CUSTOMER}")
        await reads(alice, TALKING)
        await self.shown("retrieved")
        await transfer(alice, "dave", "Transfer and leave")
        await click(dave, "Decline")
        await expect(alice.get_by_text("Back from dave").first).to_be_visible()
        await self.shown("recalled")
        await alice.reload()
        await click(alice, "Answer")
        await reads(alice, TALKING)

    async def has_troubles(self) -> None:
        """No webhooks, then no network."""
        alice, url = self._alice, self._alice.url
        away = asyncio.create_task(self._stage.without_webhooks(OUTAGE_S))
        await expect(alice.get_by_role("alert").filter(has_text="Conferral can't be reached").first).to_be_visible()
        await click(alice, "Mute")
        await expect(button(alice, "Unmute")).to_be_visible()
        await self.shown("without webhooks")
        with suppress(Error):
            await alice.reload()  # no one serves the page
        await away
        await alice.goto(url)
        await reads(alice, TALKING)
        await self.shown("a reload without webhooks")
        await click(alice, "Unmute")
        await click(alice, "Hold")
        await reads(alice, WAITS)
        await click(alice, "Unhold")
        await reads(alice, TALKING)
        await loses_its_network(alice)
        await click(alice, "Hold")
        await reads(alice, WAITS)
        await self.shown("after a loss of the network")
        await click(alice, "Hang up")
        await says(alice, "Ready")
        await self.shown("over")


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_a_shift_at_two_desks(stage, windows: Windows):
    windows.allow("Failed to load resource|ERR_|WebSocket")
    shift = Shift(stage, await signed_in(stage, windows, "alice"), await signed_in(stage, windows, "dave"))
    try:
        await shift.begins()
        await shift.consults()
        await shift.comes_back()
        await shift.has_troubles()
        await stage.settled()
    finally:
        shift.sheet.save()
