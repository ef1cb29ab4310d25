"""How many requests and how much CPU does a warm transfer take, compared with Twilio's sample under gunicorn?"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random

import aiohttp
from redis.asyncio import Redis

from benchmarks.support.calls import session_key
from benchmarks.support.figures import Figures
from benchmarks.support.programs import AGENT, CUSTOMER, NUMBER, POLL_S, TARGET, Program, peer, running_conferral
from offhook import CallHandle, Sandbox
from tests.support.ports import free_port

#: Calls that go on at the same time.
AT_ONCE = 10
Transfer = Callable[[CallHandle], Awaitable[object]]


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    calls: int


SIZES = {"full": Size(3, 100), "quick": Size(2, 20), "tiny": Size(1, 2)}


def _hears(call: CallHandle, count: int) -> bool:
    return call.hears_now is not None and len(call.hears_now.parties) == count


async def _call(sandbox: Sandbox, transfer: Transfer) -> None:
    """Let a caller talk with the agent, then with both, then with the target alone, who hangs up."""
    customer = await sandbox.call_in(CUSTOMER, NUMBER)

    def partner(address: str) -> CallHandle | None:
        heard = customer.hears_now
        found = (one for one in sandbox.calls_of(address) if heard and one.sid in heard.parties)
        return next(found, None)

    await sandbox.wait_until(lambda: partner(AGENT))
    await transfer(customer)
    await sandbox.wait_until(lambda: partner(TARGET) and _hears(customer, 2))
    agent, target = partner(AGENT), partner(TARGET)
    assert agent is not None
    assert target is not None
    agent.hang_up()
    await sandbox.wait_until(lambda: _hears(customer, 1))
    target.hang_up()
    if not customer.record.is_final:
        customer.hang_up()


async def _measure(
    name: str, sandbox: Sandbox, programs: Sequence[Program], transfer: Transfer, calls: int, figures: Figures
) -> None:
    """Add what a call takes: requests to Twilio, requests of Twilio, and CPU time."""
    for address in (AGENT, TARGET):
        sandbox.phone(address).script(answer_after_s=0.02)
    await _call(sandbox, transfer)  # warms up
    await _all_over(sandbox)
    log = sandbox.request_log
    rest, callbacks, cpu_s = log.rest.total, log.deliveries.total, sum(one.cpu_s() for one in programs)
    for _ in range(0, calls, AT_ONCE):
        await asyncio.gather(*(_call(sandbox, transfer) for _ in range(min(calls, AT_ONCE))))
        await _all_over(sandbox)
    done = -(-calls // AT_ONCE) * min(calls, AT_ONCE)
    figures.add(f"{name}.rest_requests", (log.rest.total - rest) / done)
    figures.add(f"{name}.webhook_requests", (log.deliveries.total - callbacks) / done)
    figures.add(f"{name}.cpu_ms", (sum(one.cpu_s() for one in programs) - cpu_s) / done * 1000)


async def _all_over(sandbox: Sandbox) -> None:
    await sandbox.wait_until(lambda: not sandbox.live_calls())
    await sandbox.wait_until_idle()


async def _conferral(redis_url: str, redis: "Redis[bytes]", calls: int, figures: Figures) -> None:
    async def transfer(customer: CallHandle) -> None:
        # The agent's join must have been decided, or the command would be refused.
        while await redis.hmget(session_key(customer.sid), "state", "phase") != [b"conferenced", b"connected"]:
            await asyncio.sleep(POLL_S)
        command = {"type": "transfer", "session": customer.sid, "to": TARGET, "mode": "warm"}
        await redis.xadd("conferral:commands", command)

    async with Sandbox() as sandbox, running_conferral(redis_url, sandbox) as programs:
        url = programs[0].url
        # Where the sample does the same, the caller is in a conference from the start.
        sandbox.add_number(NUMBER, voice_url=f"{url}/voice/conference", status_callback=f"{url}/voice/status")
        await _measure("conferral", sandbox, programs, transfer, calls, figures)


async def _sample(calls: int, figures: Figures) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with Sandbox() as sandbox, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        sandbox.add_number(NUMBER, voice_url=f"{url}/voice")
        environ = {
            "TWILIO_ACCOUNT_SID": sandbox.account_sid, "TWILIO_AUTH_TOKEN": sandbox.auth_token,
            "TWILIO_API_URL": sandbox.url, "TWILIO_NUMBER": NUMBER, "PUBLIC_URL": url, "AGENT": AGENT,
        }  # fmt: skip
        command = ("--workers", "4", "--bind", f"127.0.0.1:{port}", "benchmarks.peers.flask_sample:app")

        async def transfer(customer: CallHandle) -> None:
            async with http.post(f"{url}/transfer/{customer.sid}", data={"to": TARGET}) as response:
                assert response.status == 204, response.status

        async with peer("gunicorn", *command, port=port, **environ) as gunicorn:
            await _measure("sample", sandbox, [gunicorn], transfer, calls, figures)


async def measure(size: Size, _chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Alternate between both; each round has fresh processes."""
    figures = Figures()
    for _ in range(size.rounds):
        await redis.flushall()
        await _conferral(redis_url, redis, size.calls, figures)
        await _sample(size.calls, figures)
    figures.add_ratio("conferral_to_sample_cpu_times", "conferral.cpu_ms", "sample.cpu_ms")
    return figures
