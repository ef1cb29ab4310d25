"""Partitions change hands while people talk: workers come and go, and no one notices."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from conferral.storage.connection.client import Client, make_client
from conferral.storage.partition import lease as leases
from conferral.worker.process import Worker
from tests.support.local_system import LocalSystem
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
PARTITIONS = 8
CALLS = 16


@pytest.fixture
async def system(redis_server: RedisServer) -> AsyncIterator[LocalSystem]:
    # Leases last for a minute here, so that only giving back can have freed one.
    async with LocalSystem(
        redis_server.url, lease_ms=60_000, CONFERRAL_PARTITIONS=PARTITIONS, CONFERRAL_CONVERT_TIMEOUT=10
    ) as system:
        yield system


def shares(system: LocalSystem) -> list[int]:
    return sorted(len(worker.assigner.consumers) for worker in system.workers if worker.assigner is not None)


async def shared(system: LocalSystem, *wanted: int) -> None:
    async def fair() -> bool:
        held = [number for worker in system.workers if worker.assigner for number in worker.assigner.consumers]
        return shares(system) == sorted(wanted) and sorted(held) == list(range(PARTITIONS))

    await system.eventually(fair, f"shares are {wanted}")


async def test_calls_continue_while_workers_start_and_stop(system: LocalSystem) -> None:
    """Each conversion is requested once, whichever workers hold the call meanwhile."""
    calls = await asyncio.gather(*(system.talking() for _ in range(CALLS)))
    # Requests take their time, so that some are under way whenever a partition is given back.
    for _, agent in calls:
        system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=0.2)

    async def convert(number: int) -> str:
        await asyncio.sleep(0.05 * number)  # a delay: spaces the conversions
        return (await system.command("convert", calls[number][0].sid)).status

    converting = [asyncio.create_task(convert(number)) for number in range(CALLS)]
    await asyncio.sleep(0.1)  # a delay: some conversions have to be under way
    system.start_worker()
    await shared(system, 4, 4)
    system.start_worker()
    await shared(system, 2, 3, 3)
    assert await system.stop_worker(0) == 0
    await shared(system, 0, 4, 4)
    assert set(await asyncio.gather(*converting)) == {"done"}
    for customer, agent in calls:
        assert (system.redirects_of(agent), system.redirects_of(customer)) == (1, 0)
        versions = [int(entry["version"]) for entry in await system.log(customer.sid)]
        assert versions == list(range(1, len(versions) + 1))
        agent.hang_up()
    await system.settled()


@pytest.mark.soak
async def test_partition_is_without_holder_for_less_than_a_second(system: LocalSystem) -> None:
    """From the moment in which it is given back; eight of them, given back four times, with calls in each."""
    gaps_s = [0.0]
    since_s: dict[int, float] = {}
    now_s = asyncio.get_running_loop().time
    keys = [system.keys.lease(number) for number in range(PARTITIONS)]

    async def watch() -> None:
        while True:
            for number, standing in enumerate(await leases.read_leases(system.client, keys)):
                if standing is not None and not standing.until_ms:
                    since_s.setdefault(number, now_s())
                elif number in since_s:
                    gaps_s.append(now_s() - since_s.pop(number))
            await asyncio.sleep(0.001)

    calls = await asyncio.gather(*(system.talking() for _ in range(CALLS)))
    watching = asyncio.create_task(watch())
    began_s = now_s()
    system.start_worker()
    await shared(system, 4, 4)
    shared_after_s = now_s() - began_s
    system.start_worker()
    await shared(system, 2, 3, 3)
    await system.stop_worker(0)
    await shared(system, 0, 4, 4)
    await system.stop_worker(1)
    await shared(system, 0, 0, 8)
    watching.cancel()
    figures = f"{len(gaps_s) - 1} hand-overs, longest {max(gaps_s):.3f} s; shared {shared_after_s:.3f} s after a join"
    sys.stderr.write(f"{figures}\n")
    assert max(gaps_s) < 1.0, figures
    for _, agent in calls:
        agent.hang_up()
    await system.settled()


def _as_user(server: RedisServer, name: str, password: str) -> Callable[..., Client]:
    def make(_url: str, *, blocking: bool = False, max_connections: int = 64) -> Client:
        url = f"unix://{name}:{password}@{server.socket}"
        return make_client(url, blocking=blocking, max_connections=max_connections)

    return make


async def test_without_the_right_to_pub_sub_partitions_are_shared_all_the_same(redis_server: RedisServer) -> None:
    """An ACL user without channels, as hardened set-ups have them."""
    async with LocalSystem(redis_server.url, workers=0, CONFERRAL_PARTITIONS=PARTITIONS) as system:
        await system.client.execute_command(
            "ACL", "SETUSER", "narrow", "on", ">secret", "~*", "resetchannels", "+@all", "-publish", "-subscribe"
        )
        try:
            system.worker_options = {"redis": _as_user(redis_server, "narrow", "secret")}
            system.start_worker()
            system.start_worker()
            await shared(system, 4, 4)
            customer, _ = await system.talking()
            assert (await system.command("end", customer.sid)).status == "done"
            await system.settled()
        finally:
            await asyncio.gather(*(system.stop_worker(index) for index in range(2)))
            await system.client.execute_command("ACL", "DELUSER", "narrow")


async def test_worker_that_stops_keeps_what_it_has_under_way_until_it_is_done(redis_server: RedisServer) -> None:
    """Twilio takes longer than a lease lasts: it is renewed, and given back when the answer is there."""
    async with LocalSystem(
        redis_server.url, lease_ms=800, CONFERRAL_PARTITIONS=1, CONFERRAL_CONVERT_TIMEOUT=10
    ) as system:
        customer, agent = await system.talking()
        system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=2.5)
        converting = asyncio.create_task(system.command("convert", customer.sid))
        await system.eventually(lambda: asked(system, agent.sid), "the request is under way")
        successor = system.start_worker()
        assert await system.stop_worker(0) == 0
        assert (await converting).status == "done"
        await shared_by(system, successor)
        assert successor.assigner is not None
        assert successor.assigner.consumers[0].lease.was_released
        assert system.redirects_of(agent) == 1
        agent.hang_up()
        await system.settled()


async def asked(system: LocalSystem, call_sid: str) -> bool:
    return bool(system.sandbox.request_log.requests("POST", f"/Calls/{call_sid}"))


async def shared_by(system: LocalSystem, worker: Worker) -> None:
    async def has_it() -> bool:
        return worker.assigner is not None and 0 in worker.assigner.consumers

    await system.eventually(has_it, "the successor has the partition")
