"""Redis's clock is set while people talk, ring, wait alone or are parked: nothing happens early, late or twice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conferral.runtime.clock import SystemClock
from conferral.storage.connection.client import Client
from tests.support.local_system import AGENT, LocalSystem
from tests.support.memory_redis import MemoryServer

HOUR_MS = 3_600_000


def for_long(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.soak)


class SetRedis:
    """A Redis in memory whose clock can be set."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._set_ms = 0
        self.server = MemoryServer(lambda: self._clock.wall_ms() + self._set_ms)

    def set_clock(self, by_ms: int) -> None:
        self._set_ms += by_ms

    async def runs(self, script: str, times: int) -> None:
        """Waits until a script has run so often from now on.

        The worker has seen the answer of one run of `answer_tick` when it sends the next.
        """
        run: list[str] = []
        self.server.fault = lambda name: run.append(name) if name == script else None
        async with asyncio.timeout(60):
            while len(run) < times:
                await asyncio.sleep(0.005)
        self.server.fault = None

    def client(self, _url: str, *, blocking: bool = False, max_connections: int = 64) -> Client:
        return self.server.client(blocking=blocking)


@pytest.fixture
def redis() -> SetRedis:
    return SetRedis()


@pytest.fixture
async def system(redis: SetRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalSystem]:
    monkeypatch.setattr("tests.support.local_system.make_client", redis.client)
    system = LocalSystem("redis://memory", CONFERRAL_PARK_TIMEOUT=2, CONFERRAL_LONE_GRACE=1, CONFERRAL_RING_TIMEOUT=60)
    system.worker_options = {"redis": redis.client}
    async with system:
        yield system


@pytest.mark.parametrize("by_ms", [48 * HOUR_MS, for_long(HOUR_MS), for_long(-HOUR_MS)])
async def test_talking_and_ringing_calls_continue(system: LocalSystem, redis: SetRedis, by_ms: int) -> None:
    """Not even a session's greatest age, a day, has passed because the clock says so."""
    customer, agent = await system.talking()
    system.agent_phone.script(answer_after_s=None)
    ringing = await system.customer_calls("+14155550199")
    await system.until(ringing.sid, phase="ringing")
    redis.set_clock(by_ms)
    await redis.runs("answer_tick", 4)  # reads the next timer of every partition
    assert (await system.session(customer.sid))["phase"] == "connected"
    assert (await system.session(ringing.sid))["phase"] == "ringing"
    assert customer.status == agent.status == "in-progress"
    ringing.hang_up()
    assert (await system.command("convert", customer.sid)).status == "done"
    assert system.redirects_of(agent) == 1
    await system.ended_by_command(customer.sid)


@pytest.mark.parametrize("by_ms, restart", [
    (HOUR_MS, False), (-HOUR_MS, True), for_long(HOUR_MS, True), for_long(-HOUR_MS, False),
])  # fmt: skip
async def test_party_left_alone_is_hung_up_in_time_despite_clock_changes(
    system: LocalSystem, redis: SetRedis, by_ms: int, restart: bool
) -> None:
    system.end_calls_in_test()
    customer, agent = await system.converted()
    redis.set_clock(by_ms)
    if restart:
        await system.stop_worker()
        system.start_worker()
    agent.hang_up()
    left_s = SystemClock().monotonic_s()
    session = await system.until(customer.sid, state="ended")
    assert session["end_reason"] == "agent-left"
    assert SystemClock().monotonic_s() - left_s >= 0.9
    log = await system.log(customer.sid)
    assert [entry["event"] for entry in log].count("lone_overdue") == 1
    await system.settled()


@pytest.mark.parametrize("by_ms", [-HOUR_MS, for_long(HOUR_MS)])
async def test_parked_call_goes_back_to_the_agent_in_time(system: LocalSystem, redis: SetRedis, by_ms: int) -> None:
    customer, _ = await system.talking()
    assert (await system.command("park", customer.sid)).status == "done"
    parked_s = SystemClock().monotonic_s()
    redis.set_clock(by_ms)
    await redis.runs("answer_tick", 2)
    assert (await system.session(customer.sid))["phase"] == "parked"
    await system.eventually(
        lambda: asyncio.sleep(0, len(system.sandbox.calls_of(AGENT)) == 2), "the agent is called back"
    )
    assert SystemClock().monotonic_s() - parked_s >= 1.9
    assert len(system.sandbox.calls_of(AGENT)) == 2
    await system.ended_by_command(customer.sid)
