"""A Redis Cluster under load: a primary is killed, one hands over in good order, one hangs and comes back."""

import asyncio
import signal
import time
from random import Random

import pytest

from conferral.runtime.errors import StoreError
from conferral.storage.connection.client import as_store_errors
from tests.soak.invariants import until
from tests.soak.soak_environment import SWEEP_S, SoakEnvironment, gets_worse, soak_environment
from tests.support.redis_cluster import ClusterServers
from tests.support.redis_node import Node

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(600)]
#: So few that each has calls all the time: only a commit or a claim changes what is read of a lease.
PARTITIONS = 16
AT_ONCE = 150
PER_SECOND = 5.0
#: A lease that is held is written to at least so often, seconds.
RENEWED_S = 1.5
#: How long a primary hangs, seconds: longer than the others wait for it.
HANGS_S = 8.0
#: Until a replica has taken over and everyone has found it, on a busy machine.
FAILOVER_S = 60.0
ALONE_S = 2 + FAILOVER_S / 2 + 2 * SWEEP_S + 10
SETTLE_S = 120.0


async def test_cluster_fails_over_under_load(cluster: ClusterServers, chance: Random) -> None:
    async with soak_environment(cluster.url, chance, partitions=PARTITIONS) as on:
        traffic = on.traffic(per_second=PER_SECOND, lasts_s=AT_ONCE / PER_SECOND)
        traffic.start()
        await on.filled(AT_ONCE, 2 * AT_ONCE / PER_SECOND)
        gets_worse(on.sandbox.faults)
        for act in (_kill, _hand_over, _hang):
            primary = chance.choice(cluster.primaries())
            acting = asyncio.create_task(act(cluster, primary))
            await _all_written(on)
            await acting
            if not primary.is_up:
                await asyncio.to_thread(primary.start)
            await asyncio.to_thread(cluster.wait_until_whole)
            await on.all_held()
        await _slot_moves(on, cluster)
        await on.all_hang_up(traffic)
        await on.ends(settle_s=SETTLE_S, alone_s=ALONE_S)


async def _slot_moves(on: SoakEnvironment, cluster: ClusterServers) -> None:
    """The slot of a partition is given to another primary, key by key, while its calls go on."""
    number = on.chance.randrange(PARTITIONS)
    key = on.keys.lease(number)
    source = cluster.owner_of(key)
    target = next(node for node in cluster.primaries() if node is not source)
    slot = int(source.ask("CLUSTER", "KEYSLOT", key))
    began_s = time.monotonic()
    moving = asyncio.create_task(asyncio.to_thread(cluster.move_slot, slot, source, target))
    seen, since_s = await _lease(on, number), began_s
    while not moving.done() or time.monotonic() < since_s + RENEWED_S:
        found = await _lease(on, number)
        if found is not None and found != seen:
            seen, since_s = found, time.monotonic()
        assert time.monotonic() < began_s + FAILOVER_S, "the partition goes on at its new node"
        await asyncio.sleep(0.05)
    await moving
    assert cluster.owner_of(key) is target


async def _kill(_cluster: ClusterServers, primary: Node) -> None:
    primary.kill()


async def _hand_over(cluster: ClusterServers, primary: Node) -> None:
    await asyncio.to_thread(cluster.fail_over, primary)


async def _hang(_cluster: ClusterServers, primary: Node) -> None:
    primary.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(HANGS_S)  # a delay: how long the node hangs
    finally:
        primary.signal(signal.SIGCONT)


async def _all_written(on: SoakEnvironment) -> None:
    """Waits until the holder of each partition has written to its lease again."""
    waited_for = set(range(PARTITIONS))

    async def check(number: int) -> None:
        before = await _lease(on, number)
        while (found := await _lease(on, number)) == before or found is None or before is None:
            before = before or found
            await asyncio.sleep(0.05)
        waited_for.discard(number)

    checking = [asyncio.create_task(check(number)) for number in range(PARTITIONS)]
    await until(lambda: not waited_for, FAILOVER_S, "all partitions go on")
    await asyncio.gather(*checking)


async def _lease(on: SoakEnvironment, number: int) -> tuple[bytes | None, ...] | None:
    try:
        with as_store_errors():
            return tuple(await on.client.hmget(on.keys.lease(number), ["holder", "server", "commit"]))
    except StoreError:
        return None
