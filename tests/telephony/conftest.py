"""A scripted Twilio on loopback, and the HTTP client that asks it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.telephony.http_client import PooledHttpClient
from tests.telephony.scripted_server import ScriptedTwilio


@pytest.fixture
async def twilio() -> AsyncIterator[ScriptedTwilio]:
    scripted = ScriptedTwilio()
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield scripted
    server.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def http(twilio: ScriptedTwilio, metrics: Metrics) -> AsyncIterator[PooledHttpClient]:
    client = PooledHttpClient(api_url=twilio.url, clock=SystemClock(), metrics=metrics, total_timeout_s=5)
    yield client
    await client.close()
