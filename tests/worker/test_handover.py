"""Partitions change hands while people talk: workers come and go, and nobody notices."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import pytest

from conferral.storage import lease as leases
from conferral.storage.connection import Client, make_client
from conferral.worker.outside import MakesClients, Outside
from conferral.worker.process import Worker
from tests.support.redis_server import RedisServer
from tests.support.world import World

pytestmark = pytest.mark.redis
PARTITIONS = 8
CALLS = 16


@pytest.fixture
async def world(redis_server: RedisServer) -> AsyncIterator[World]:
    # Leases last for a minute here, so that only giving back can have freed one.
    async with World(
        redis_server.url, lease_ms=60_000, CONFERRAL_PARTITIONS=PARTITIONS, CONFERRAL_CONVERT_TIMEOUT=10
    ) as world:
        yield world


def shares(world: World) -> list[int]:
    return sorted(len(worker.keeper.held) for worker in world.workers if worker.keeper is not None)


async def shared(world: World, *wanted: int) -> None:
    async def fair() -> bool:
        held = [number for worker in world.workers if worker.keeper for number in worker.keeper.held]
        return shares(world) == sorted(wanted) and sorted(held) == list(range(PARTITIONS))

    await world.eventually(fair, f"shares are {wanted}")


async def test_calls_go_on_while_workers_come_and_go(world: World) -> None:
    """Each conversion is asked of Twilio once, whoever of the workers has the call in hand when."""
    calls = await asyncio.gather(*(world.talking() for _ in range(CALLS)))
    # Requests take their time, so that some are under way whenever a partition is given back.
    for _, agent in calls:
        world.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=0.2)

    async def convert(number: int) -> str:
        await asyncio.sleep(0.05 * number)  # a delay: spaces the conversions
        return (await world.command("convert", calls[number][0].sid)).status

    converting = [asyncio.create_task(convert(number)) for number in range(CALLS)]
    await asyncio.sleep(0.1)  # a delay: some conversions have to be under way
    world.start_worker()
    await shared(world, 4, 4)
    world.start_worker()
    await shared(world, 2, 3, 3)
    assert await world.stop_worker(0) == 0
    await shared(world, 0, 4, 4)
    assert set(await asyncio.gather(*converting)) == {"done"}
    for customer, agent in calls:
        assert (world.redirects_of(agent), world.redirects_of(customer)) == (1, 0)
        versions = [int(entry["version"]) for entry in await world.log(customer.sid)]
        assert versions == list(range(1, len(versions) + 1))
        agent.hang_up()
    await world.settled()


@pytest.mark.soak
async def test_partition_is_without_holder_for_less_than_a_second(world: World) -> None:
    """From the moment in which it is given back; eight of them, given back four times, with calls in each."""
    gaps_s = [0.0]
    since_s: dict[int, float] = {}
    keys = [world.keys.lease(number) for number in range(PARTITIONS)]

    async def watch() -> None:
        while True:
            for number, standing in enumerate(await leases.look(world.client, keys)):
                if standing is not None and not standing.until_ms:
                    since_s.setdefault(number, time.monotonic())
                elif number in since_s:
                    gaps_s.append(time.monotonic() - since_s.pop(number))
            await asyncio.sleep(0.001)

    calls = await asyncio.gather(*(world.talking() for _ in range(CALLS)))
    watching = asyncio.create_task(watch())
    began_s = time.monotonic()
    world.start_worker()
    await shared(world, 4, 4)
    shared_after_s = time.monotonic() - began_s
    world.start_worker()
    await shared(world, 2, 3, 3)
    await world.stop_worker(0)
    await shared(world, 0, 4, 4)
    await world.stop_worker(1)
    await shared(world, 0, 0, 8)
    watching.cancel()
    figures = f"{len(gaps_s) - 1} hand-overs, longest {max(gaps_s):.3f} s; shared {shared_after_s:.3f} s after a join"
    sys.stderr.write(f"{figures}\n")
    lost_s = world.stalls.lost_s(began_s, time.monotonic())
    assert max(gaps_s) < 1.0 + lost_s, figures
    for _, agent in calls:
        agent.hang_up()
    await world.settled()


def _as_user(server: RedisServer, name: str, password: str) -> MakesClients:
    def make(_url: str, *, blocking: bool = False, max_connections: int = 64) -> Client:
        url = f"unix://{name}:{password}@{server.socket}"
        return make_client(url, blocking=blocking, max_connections=max_connections)

    return make


async def test_without_the_right_to_pub_sub_partitions_are_shared_all_the_same(redis_server: RedisServer) -> None:
    """An ACL user without channels, as hardened set-ups have them."""
    async with World(redis_server.url, workers=0, CONFERRAL_PARTITIONS=PARTITIONS) as world:
        await world.client.execute_command(
            "ACL", "SETUSER", "narrow", "on", ">secret", "~*", "resetchannels", "+@all", "-publish", "-subscribe"
        )
        try:
            world.worker_options = {"outside": Outside(redis=_as_user(redis_server, "narrow", "secret"))}
            world.start_worker()
            world.start_worker()
            await shared(world, 4, 4)
            customer, _ = await world.talking()
            assert (await world.command("end", customer.sid)).status == "done"
            await world.settled()
        finally:
            await asyncio.gather(*(world.stop_worker(index) for index in range(2)))
            await world.client.execute_command("ACL", "DELUSER", "narrow")


async def test_worker_that_stops_keeps_what_it_has_under_way_until_it_is_done(redis_server: RedisServer) -> None:
    """Twilio takes longer than a lease lasts: it is renewed, and given back when the answer is there."""
    async with World(redis_server.url, lease_ms=800, CONFERRAL_PARTITIONS=1, CONFERRAL_CONVERT_TIMEOUT=10) as world:
        customer, agent = await world.talking()
        world.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=2.5)
        converting = asyncio.create_task(world.command("convert", customer.sid))
        await world.eventually(lambda: asked(world, agent.sid), "the request is under way")
        successor = world.start_worker()
        assert await world.stop_worker(0) == 0
        assert (await converting).status == "done"
        await shared_by(world, successor)
        assert successor.keeper is not None
        assert successor.keeper.held[0].lease.was_clean
        assert world.redirects_of(agent) == 1
        agent.hang_up()
        await world.settled()


async def asked(world: World, call_sid: str) -> bool:
    return bool(world.sandbox.ledger.requests("POST", f"/Calls/{call_sid}"))


async def shared_by(world: World, worker: Worker) -> None:
    async def has_it() -> bool:
        return worker.keeper is not None and 0 in worker.keeper.held

    await world.eventually(has_it, "the successor has the partition")
