"""A sandbox on loopback, an application that it calls, and Twilio's own client to talk to it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from conferral.sandbox import ACCOUNT_SID, AUTH_TOKEN, Sandbox
from tests.sandbox.control_client import Control
from tests.sandbox.webhook_app import WebhookApp
from tests.support.fair_time import LoopSandbox

BUSINESS = "+15550100"


@pytest.fixture
async def app() -> AsyncIterator[WebhookApp]:
    it = WebhookApp()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", it.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield it
    await runner.cleanup()


@pytest.fixture
async def sandbox(app: WebhookApp) -> AsyncIterator[Sandbox]:
    async with LoopSandbox(speed=20.0, api_key=("SK" + "1" * 32, "key-secret")) as it:
        it.add_number(BUSINESS, voice_url=f"{app.url}/voice", status_callback=f"{app.url}/status")
        yield it


@pytest.fixture
async def twilio(sandbox: Sandbox) -> AsyncIterator[Client]:
    http = AsyncTwilioHttpClient()
    client = Client(ACCOUNT_SID, AUTH_TOKEN, http_client=http)
    client.api.base_url = sandbox.url
    yield client
    await http.session.close()


@pytest.fixture
async def control(sandbox: Sandbox) -> AsyncIterator[Control]:
    async with aiohttp.ClientSession() as session:
        yield Control(session, sandbox.url)
