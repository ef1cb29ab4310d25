"""A thousand readers of event streams that stop reading: 200 are served, and no call notices."""

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from urllib.parse import urlencode

import aiohttp
import pytest

from conferral.runtime.clock import SystemClock
from conferral.webhooks.api.app import add_api
from conferral.webhooks.app import make_app
from conferral.webhooks.server import SHUTDOWN_MAX_S
from tests.webhooks import webhook_helpers
from tests.webhooks.api.api_helpers import BEARER, KEYS, eventually, put, session, settings
from tests.webhooks.api.test_streams import Stream
from tests.webhooks.test_server import serving
from tests.webhooks.webhook_helpers import AGENT_CALL, FORM, FakeIngest, FakeTwilioQueries, fields, signed

pytestmark = pytest.mark.redis
REQUEST = (
    "GET /sessions HTTP/1.1\r\nHost: h\r\n"
    f"Authorization: {BEARER['Authorization']}\r\nAccept: text/event-stream\r\n\r\n"
).encode()
READERS = 1_000
#: Longest that a call's request may take, seconds: Twilio gives up after 15.
CALL_S = 2.0


async def stalled(port):
    """A reader that asks for a stream and reads nothing, with as small a buffer as the system allows."""
    reader = socket.socket()
    reader.setblocking(False)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(reader, ("127.0.0.1", port))
    await loop.sock_sendall(reader, REQUEST)
    return reader


async def test_of_a_thousand_stalled_readers_200_are_served_and_every_call_is_answered(store, metrics):
    ingest = FakeIngest()
    count = metrics.registry.get_sample_value
    sessions = [session(f"s-{number}") for number in range(50)]
    await put(store, *sessions)
    app = make_app(webhook_helpers.settings(), ingest, FakeTwilioQueries(), metrics, SystemClock())
    add_api(app, settings(), store, KEYS, metrics, SystemClock())
    async with AsyncExitStack() as stack, serving(app, metrics) as (port, stop, server):
        client = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        # A new connection for each request, as when many calls arrive at once.
        headers = {**signed(AGENT_CALL, fields("agent_rings")), "Content-Type": FORM, "Connection": "close"}
        slowest_s, answered = 0.0, 0

        async def call():
            nonlocal slowest_s, answered
            started_s = asyncio.get_running_loop().time()
            async with client.post(AGENT_CALL, data=urlencode(fields("agent_rings")), headers=headers) as response:
                assert response.status == 204
            slowest_s, answered = max(slowest_s, asyncio.get_running_loop().time() - started_s), answered + 1

        headers_of_stream = {**BEARER, "Accept": "text/event-stream"}
        reads = Stream(await stack.enter_async_context(client.get("/sessions", headers=headers_of_stream)))
        for _ in range(READERS // 50):
            for reader in await asyncio.gather(*(stalled(port) for _ in range(50))):
                stack.callback(reader.close)
            await call()

        async def are_counted():
            return count("conferral_streams_refused_total") == READERS + 1 - 200

        await eventually(are_counted)
        assert count("conferral_streams") == 200
        await reads.until("ready")
        for version in range(4, 8):  # each stalled reader gets 200 changes more
            await put(store, *(replace(one, version=version) for one in sessions))
            while (await reads.next())[1]["version"] < version:
                pass
            await call()

        assert answered == len(ingest.events) == READERS // 50 + 4
        assert slowest_s < CALL_S
        stop.set()
        async with asyncio.timeout(SHUTDOWN_MAX_S - 1):  # no stalled reader is waited for
            await server
    assert count("conferral_streams") == 0
