"""Redis's clock is set while people talk, ring, wait alone or are parked: nothing happens early, late or twice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conferral.runtime.clock import SystemClock
from conferral.storage.connection import Client
from conferral.worker.outside import Outside
from tests.support.memory_redis import MemoryServer
from tests.support.world import AGENT, World

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
        """Waits until a script has run so often from now on."""
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
async def world(redis: SetRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("tests.support.world.make_client", redis.client)
    world = World("redis://memory", CONFERRAL_PARK_TIMEOUT=2, CONFERRAL_LONE_GRACE=1, CONFERRAL_RING_TIMEOUT=60)
    world.worker_options = {"outside": Outside(redis=redis.client)}
    async with world:
        yield world


async def seen(world: World) -> None:
    """Waits until every holder has seen that the clock was set: it renews every 1.5 s."""

    async def all_off() -> bool:
        return all(
            abs(held.clock.ahead_ms) > HOUR_MS / 2 for worker in world.workers for held in worker.keeper.held.values()
        )

    await world.eventually(all_off, "every partition's time is not what Redis shows")


async def ends_well(world: World, customer: Any) -> None:
    assert (await world.command("end", customer.sid)).status == "done"
    await world.settled()


@pytest.mark.parametrize("by_ms", [48 * HOUR_MS, for_long(HOUR_MS), for_long(-HOUR_MS)])
async def test_people_who_talk_or_ring_go_on(world: World, redis: SetRedis, by_ms: int) -> None:
    """Not even a session's greatest age, a day, has passed because the clock says so."""
    customer, agent = await world.talking()
    world.agent_phone.script(answer_after_s=None)
    ringing = await world.customer_calls("+14155550199")
    await world.until(ringing.sid, phase="ringing")
    redis.set_clock(by_ms)
    await seen(world)
    await redis.runs("fire_timers", 2 * world.keys.partitions)  # all are asked for every second, known or not
    assert (await world.session(customer.sid))["phase"] == "connected"
    assert (await world.session(ringing.sid))["phase"] == "ringing"
    assert customer.status == agent.status == "in-progress"
    ringing.hang_up()
    assert (await world.command("convert", customer.sid)).status == "done"
    assert world.redirects_of(agent) == 1
    await ends_well(world, customer)


@pytest.mark.parametrize("by_ms, restart", [
    (HOUR_MS, False), (-HOUR_MS, True), for_long(HOUR_MS, True), for_long(-HOUR_MS, False),
])  # fmt: skip
async def test_who_is_left_alone_is_let_go_in_time(world: World, redis: SetRedis, by_ms: int, restart: bool) -> None:
    world.leaves_the_end_to_us()
    customer, agent = await world.converted()
    redis.set_clock(by_ms)
    if restart:
        await world.stop_worker()
        world.start_worker()
    agent.hang_up()
    left_s = SystemClock().monotonic_s()
    session = await world.until(customer.sid, state="ended")
    assert session["end_reason"] == "agent-left"
    assert SystemClock().monotonic_s() - left_s >= 0.9
    log = await world.log(customer.sid)
    assert [entry["event"] for entry in log].count("lone_overdue") == 1
    await world.settled()


@pytest.mark.parametrize("by_ms", [-HOUR_MS, for_long(HOUR_MS)])
async def test_parked_call_goes_back_to_the_agent_in_time(world: World, redis: SetRedis, by_ms: int) -> None:
    customer, _ = await world.talking()
    assert (await world.command("park", customer.sid)).status == "done"
    parked_s = SystemClock().monotonic_s()
    redis.set_clock(by_ms)
    await seen(world)
    assert (await world.session(customer.sid))["phase"] == "parked"
    await world.eventually(
        lambda: asyncio.sleep(0, len(world.sandbox.calls_of(AGENT)) == 2), "the agent is called back"
    )
    assert SystemClock().monotonic_s() - parked_s >= 1.9
    assert len(world.sandbox.calls_of(AGENT)) == 2
    await ends_well(world, customer)


@pytest.mark.soak
async def test_when_nobody_is_left_the_time_is_redis_s_again(world: World, redis: SetRedis) -> None:
    customer, _ = await world.talking()
    redis.set_clock(-HOUR_MS)
    await seen(world)
    await ends_well(world, customer)

    async def right_again() -> bool:
        leases = [await world.client.hget(world.keys.lease(number), "ahead") for number in range(world.keys.partitions)]
        return leases == [b"0"] * world.keys.partitions

    await world.eventually(right_again, "no partition's time is ahead")
    later, _ = await world.talking()
    created_at = (await world.session(later.sid))["created_at"]
    assert created_at < (await world.session(customer.sid))["created_at"], "Redis's clock shows an hour less now"
    await ends_well(world, later)
