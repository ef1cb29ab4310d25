import pytest
from aiohttp.test_utils import TestClient, TestServer

from conferral.runtime.metrics import Metrics
from conferral.storage.connection import make_client
from conferral.webhooks.api import api as api_module
from conferral.webhooks.api import bearer, giving, handlers
from conferral.webhooks.api.turns import TURNS
from tests.api.kit import BEARER, app_of
from tests.support.log_lines import lines_of


@pytest.fixture
async def store(redis_server):
    client = make_client(redis_server.url, max_connections=TURNS + 8)
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
    with lines_of(monkeypatch, api_module, bearer, giving, handlers) as captured:
        yield captured
