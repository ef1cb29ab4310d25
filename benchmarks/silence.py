"""How long do both parties hear silence in a conversion, compared with the local Twilio's own time?"""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import aiohttp
from aiohttp import web

from benchmarks.support.figures import Figures
from benchmarks.support.redis_load import pinned_redis
from benchmarks.support.settings import AGENT, CUSTOMER, NUMBER
from conferral.sandbox.call_handle import CallHandle
from conferral.sandbox.service import Sandbox
from tests.support.local_system import LocalSystem


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


async def _static_conversion(static: Static) -> tuple[float, float]:
    sandbox = static.sandbox
    customer = await sandbox.call_in(CUSTOMER, NUMBER)
    await sandbox.wait_until(lambda: customer.hears_now is not None and customer.hears_now.parties)
    agent = sandbox.calls_of(AGENT)[-1]
    since_s = sandbox.now_s
    await static.convert(agent)
    await sandbox.wait_until(lambda: customer.record.activity == "conference" and _hear_each_other(customer, agent))
    silences = customer.silence_s(since_s), agent.silence_s(since_s)
    customer.hang_up()
    agent.hang_up()
    await sandbox.wait_until_idle()
    return silences


async def _our_conversion(world: LocalSystem) -> tuple[float, float]:
    customer, agent = await world.talking()
    since_s = world.sandbox.now_s
    outcome = await world.command("convert", customer.sid)
    assert outcome.status == "done", outcome
    await world.sandbox.wait_until(lambda: _hear_each_other(customer, agent))
    silences = customer.silence_s(since_s), agent.silence_s(since_s)
    await world.command("end", customer.sid)
    await world.settled()
    return silences


async def measure(size: Size, _chance: Random) -> Figures:
    """Alternate between prebuilt documents and the whole system, both in this process."""
    figures = Figures()
    with pinned_redis() as redis:
        async with Static().running() as static, LocalSystem(redis.url) as world:
            for _ in range(size.rounds):
                for kind in ("prepared", "system"):
                    pairs = [
                        await (_static_conversion(static) if kind == "prepared" else _our_conversion(world))
                        for _ in range(size.conversions)
                    ]
                    for party, silences_s in zip(("customer", "agent"), zip(*pairs, strict=True), strict=True):
                        figures.add_percentiles(f"{kind}.{party}", silences_s)
    return figures
