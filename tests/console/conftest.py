import pytest

from conferral.commands import http
from conferral.console import access, commands, websocket
from conferral.console import app as app_module
from conferral.operations.redis_access import CONNECTIONS_MAX
from conferral.runtime.web import bearer
from conferral.storage.connection.client import make_client
from tests.conferral.cli_helpers import make_session, put, set_up
from tests.console.console_helpers import BEARER, app_of, served
from tests.support.log_lines import lines_of


@pytest.fixture
def redis(redis_server):
    """A Redis in which a worker has run."""
    with redis_server.client() as client:
        set_up(client)
        yield client


@pytest.fixture
def bridged(redis):
    """A call whose customer and agent are talking."""
    put(redis, make_session())


@pytest.fixture
async def store(redis, redis_server):
    client = make_client(redis_server.url, max_connections=CONNECTIONS_MAX)
    yield client
    await client.aclose()


@pytest.fixture
async def open_console(store):
    """Serves consoles; every request has the token unless it says otherwise."""
    clients = []

    async def opened(*, headers=BEARER, **options):
        client = await served(app_of(store, **options), headers=headers)
        clients.append(client)
        return client

    yield opened
    for client in clients:
        await client.close()


@pytest.fixture
async def console(open_console):
    return await open_console()


@pytest.fixture
async def browser(open_console):
    """The same as a browser sees it that has not signed in."""
    return await open_console(headers={})


@pytest.fixture
def quick_ticks(monkeypatch):
    """Ticks that a test need not wait for."""
    monkeypatch.setattr(websocket, "TICK_EVERY_S", 0.3)


@pytest.fixture
def lines(monkeypatch):
    with lines_of(monkeypatch, access, app_module, bearer, commands, http) as captured:
        yield captured
