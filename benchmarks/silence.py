"""How much silence does Conferral add to a conversion, beyond what the local Twilio itself takes?"""

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import aiohttp
from aiohttp import web
from redis.asyncio import Redis

from benchmarks.support.figures import Figures
from benchmarks.support.programs import AGENT, CUSTOMER, NUMBER, running_conferral
from offhook import CallHandle, Sandbox

Convert = Callable[[CallHandle, CallHandle], Awaitable[object]]
_JOIN = '<Dial><Conference beep="false" waitUrl="">room</Conference></Dial>'


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    conversions: int


SIZES = {"full": Size(rounds=5, conversions=100), "quick": Size(rounds=2, conversions=10),
         "tiny": Size(rounds=1, conversions=1)}  # fmt: skip


@asynccontextmanager
async def _prepared() -> AsyncIterator[tuple[Sandbox, Convert]]:
    """The floor: documents that are ready, and one REST request, without any decision."""

    async def inbound(_request: web.Request) -> web.Response:
        client = AGENT.removeprefix("client:")
        return _twiml(f'<Dial action="{url}/action"><Client>{client}</Client></Dial>')

    async def action(_request: web.Request) -> web.Response:
        return _twiml(_JOIN)

    app = web.Application()
    app.router.add_post("/inbound", inbound)
    app.router.add_post("/action", action)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with Sandbox() as sandbox, aiohttp.ClientSession() as http:
        credentials = b64encode(f"{sandbox.account_sid}:{sandbox.auth_token}".encode()).decode()
        sandbox.add_number(NUMBER, voice_url=f"{url}/inbound")

        async def convert(_customer: CallHandle, agent: CallHandle) -> None:
            target = f"{sandbox.url}/2010-04-01/Accounts/{sandbox.account_sid}/Calls/{agent.sid}.json"
            document, headers = f"<Response>{_JOIN}</Response>", {"Authorization": f"Basic {credentials}"}
            async with http.post(target, data={"Twiml": document}, headers=headers) as response:
                assert response.status == 200, response.status

        yield sandbox, convert
    await runner.cleanup()


def _twiml(verbs: str) -> web.Response:
    return web.Response(text=f"<Response>{verbs}</Response>", content_type="text/xml")


@asynccontextmanager
async def _system(redis_url: str, redis: "Redis[bytes]") -> AsyncIterator[tuple[Sandbox, Convert]]:
    """Webhooks and a worker, as in production."""

    async def convert(customer: CallHandle, _agent: CallHandle) -> None:
        await redis.xadd("conferral:commands", {"type": "convert", "session": customer.sid})

    async with Sandbox() as sandbox, running_conferral(redis_url, sandbox) as (webhooks, _):
        url = webhooks.url
        sandbox.add_number(NUMBER, voice_url=f"{url}/voice/inbound", status_callback=f"{url}/voice/status")
        yield sandbox, convert


def _talk(*calls: CallHandle) -> bool:
    return all(call.hears_now is not None and call.hears_now.parties for call in calls)


def _talk_in_conference(*calls: CallHandle) -> bool:
    return all(call.record.activity == "conference" for call in calls) and _talk(*calls)


async def _conversion(sandbox: Sandbox, convert: Convert) -> float:
    """Convert a new call; return how long the customer heard silence, in seconds."""
    customer = await sandbox.call_in(CUSTOMER, NUMBER)
    await sandbox.wait_until(lambda: _talk(customer))
    await sandbox.wait_until_idle()
    agent, since_s = sandbox.calls_of(AGENT)[-1], sandbox.now_s
    await convert(customer, agent)
    await sandbox.wait_until(lambda: _talk_in_conference(customer, agent))
    now_s, silences = sandbox.now_s, [it for it in customer.sounds_heard if it.sound.kind == "silence"]
    silence_s = sum(max(0.0, (it.until_s or now_s) - max(it.since_s, since_s)) for it in silences)
    customer.hang_up()
    if not agent.record.is_final:
        agent.hang_up()
    await sandbox.wait_until(lambda: not sandbox.live_calls())
    await sandbox.wait_until_idle()
    return silence_s


async def measure(size: Size, _chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Alternate between prepared documents and the whole system."""
    figures = Figures()
    await redis.flushall()
    async with _prepared() as prepared, _system(redis_url, redis) as system:
        for _ in range(size.rounds):
            for name, (sandbox, convert) in (("prepared.", prepared), ("system.", system)):
                sandbox.phone(AGENT).script(answer_after_s=0.02)
                silences_s = [await _conversion(sandbox, convert) for _ in range(size.conversions)]
                figures.add_percentiles(name, silences_s)
    for share in ("p50_ms", "p99_ms"):
        figures.add_difference(f"added.{share}", f"system.{share}", f"prepared.{share}")
    return figures
