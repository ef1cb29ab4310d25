"""Another Redis takes over: calls go on, and `/readyz` says what is wrong."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.sandbox.call_handle import CallHandle
from tests.support.local_system import LocalSystem
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.tcp_relay import Relay

pytestmark = [pytest.mark.redis, pytest.mark.timeout(120)]


def asks(name: str, *arguments: Any) -> Callable[[RedisServer], None]:
    """Gives the server an order of its operator's."""

    def ask(server: RedisServer) -> None:
        with server.client() as redis:
            getattr(redis, name)(*arguments)

    return ask


async def readiness(system: LocalSystem) -> tuple[int, list[str]]:
    """What the webhooks answer."""
    async with aiohttp.ClientSession() as session, session.get(f"{system.public_url}/readyz") as response:
        return response.status, (await response.json())["missing"]


async def worker_lacks(system: LocalSystem) -> list[str]:
    return await system.workers[0].problems()


def talk(one: CallHandle, other: CallHandle) -> bool:
    return all(call.hears_now is not None and call.hears_now.parties for call in (one, other))


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
