"""A sandbox on loopback, an application that it calls, and Twilio's own client to talk to it."""

import warnings
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from control_client import API_KEY, Control
from model_scenario import BUSINESS, ModelScenario
from offhook import ACCOUNT_SID, AUTH_TOKEN, Sandbox
from webhook_app import WebhookApp


@pytest.fixture
def story() -> ModelScenario:
    """Twilio's model alone, without HTTP."""
    return ModelScenario()


@pytest.fixture
async def app() -> AsyncIterator[WebhookApp]:
    it = WebhookApp()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", it.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield it
    await runner.cleanup()


@pytest.fixture
def bridging(app: WebhookApp) -> WebhookApp:
    """The application bridges its callers to an agent."""
    app.on("/voice", "<Response><Dial answerOnBridge='true' action='/action'><Client>alice</Client></Dial></Response>")
    app.on("/action", "<Response><Hangup/></Response>")
    return app


@pytest.fixture
async def sandbox(app: WebhookApp) -> AsyncIterator[Sandbox]:
    async with Sandbox(speed=20.0, api_keys=dict([API_KEY])) as it:
        it.add_number(BUSINESS, voice_url=f"{app.url}/voice", status_callback=f"{app.url}/status")
        yield it


@pytest.fixture
async def twilio(sandbox: Sandbox) -> AsyncIterator[Client]:
    # Twilio's client hands its credentials over in a way that aiohttp has deprecated. pytest takes the filters back.
    warnings.filterwarnings("ignore", "BasicAuth is deprecated", DeprecationWarning)
    warnings.filterwarnings("ignore", "The 'auth' parameter is deprecated", DeprecationWarning)
    http = AsyncTwilioHttpClient()
    client = Client(ACCOUNT_SID, AUTH_TOKEN, http_client=http)
    client.api.base_url = sandbox.url
    yield client
    await http.session.close()


@pytest.fixture
async def api(sandbox: Sandbox) -> AsyncIterator[aiohttp.ClientSession]:
    """Requests to the REST API that show what Twilio's client hides."""
    login = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT_SID, AUTH_TOKEN)}
    async with aiohttp.ClientSession(f"{sandbox.url}/2010-04-01/Accounts/{ACCOUNT_SID}/", headers=login) as session:
        yield session


@pytest.fixture
async def control(sandbox: Sandbox) -> AsyncIterator[Control]:
    async with aiohttp.ClientSession() as session:
        yield Control(session, sandbox.url)
