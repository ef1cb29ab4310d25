"""An entry that kills each worker that decides it is dead-lettered after three deaths; one in hand meanwhile is not.

In virtual time, on a Redis in memory.
"""

import asyncio
from functools import partial

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.events import CallReceived
from conferral.statemachine.session import Session
from conferral.storage.partition.partition_store import Entry, PartitionStore, append_events
from conferral.storage.partition.session_store import SessionStore
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, WorkerCluster, running_cluster

#: The leases of a dead worker expire, and the next one takes them.
TAKE_OVER_S = 8.0


def call(number: int) -> CallReceived:
    return CallReceived(
        session_id=f"CA{number:032x}", token="call_received", call_sid=f"CA{number:032x}",
        customer_address="+14155550123", agent_address="client:alice",
    )  # fmt: skip


@pytest.mark.parametrize("deadly", [1, 2])
@in_virtual_time
async def test_entry_over_which_three_workers_died_is_dead_lettered_alone(
    deadly: int, monkeypatch: pytest.MonkeyPatch, loop: VirtualLoop
) -> None:
    read, batch = PartitionStore.read, list[Entry]()

    async def remembered(store: PartitionStore, partition: int, count: int, after_id: str) -> list[Entry]:
        batch[:] = await read(store, partition, count, after_id)
        return [*batch]

    monkeypatch.setattr(PartitionStore, "read", remembered)

    async def starts(team: WorkerCluster) -> ClusterMember:
        async def dies_of_it(name: str, _partition: int) -> None:
            session_id = call(deadly).session_id.encode()
            if name == "after_read" and any(entry.fields[b"session"] == session_id for entry in batch):
                loop.call_soon(member.kill)  # between two of its callbacks
                await asyncio.Event().wait()

        member = team.join(checkpoint=dies_of_it)
        await team.passes(TAKE_OVER_S)
        return member

    team = WorkerCluster(loop, partitions=1)
    await append_events(team.client, team.keys, [call(1), call(2)])
    for size in (2, 1, 1):
        assert (await starts(team)).process.is_dead
        assert len(batch) == size
        assert not await team.client.exists(team.keys.dead)
    member = await starts(team)
    letters = await team.client.xrange(team.keys.dead)
    assert [letter[b"dead_reason"] for _, letter in letters] == [b"workers crashed processing it"]
    exist = [await team.client.exists(team.keys.session(call(number).session_id)) for number in (1, 2)]
    assert exist == [int(number != deadly) for number in (1, 2)]
    await team.leave(member)


@in_virtual_time_with("team", partial(running_cluster, partitions=1))
async def test_partition_that_is_given_up_again_and_again_makes_no_poison(team: WorkerCluster) -> None:
    """A mark stands for a worker's death, not for a try: Redis flaps while sessions load, or refuses every commit."""
    keys, load, failures = team.keys, SessionStore.load, iter(range(5))

    async def flaps(store: SessionStore, session_ids: list[str]) -> dict[str, Session]:
        if next(failures, None) is not None:
            raise StoreUnreachableError("flapping")
        return await load(store, session_ids)

    team.kill(await held(team))
    await append_events(team.client, keys, [call(1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SessionStore, "load", flaps)
        await held(team)
    assert next(failures, None) is None, "each was met"
    assert await team.client.exists(keys.session(call(1).session_id))

    await team.client.delete(keys.live(0))
    await team.client.set(keys.live(0), "of another program")
    await team.client.hset(keys.suspects(0), "effect", 4)
    await append_events(team.client, keys, [call(2)])
    await team.passes(TAKE_OVER_S)
    (epoch,) = await team.epochs()
    assert epoch > 5, "the partition was given up as often"
    await team.client.delete(keys.live(0))
    await team.passes(TAKE_OVER_S)
    assert await team.client.exists(keys.session(call(2).session_id))
    assert not await team.client.exists(keys.dead, keys.suspects(0))


async def held(team: WorkerCluster) -> ClusterMember:
    """A worker starts, and takes what another may have held."""
    member = team.join()
    await team.passes(TAKE_OVER_S)
    return member
