"""Everything with agents' desks: webhooks with API and desk, the sandbox, and pages in which agents click."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from playwright.async_api import Locator, Page, expect

from conferral.storage.connection.client import make_client
from conferral.storage.sign_ins import SignIn, SignIns
from conferral.telephony.twilio_requests import complete_call, rest_client
from conferral.webhooks.api.app import CONCURRENT_MAX, add_api
from conferral.webhooks.desk.app import add_desk
from tests.browser.browser_environment import BrowserEnvironment
from tests.browser.windows import Windows
from tests.support.people import ALICE, CUSTOMER, DAVE, NUMBER
from tests.support.token_files import bearer_of, table, write_tokens

API_KEY = ("SK" + "1" * 32, "secret-of-the-api-key-in-these-tests")
ISSUER = "crm"
DESK_SIZE = {"width": 520, "height": 540}


class DeskStage(BrowserEnvironment):
    """A world with desks."""

    def __init__(self, redis_url: str, folder: Path, *, agents: str = "", **settings: str) -> None:
        directory = folder / "directory.toml"
        directory.write_text(f'[destinations]\nalice = "{ALICE}"\ndave = "{DAVE}"\n{agents}', "utf-8")
        super().__init__(
            redis_url,
            CONFERRAL_DIRECTORY=str(directory),
            CONFERRAL_TOKENS=str(write_tokens(folder / "tokens.toml", table(ISSUER, ["desk", "read"]))),
            TWILIO_API_KEY=API_KEY[0],
            TWILIO_API_SECRET=API_KEY[1],
            TWILIO_TWIML_APP_SID="AP" + "4" * 32,
            **settings,
        )
        self.sandbox.api_keys = dict([API_KEY])

    def mount(self, app: web.Application) -> None:
        """Add API and desk."""
        self._api_client = make_client(self.redis_url, max_connections=2 * CONCURRENT_MAX)
        api = add_api(app, self.settings, self._api_client, self.keys, self.metrics, self.clock, self.directory)
        add_desk(api, self._api_client, self.keys, partial(complete_call, rest_client(self.settings, self._http)))

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        await self._api_client.aclose()

    async def token(self, identity: str) -> str:
        """Return a desk token, as the agent's server gets it."""
        body = {"identity": identity}
        url = f"{self.public_url}/desk/tokens"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json=body, headers=bearer_of(ISSUER)) as answer,
        ):
            assert answer.status == 200, await answer.text()
            token: str = (await answer.json())["token"]
            return token

    async def desk(self, windows: Windows, identity: str, **options: Any) -> Page:
        """Open an agent's desk, and go ready."""
        url = f"{self.public_url}/desk#{await self.token(identity)}"
        page = await windows.open(url, **({"size": DESK_SIZE} | options))
        await go_ready(page)
        return page

    async def without_webhooks(self, for_s: float) -> None:
        """No one reaches the webhooks for so long, and who was connected isn't any more."""
        port = int(self.public_url.rpartition(":")[2])
        for site in [*self._runner.sites]:
            await site.stop()
        await self._runner.server.shutdown(0.1)
        await asyncio.sleep(for_s)  # a delay: so long is the outage
        await web.TCPSite(self._runner, "127.0.0.1", port).start()

    async def call_in(self) -> Any:
        """Let the customer call; return their leg."""
        return await self.sandbox.call_in(CUSTOMER, NUMBER)


async def go_ready(page: Page) -> None:
    """Click until the agent is ready."""
    await button(page, "Go ready").click()
    await says(page, "Ready")


async def link(stage: DeskStage, identity: str) -> str:
    """A link of `conferral desk-link`."""
    code = await SignIns(stage.client, stage.keys).add_code(SignIn(identity, ISSUER, for_ms=3_600_000))
    return f"{stage.public_url}/desk?as={identity}#{code}"


def button(page: Page, name: str) -> Locator:
    """A button of the desk."""
    return page.get_by_role("button", name=name, exact=True)


async def click(page: Page, name: str) -> None:
    """Click a button as soon as it can be."""
    await expect(button(page, name)).not_to_have_attribute("aria-disabled", "true")
    await button(page, name).click()


async def says(page: Page, state: str) -> None:
    """Wait for the agent's state."""
    await expect(page.get_by_role("status").first).to_have_text(state)


async def reads(page: Page, text: str) -> None:
    """Wait for the sentence about the call."""
    await expect(page.get_by_role("region", name="Call", exact=True).locator(".sentence")).to_contain_text(text)


async def transfer(page: Page, to: str, mode: str) -> None:
    """Choose whom to, and how."""
    await click(page, "Transfer")
    await page.get_by_role("option", name=to).click()
    await click(page, mode)


async def talking(stage: DeskStage, page: Page) -> Any:
    """Let the customer call, and the agent answer; return the customer's leg."""
    caller = await stage.call_in()
    await click(page, "Answer")
    await reads(page, f"You talk to {CUSTOMER}")
    return caller
