"""The sweep's pictures that are older than what has happened since, and partitions that nobody holds."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from conferral.sandbox import RestMoment
from tests.faults.calls import all_hang_up, events_of, stream_of, transferred
from tests.faults.kit import FaultWorld
from tests.faults.programs import program, until_ready
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
SWEEP_S = 0.5


@pytest.fixture
async def world(redis_server: RedisServer) -> AsyncIterator[FaultWorld]:
    async with FaultWorld(redis_server, CONFERRAL_SWEEP_INTERVAL=SWEEP_S) as world:
        yield world


class Held:
    """Twilio's answers to some reads: made at once, given only when somebody lets them go."""

    def __init__(self, world: FaultWorld, path: str, status: str = "") -> None:
        self.taken, self._go = asyncio.Event(), asyncio.Event()
        self._path = path
        self._status = status
        world.sandbox.on_rest = self._wait

    async def _wait(self, moment: RestMoment) -> None:
        is_meant = moment.path.endswith(self._path) and dict(moment.params).get("Status", "") == self._status
        if moment.step == "after" and moment.method == "GET" and is_meant:
            self.taken.set()
            await self._go.wait()

    def let_go(self) -> None:
        self._go.set()


async def swept(world: FaultWorld) -> float:
    """Sweeps that were finished (count)."""
    counts = [
        worker.metrics.registry.get_sample_value("conferral_sweeps_total", {"result": "done"}) or 0.0
        for worker in world.workers
    ]
    return sum(counts)


async def test_fault_58_list_that_is_older_than_a_call_does_not_end_it(world: FaultWorld) -> None:
    """Whoever was dialled while the list was on its way is not in it."""
    customer, agent = await world.converted()
    lists = Held(world, "/Calls.json", status="in-progress")
    await asyncio.wait_for(lists.taken.wait(), 10)
    target = await transferred(world, customer)
    before = await swept(world)

    lists.let_go()

    async def has_swept() -> bool:
        return await swept(world) >= before + 2

    await world.eventually(has_swept, "the sweep is over, and another one")
    assert {call.status for call in (customer, agent, target)} == {"in-progress"}
    session = await world.session(customer.sid)
    assert session["party.target.status"] == "connected"
    await all_hang_up(world)


async def test_fault_58_look_that_is_older_than_a_leaving_brings_nobody_back(world: FaultWorld) -> None:
    """The sweep suspects something, the session looks; before the picture comes, somebody leaves who is in it."""
    customer, agent = await world.converted()
    target = await transferred(world, customer)
    looks = Held(world, "/Participants.json")
    await world.client.xadd(
        stream_of(world.keys, customer.sid),
        {"type": "account_swept", "session": customer.sid, "finding": "call-missing", "sid": agent.sid, "token": "s1"},
    )
    await asyncio.wait_for(looks.taken.wait(), 10)
    target.hang_up()
    left = await world.until(customer.sid, **{"party.target.status": "left"})

    looks.let_go()

    async def is_read() -> bool:
        read = events_of(await world.log(customer.sid), "calls_read")
        return any(int(entry["version"]) > int(left["version"]) for entry in read)

    await world.eventually(is_read, "the picture has come")
    session = await world.session(customer.sid)
    assert session["party.target.status"] == "left"
    assert (customer.status, agent.status) == ("in-progress", "in-progress")
    await all_hang_up(world)


LEASE_MS = 1_000


@pytest.mark.soak
async def test_fault_59_partition_that_nobody_can_take_is_told_of_and_taken_up_again(redis_server: RedisServer) -> None:
    """Somebody has put a key of his own in the place of its lease: every worker is refused."""
    async with FaultWorld(redis_server, workers=2, lease_ms=LEASE_MS) as world:
        customer, agent = await world.talking()
        lease = world.keys.lease(world.keys.partition_of(customer.sid))
        pipeline = world.client.pipeline(transaction=True)
        pipeline.delete(lease)
        pipeline.set(lease, "somebody else's")
        await pipeline.execute()

        async def is_told() -> bool:
            names = "conferral_partitions_without_holder"
            return any(worker.metrics.registry.get_sample_value(names) == 1 for worker in world.workers)

        await world.eventually(is_told, "the alarm")
        command = asyncio.create_task(world.command("convert", customer.sid))
        await world.client.delete(lease)
        assert (await command).status == "done"
        assert world.redirects_of(agent) == 1

        async def is_over() -> bool:
            return not await is_told()

        await world.eventually(is_over, "the alarm is over")
        await all_hang_up(world)


@pytest.mark.soak
async def test_fault_59_readiness_names_the_partition_that_nobody_holds(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with FaultWorld(redis_server, workers=0) as world:
        with program(world, "worker", tmp_path / "worker.log") as worker:
            customer, _ = await world.talking()
            await until_ready(world, worker)
            number = world.keys.partition_of(customer.sid)
            await world.client.delete(world.keys.lease(number))
            await world.client.set(world.keys.lease(number), "somebody else's")

            async def is_named() -> bool:
                async with aiohttp.ClientSession() as session, session.get(f"{worker.url}/readyz") as response:
                    return f"partitions without holder: [{number}]" in await response.text()

            await world.eventually(is_named, "it is named", timeout_s=60)
            await world.client.delete(world.keys.lease(number))
            await until_ready(world, worker)
            assert (await world.command("convert", customer.sid)).status == "done"
            await all_hang_up(world, replays=False)
