"""How long do both parties hear silence in a conversion, compared with the local Twilio's own time?"""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.support import backlog
from benchmarks.support.children import Child
from benchmarks.support.figures import Figures
from benchmarks.support.redis_load import pinned_client
from benchmarks.support.settings import AGENT, CUSTOMER, KEYS, NUMBER
from conferral.sandbox.call_handle import CallHandle
from conferral.sandbox.service import Sandbox
from conferral.storage.commands import command_stream
from conferral.storage.connection.client import Client
from tests.support.ports import free_port


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    conversions: int


SIZES = {
    "full": Size(rounds=5, conversions=100),
    "quick": Size(rounds=2, conversions=10),
    "tiny": Size(rounds=1, conversions=1),
}


class Static:
    """The floor: the same documents prebuilt, and a single direct REST call, without any processing."""

    def __init__(self) -> None:
        self.sandbox = Sandbox()

    async def inbound(self, _request: web.Request) -> web.Response:
        """Connect the caller to the agent."""
        return _twiml(f'<Dial action="{self.url}/action"><Client>{AGENT.removeprefix("client:")}</Client></Dial>')

    async def action(self, _request: web.Request) -> web.Response:
        """Move the caller into the conference, too."""
        return _twiml(_JOIN)

    async def convert(self, agent: CallHandle) -> None:
        """Move the agent's leg with one request."""
        url = f"{self.sandbox.url}/2010-04-01/Accounts/{self.sandbox.account_sid}/Calls/{agent.sid}.json"
        credentials = b64encode(f"{self.sandbox.account_sid}:{self.sandbox.auth_token}".encode()).decode()
        document = f"<Response>{_JOIN}</Response>"
        headers = {"Authorization": f"Basic {credentials}"}
        async with self._session.post(url, data={"Twiml": document}, headers=headers) as response:
            assert response.status == 200, response.status

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Static"]:
        """Listen, with a number and an agent's phone."""
        app = web.Application()
        app.router.add_post("/inbound", self.inbound)
        app.router.add_post("/action", self.action)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with self.sandbox, aiohttp.ClientSession() as self._session:
            self.sandbox.add_number(NUMBER, voice_url=f"{self.url}/inbound")
            self.sandbox.phone(AGENT).script(answer_after_s=0.02)
            yield self
        await runner.cleanup()


_JOIN = '<Dial><Conference beep="false" waitUrl="">room</Conference></Dial>'


def _twiml(verbs: str) -> web.Response:
    return web.Response(text=f"<Response>{verbs}</Response>", content_type="text/xml")


def _hear_each_other(customer: CallHandle, agent: CallHandle) -> bool:
    heard = (customer.hears_now, agent.hears_now)
    return heard[0] is not None and heard[1] is not None and all(one.parties for one in heard if one is not None)


def _talk_in_conference(customer: CallHandle, agent: CallHandle) -> bool:
    in_conference = all(party.record.activity == "conference" for party in (customer, agent))
    return in_conference and _hear_each_other(customer, agent)


def _silences(customer: CallHandle, agent: CallHandle, since_s: float) -> tuple[float, float]:
    return customer.silence_s(since_s), agent.silence_s(since_s)


async def _static_conversion(static: Static) -> tuple[float, float]:
    sandbox = static.sandbox
    customer = await sandbox.call_in(CUSTOMER, NUMBER)
    await sandbox.wait_until(lambda: customer.hears_now is not None and customer.hears_now.parties)
    agent = sandbox.calls_of(AGENT)[-1]
    since_s = sandbox.now_s
    await static.convert(agent)
    await sandbox.wait_until(lambda: _talk_in_conference(customer, agent))
    silences = _silences(customer, agent, since_s)
    customer.hang_up()
    agent.hang_up()
    await sandbox.wait_until_idle()
    return silences


class System:
    """Webhooks and a worker as processes of their own, as in production; their local Twilio shares the load's core."""

    def __init__(self, redis_url: str, client: Client) -> None:
        self.sandbox = Sandbox()
        self._redis_url = redis_url
        self._client = client

    @asynccontextmanager
    async def running(self) -> AsyncIterator["System"]:
        """Start webhooks and a worker, with a number and an agent's phone."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        async with self.sandbox:
            settings = {
                "TWILIO_ACCOUNT_SID": self.sandbox.account_sid,
                "TWILIO_AUTH_TOKEN": self.sandbox.auth_token,
                "CONFERRAL_PUBLIC_URL": url,
            }
            order: dict[str, Any] = {"redis_url": self._redis_url, "api_url": self.sandbox.url, "settings": settings}
            async with Child("webhooks", port=port, **order), Child("worker", **order):
                self.sandbox.add_number(NUMBER, voice_url=f"{url}/voice/inbound", status_callback=f"{url}/voice/status")
                self.sandbox.phone(AGENT).script(answer_after_s=0.02)
                yield self

    async def conversion(self) -> tuple[float, float]:
        """Convert a new call; return the silences of customer and agent, seconds."""
        sandbox = self.sandbox
        customer = await sandbox.call_in(CUSTOMER, NUMBER)
        while await self._client.hget(KEYS.session(customer.sid), "phase") != b"connected":
            await backlog.pause()
        agent = sandbox.calls_of(AGENT)[-1]
        since_s = sandbox.now_s
        await command_stream.publish(self._client, KEYS, {"type": "convert", "session": customer.sid})
        await sandbox.wait_until(lambda: _talk_in_conference(customer, agent))
        silences = _silences(customer, agent, since_s)
        await command_stream.publish(self._client, KEYS, {"type": "end", "session": customer.sid})
        await sandbox.wait_until(lambda: not sandbox.live_calls())
        await sandbox.wait_until_idle()
        return silences


async def measure(size: Size, _chance: Random) -> Figures:
    """Alternate between prebuilt documents and the whole system."""
    figures = Figures()
    async with (
        pinned_client() as (redis_url, client),
        Static().running() as static,
        System(redis_url, client).running() as system,
    ):
        for _ in range(size.rounds):
            for kind in ("prepared", "system"):
                pairs = [
                    await (_static_conversion(static) if kind == "prepared" else system.conversion())
                    for _ in range(size.conversions)
                ]
                for party, silences_s in zip(("customer", "agent"), zip(*pairs, strict=True), strict=True):
                    figures.add_percentiles(f"{kind}.{party}", silences_s)
    for figure in ("customer.p50_ms", "customer.p99_ms", "agent.p50_ms", "agent.p99_ms"):
        figures.add_difference(f"added.{figure}", f"system.{figure}", f"prepared.{figure}")
    return figures
