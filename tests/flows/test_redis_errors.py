"""Redis takes no writes, or another one takes over: callers are connected all the same, and `/readyz` says why."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.sandbox.call_handle import CallHandle
from tests.support.local_system import AGENT, LocalSystem
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.tcp_relay import Relay

pytestmark = [pytest.mark.redis, pytest.mark.timeout(120)]


@dataclass(frozen=True)
class Trouble:
    """A Redis that refuses writes: how to cause it, how to fix it, and how it is reported."""

    state: str
    begin: Callable[[RedisServer], None]
    end: Callable[[RedisServer], None]


def asks(name: str, *arguments: Any) -> Callable[[RedisServer], None]:
    """Gives the server an order of its operator's."""

    def ask(server: RedisServer) -> None:
        with server.client() as redis:
            getattr(redis, name)(*arguments)

    return ask


def sends(number: signal.Signals) -> Callable[[RedisServer], None]:
    return lambda server: server.signal(number)


TROUBLES = {
    "full": Trouble("full (OOM)", asks("config_set", "maxmemory", "100kb"), asks("config_set", "maxmemory", 0)),
    "read-only": Trouble("read-only (READONLY)", asks("replicaof", "127.0.0.1", 1), asks("replicaof", "NO", "ONE")),
    "too few replicas": Trouble(
        "too few replicas (NOREPLICAS)",
        asks("config_set", "min-replicas-to-write", 1),
        asks("config_set", "min-replicas-to-write", 0),
    ),
    "silent": Trouble("no answer", sends(signal.SIGSTOP), sends(signal.SIGCONT)),
}


async def readiness(system: LocalSystem) -> tuple[int, list[str]]:
    """What the webhooks answer."""
    async with aiohttp.ClientSession() as session, session.get(f"{system.public_url}/readyz") as response:
        return response.status, (await response.json())["missing"]


async def worker_lacks(system: LocalSystem) -> list[str]:
    return await system.workers[0].problems()


def talk(one: CallHandle, other: CallHandle) -> bool:
    return all(call.hears_now is not None and call.hears_now.parties for call in (one, other))


@pytest.fixture
async def system(redis_program: Path) -> AsyncIterator[tuple[LocalSystem, RedisServer]]:
    with RedisServer(redis_program) as redis:
        async with LocalSystem(redis.url) as system:
            yield system, redis


@pytest.mark.parametrize("name", TROUBLES)
async def test_calls_are_bridged_while_redis_rejects_writes_and_all_continues_later(
    system: tuple[LocalSystem, RedisServer], name: str
):
    (system, redis), trouble = system, TROUBLES[name]
    assert (await readiness(system), await worker_lacks(system)) == ((200, []), [])
    talking = await system.talking()
    trouble.begin(redis)
    try:
        await system.eventually(
            lambda: readiness(system), "the webhooks say what is wrong", equals=(503, [f"redis: {trouble.state}"])
        )
        assert await worker_lacks(system) == [f"redis: {trouble.state}"]
        caller = await system.customer_calls()
        await system.sandbox.wait_until(lambda: len(system.sandbox.calls_of(AGENT)) == 2)
        agent = system.sandbox.calls_of(AGENT)[-1]
        await system.sandbox.wait_until(lambda: talk(caller, agent))
        assert talk(*talking)
    finally:
        trouble.end(redis)

    async def is_ready_again() -> bool:
        return await readiness(system) == (200, []) and await worker_lacks(system) == []

    await system.eventually(is_ready_again, "both processes are ready again")
    await system.done("convert", talking[0].sid)
    for call in (caller, talking[0]):
        call.hang_up()
    await system.settled()


async def all_are_held(system: LocalSystem) -> bool:
    return system.workers[0].metrics.registry.get_sample_value("conferral_partitions_unassigned") == 0


async def test_replica_takes_over_and_calls_continue_over_new_connections(redis_program: Path):
    """The old primary is demoted and goes on answering reads; nothing closes the connections to it."""
    first, second = (RedisServer(redis_program, port=free_port()) for _ in range(2))
    with first, second:
        asks("replicaof", "127.0.0.1", first.port)(second)
        async with Relay(first.socket) as relay, LocalSystem(relay.url, CONFERRAL_PARTITIONS=8) as system:
            calls = [await system.talking() for _ in range(3)]
            with first.client() as redis, second.client() as copy:
                async with asyncio.timeout(60):
                    while copy.info("replication")["master_link_status"] != "up":
                        await asyncio.sleep(0.02)
                redis.execute_command("WAIT", 1, 5_000)
            asks("replicaof", "NO", "ONE")(second)
            asks("replicaof", "127.0.0.1", second.port)(first)
            relay.lead_to(second.socket, cut=False)

            for customer, _ in calls:
                outcome = None
                while outcome is None:
                    try:
                        outcome = await system.command("convert", customer.sid, id=f"convert-{customer.sid}")
                    except StoreUnreachableError:
                        await asyncio.sleep(0.05)
                assert outcome.status == "done", outcome
            for customer, agent in calls:
                await system.sandbox.wait_until(lambda customer=customer, agent=agent: talk(customer, agent))
            assert (await readiness(system), await worker_lacks(system)) == ((200, []), [])
            await system.eventually(lambda: all_are_held(system), "the worker sees a holder of every partition")
            for customer, _ in calls:
                customer.hang_up()
            await system.settled()
