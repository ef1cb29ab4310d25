import pytest
from aiohttp.test_utils import TestClient, TestServer

from conferral.operations import http_commands
from conferral.runtime.metrics import Metrics
from conferral.runtime.web import bearer
from conferral.storage.connection.client import make_client
from conferral.webhooks.api import app as api_module
from conferral.webhooks.api.app import CONCURRENT_MAX
from tests.support.log_lines import lines_of
from tests.webhooks.api.api_helpers import BEARER, app_of


@pytest.fixture
async def store(redis_server):
    client = make_client(redis_server.url, max_connections=CONCURRENT_MAX + 8)
    yield client
    await client.aclose()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
async def open_api(store, metrics):
    """Serves the control API with settings changed; every request has the token unless it says otherwise."""
    clients = []

    async def opened(headers=BEARER, redis=None, **changes):
        client = TestClient(TestServer(app_of(redis or store, metrics, **changes)), headers=headers)
        await client.start_server()
        clients.append(client)
        return client

    yield opened
    for client in clients:
        await client.close()


@pytest.fixture
async def api(open_api):
    return await open_api()


@pytest.fixture
def lines(monkeypatch):
    with lines_of(monkeypatch, api_module, bearer, http_commands) as captured:
        yield captured
