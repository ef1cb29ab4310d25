"""A Redis Cluster whose slots move and whose primaries die while calls are being handed over."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault_injection.calls import all_hang_up, many_talk, transferred
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.redis_rollback import SWEEP_S, Life, comes_to_rest, no_one_is_in_silence
from tests.flows.flow_helpers import TARGET
from tests.support.redis_cluster import ClusterServers

pytestmark = [pytest.mark.redis, pytest.mark.soak, pytest.mark.timeout(240)]
#: Until a replica has taken over and everyone has found it, seconds.
FAILOVER_S = 20.0


@pytest.fixture(scope="module")
def running_cluster(redis_program: Path) -> Iterator[ClusterServers]:
    with ClusterServers(redis_program) as servers:
        yield servers


@pytest.fixture
def cluster(running_cluster: ClusterServers) -> ClusterServers:
    running_cluster.reset()
    return running_cluster


def move_all_partitions(system: FaultSystem, cluster: ClusterServers) -> int:
    """Moves the slot of every partition to the next primary, key by key; returns how many were moved (count)."""
    for partition in range(system.keys.partitions):
        key = system.keys.events(partition)
        source, primaries = cluster.owner_of(key), cluster.primaries()
        target = primaries[(primaries.index(source) + 1) % len(primaries)]
        cluster.move_slot(int(source.ask("CLUSTER", "KEYSLOT", key)), source, target)
    return system.keys.partitions


async def test_fault_30_slots_move_under_load(cluster):
    """MOVED, ASK and TRYAGAIN are absorbed: calls are converted and held while every partition moves twice."""
    async with FaultSystem(cluster, CONFERRAL_CONVERT_TIMEOUT=20) as system:
        talking = await many_talk(system, 6)
        goes_on, done_count = True, 0

        async def keep_busy(session: str) -> None:
            nonlocal done_count
            number = 0
            while goes_on or number < 2:
                kind = ("hold", "unhold")[number % 2]
                given = await system.begins(kind, session, party="customer", id=f"{session[:12]}-{number}")
                assert (await system.outcome_of(given)).status in ("done", "failed")
                done_count += 1
                number += 1

        working = [asyncio.create_task(keep_busy(customer.sid)) for customer, _ in talking]
        moved = 0
        for _ in range(2):
            before = done_count
            moved += await asyncio.to_thread(move_all_partitions, system, cluster)
            await system.eventually(lambda before=before: done_count > before, "commands go on")
        goes_on = False
        await asyncio.gather(*working)
        assert moved == 2 * system.keys.partitions
        for customer, agent in talking:
            assert (customer.status, agent.status) == ("in-progress", "in-progress")
            assert system.redirects_of(agent) == 1
        await transferred(system, talking[0][0])
        assert system.dials_to(TARGET) == 1
        await all_hang_up(system, outage_s=FAILOVER_S)


@pytest.mark.parametrize("step", ["bridged", "converted", "ringing", "all talk"])
async def test_fault_31_primary_dies_and_its_replica_is_promoted(cluster, step):
    """The node that has the session's partition: what it had not passed on to its replica yet is lost."""
    async with FaultSystem(cluster, CONFERRAL_SWEEP_INTERVAL=SWEEP_S, CONFERRAL_CONVERT_TIMEOUT=20) as system:
        life = Life(system)
        await life.go_to(step)
        primary = cluster.owner_of(system.keys.session(life.customer.sid))
        replica = cluster.replica_of(primary)
        primary.kill()
        await system.eventually(
            lambda: asyncio.to_thread(replica.is_primary), "the replica has taken over", timeout_s=2 * FAILOVER_S
        )
        await comes_to_rest(system)
        await system.eventually(lambda: no_one_is_in_silence(system), "no one is in silence")
        assert life.customer.status == "in-progress", await system.report()
        await life.go_to(Life.STEPS[Life.STEPS.index(step) + 1])
        assert system.dials_to(TARGET) <= 1
        system.histories[cluster.nodes.index(primary)].follow(replica.port)
        await all_hang_up(system, outage_s=FAILOVER_S, is_rolled_back=True)
