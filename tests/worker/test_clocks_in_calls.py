"""Redis's clock is set while people talk, ring, wait alone or are parked: nothing happens early, late or twice.

A failover to a server whose clock is seconds off is the same to a worker.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conferral.runtime.clock import SystemClock
from conferral.storage.connection.client import Client
from tests.support.local_system import AGENT, LocalSystem
from tests.support.memory_redis import MemoryServer

HOUR_MS = 3_600_000
#: How long a call stays parked, seconds.
PARKED_S = 2.0


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

    def client(
        self, _url: str, _primary: object = None, *, blocking: bool = False, max_connections: int = 64
    ) -> Client:
        return self.server.client(blocking=blocking)


@pytest.fixture
def redis() -> SetRedis:
    return SetRedis()


@pytest.fixture
async def system(redis: SetRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalSystem]:
    monkeypatch.setattr("tests.support.local_system.make_client", redis.client)
    system = LocalSystem(
        "redis://memory", CONFERRAL_PARK_TIMEOUT=PARKED_S, CONFERRAL_LONE_GRACE=1, CONFERRAL_RING_TIMEOUT=60
    )
    system.worker_options = {"redis": redis.client}
    async with system:
        yield system


@pytest.mark.parametrize("by_ms, restart", [
    (HOUR_MS, False), (-HOUR_MS, True), for_long(-HOUR_MS, False), for_long(HOUR_MS, True),
    for_long(2_000, False), for_long(-2_000, True),
])  # fmt: skip
async def test_calls_go_on_and_timers_fire_in_time(
    system: LocalSystem, redis: SetRedis, by_ms: int, restart: bool
) -> None:
    system.end_calls_in_test()
    bridged, bridged_agent = await system.talking()
    lone, leaving_agent = await system.converted()
    parked, _ = await system.talking()
    system.agent_phone.script(answer_after_s=None)
    ringing = await system.customer_calls("+14155550199")
    await system.until(ringing.sid, phase="ringing")
    assert (await system.command("park", parked.sid)).status == "done"
    parked_s = SystemClock().monotonic_s()

    redis.set_clock(by_ms)
    if restart:
        await system.stop_worker()
        system.start_worker()
    leaving_agent.hang_up()
    left_s = SystemClock().monotonic_s()
    await redis.runs("answer_tick", 2)  # reads the next timer of every partition

    assert (await system.session(bridged.sid))["phase"] == "connected"
    assert (await system.session(ringing.sid))["phase"] == "ringing"
    assert bridged.status == bridged_agent.status == "in-progress"
    session = await system.until(lone.sid, state="ended")
    assert session["end_reason"] == "agent-left"
    assert SystemClock().monotonic_s() - left_s >= 0.9
    await system.eventually(lambda: asyncio.sleep(0, len(system.sandbox.calls_of(AGENT))), "a recall", equals=5)
    # To a worker that starts after the clock was set forward, that much time has passed.
    assert (restart and by_ms > 0) or SystemClock().monotonic_s() - parked_s >= PARKED_S - 0.1
    assert (await system.command("convert", bridged.sid)).status == "done"
    assert system.redirects_of(bridged_agent) == 1
    log = await system.log(lone.sid)
    assert [entry["event"] for entry in log].count("lone_overdue") == 1
    for call in (bridged, parked, ringing):
        call.hang_up()
    await system.settled()
    assert len(system.sandbox.calls_of(AGENT)) == 5, "each was dialed once"
