"""A replica takes over that has everything, while connections to the old primary stay open."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from conferral.runtime.errors import StoreError
from conferral.storage.connection.client import ask
from tests.fault_injection.calls import all_hang_up
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.redis_losses import AWAY_S, Life
from tests.flows.flow_helpers import TARGET
from tests.flows.readiness import readiness, worker_lacks
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.tcp_relay import Relay

pytestmark = [pytest.mark.redis, pytest.mark.timeout(120)]


@pytest.fixture
def pair(redis_program: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A primary and its replica."""
    with RedisServer(redis_program, port=free_port()) as primary, RedisServer(redis_program, port=free_port()) as copy:
        with copy.client() as client:
            client.replicaof("127.0.0.1", str(primary.port))
        yield primary, copy


async def has_everything(primary: RedisServer, replica: RedisServer) -> None:
    """Waits until the replica has all that the primary had by now."""
    with primary.client() as client, replica.client() as copy:
        async with asyncio.timeout(60):
            while copy.info("replication")["master_link_status"] != "up":
                await asyncio.sleep(0.01)
            while copy.info("replication")["slave_repl_offset"] < client.info("replication")["master_repl_offset"]:
                await asyncio.sleep(0.01)


def promote(replica: RedisServer) -> None:
    with replica.client() as client:
        client.replicaof("NO", "ONE")


@pytest.mark.parametrize("step", [
    pytest.param("bridged", marks=pytest.mark.soak), "ringing", pytest.param("all talk", marks=pytest.mark.soak),
])  # fmt: skip
async def test_fault_18_old_primary_is_demoted_and_connections_stay_open(pair, step):
    """It goes on answering reads and refuses writes; no one closes the connections that lead to it."""
    primary, replica = pair
    async with (
        Relay(primary.socket) as relay,
        FaultSystem(primary, redis_url=relay.url, CONFERRAL_CONVERT_TIMEOUT=10) as system,
    ):
        life = Life(system)
        await life.go_to(step)
        await has_everything(primary, replica)
        promote(replica)
        with primary.client() as client:
            client.replicaof("127.0.0.1", str(replica.port))
        relay.lead_to(replica.socket)

        async def is_known_as_primary() -> bool:
            with suppress(StoreError):
                await ask(system.client, "SET", system.keys.probe, 1)
                return await takes_writes(system)
            return False

        await system.eventually(is_known_as_primary, "everybody asks the new primary")
        await life.go_to(Life.STEPS[Life.STEPS.index(step) + 1])
        assert (system.redirects_of(life.agent), system.dials_to(TARGET)) == (1, int(step != "bridged"))
        assert (await readiness(system), await worker_lacks(system)) == ((200, []), [])
        await system.eventually(lambda: all_are_held(system), "the worker sees an owner of every partition")
        await all_hang_up(system, outage_s=AWAY_S)


async def all_are_held(system: FaultSystem) -> bool:
    return system.workers[0].metrics.registry.get_sample_value("conferral_partitions_unassigned") == 0


async def takes_writes(system: FaultSystem) -> bool:
    """Whether webhooks and worker are through to a Redis that takes what they write."""
    return not await system.workers[0].problems() and not await system.publisher.redis_error()
