"""A console over a real Redis, what a worker would have written there, and a page that listens."""

import asyncio
from contextlib import asynccontextmanager

import msgspec
from aiohttp import WSMsgType
from aiohttp.test_utils import TestClient, TestServer

from conferral.console.app import ConsoleOptions, make_app
from conferral.operations.redis_access import CONNECTIONS_MAX
from conferral.runtime.clock import SystemClock
from conferral.runtime.settings import ConsoleSettings, load
from conferral.storage.connection.client import make_client
from conferral.telephony.token_file import TokenFile
from tests.conferral.cli_helpers import KEYS, put

TOKEN = "a-token.of~letters_and+1/2=="
BEARER = {"Authorization": f"Bearer {TOKEN}"}
#: Longest that a test waits for what comes at once (seconds).
PATIENCE_S = 30


def app_of(client, *, clock=None, token=TOKEN, variables=None, readiness_client=None, tokens=None, **options):
    settings = load(ConsoleSettings, {"CONFERRAL_API_TOKEN": token, **(variables or {})})
    clock = clock or SystemClock()
    tokens = tokens or TokenFile(settings.tokens, settings.api_token, dict)
    return make_app(settings, tokens, client, clock, ConsoleOptions(**options), readiness_client=readiness_client)


async def served(app, **options):
    """A console that listens, and a client that keeps cookies as a browser does."""
    client = TestClient(TestServer(app), **options)
    await client.start_server()
    return client


@asynccontextmanager
async def console_over(redis_url):
    """A console over a Redis of the test's own, and its client of that Redis."""
    client = make_client(redis_url, max_connections=CONNECTIONS_MAX)
    console = await served(app_of(client), headers=BEARER)
    try:
        yield console, client
    finally:
        await console.close()
        await client.aclose()


def origin(client):
    """What a browser sends along from a page of the console's own."""
    return {"Origin": f"http://{client.server.host}:{client.server.port}"}


async def sign_in(client, token=TOKEN):
    return await client.post("/sign-in", json={"token": token}, headers=origin(client))


def commit(redis, session, *log):
    """What a worker's commit does to be seen: the record, its log, and the lease's number."""
    put(redis, session, log=log)
    lease = KEYS.lease(KEYS.partition_of(session.id))
    redis.hsetnx(lease, "holder", "1:worker")
    redis.hincrby(lease, "commit", 1)


class Page:
    """A page that shows one view, and keeps its messages as the real one does."""

    def __init__(self, socket):
        self.socket = socket
        self.heard = []
        self.rows = {}
        self.entries = {}

    @classmethod
    async def open(cls, client, view=None, **options):
        page = cls(await client.ws_connect("/live", **options))
        if view:
            await page.say(**view)
        return page

    async def say(self, **message):
        await self.socket.send_str(msgspec.json.encode(message).decode())

    async def hear(self):
        message = await asyncio.wait_for(self.socket.receive(), PATIENCE_S)
        assert message.type == WSMsgType.TEXT, message
        reported = msgspec.json.decode(message.data)
        self.heard.append(reported)
        if reported["about"] == "sessions":
            if reported["whole"]:
                self.rows = {}
            self.rows |= {row["id"]: row for row in reported["rows"]}
            for name in reported["gone"]:
                self.rows.pop(name, None)
        if reported["about"] == "log":
            if reported["whole"]:
                self.entries = {}
            self.entries |= {entry["entry"]: entry for entry in reported["entries"]}
        return reported

    async def until(self, holds):
        """Listens until something holds of the page."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds(self):
                await self.hear()

    async def next(self, about, holds=lambda _message: True):
        """The next message about something."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.hear()
                if message["about"] == about and holds(message):
                    return message

    async def close(self):
        await self.socket.close()
