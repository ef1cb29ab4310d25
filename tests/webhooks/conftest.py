import sys
from contextlib import AsyncExitStack

import pytest
import structlog
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from conferral.runtime import log
from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.guard import reporting_requests
from conferral.storage.connection.client import make_client
from conferral.webhooks import app
from conferral.webhooks.api.app import CONCURRENT_MAX, refuse_unmatched
from tests.webhooks.webhook_helpers import FakeTwilioQueries, FakeWebhookStore, settings


@pytest.fixture
def webhook_store():
    return FakeWebhookStore()


@pytest.fixture
async def until_end():
    """Closes what the test has opened, the newest first: servers before the Redis client that they use."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def store(redis_server, until_end):
    client = make_client(redis_server.url, max_connections=CONCURRENT_MAX + 8)
    until_end.push_async_callback(client.aclose)
    return client


@pytest.fixture
def child_lookup():
    return FakeTwilioQueries()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def fresh_logs(monkeypatch):
    """Loggers of this test alone: one that was used once keeps the configuration that it was used under."""
    webhooks = [module for name, module in sys.modules.items() if name.startswith("conferral.webhooks.")]
    for module in (log, *webhooks):
        if hasattr(module, "log"):
            monkeypatch.setattr(module, "log", structlog.get_logger())


@pytest.fixture
def lines(fresh_logs, monkeypatch):
    """The log, with a line for each rejected request."""
    monkeypatch.setattr(app, "REFUSALS_LOG_EVERY_S", 0.0)
    with capture_logs() as captured:
        yield captured


@pytest.fixture
async def serve(until_end):
    """Serves an application until the end of the test, and returns a client of it."""

    async def opened(made, **options):
        client = await until_end.enter_async_context(TestClient(TestServer(made), **options))
        server = client.server.handler
        server.request_handler = reporting_requests(server.request_handler, refuse_unmatched)
        return client

    return opened


@pytest.fixture
def open_client(serve, webhook_store, child_lookup, metrics):
    def opened(directory=None, **changes):
        return serve(app.make_app(settings(**changes), webhook_store, child_lookup, metrics, SystemClock(), directory))

    return opened


@pytest.fixture
def write_directory(tmp_path):
    """Writes a directory; gives the setting that names it."""

    def write(text):
        path = tmp_path / "directory.toml"
        path.write_text(text)
        return {"CONFERRAL_DIRECTORY": str(path)}

    return write


@pytest.fixture
async def client(open_client):
    return await open_client()
