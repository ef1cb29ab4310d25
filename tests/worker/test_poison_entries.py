"""An entry that kills each worker that decides it: it is dead-lettered after three deaths, and the next one is decided.

In virtual time, on a Redis in memory.
"""

import asyncio

from conferral.statemachine.events import CallReceived
from conferral.storage.partition.partition_store import append_events
from tests.simulation.virtual_loop import VirtualLoop, run
from tests.worker.worker_cluster import ClusterMember, WorkerCluster

#: The leases of a dead worker expire, and the next one takes them.
TAKE_OVER_S = 8.0


def call(number: int) -> CallReceived:
    return CallReceived(
        session_id=f"CA{number:032x}", token="call_received", call_sid=f"CA{number:032x}",
        customer_address="+14155550123", agent_address="client:alice",
    )  # fmt: skip


async def lives(team: WorkerCluster, *, is_deadly: bool) -> ClusterMember:
    """A worker starts, and dies as soon as it has read entries to decide them."""

    async def checkpoint(name: str, _partition: int) -> None:
        if is_deadly and name == "after_read":
            member.kill()
            await asyncio.Event().wait()

    member = team.join(checkpoint=checkpoint)
    await team.passes(TAKE_OVER_S)
    return member


def test_entry_over_which_three_workers_died_is_dead_lettered_and_the_next_one_decided() -> None:
    async def story(loop: VirtualLoop) -> None:
        team = WorkerCluster(loop, partitions=1)
        await append_events(team.client, team.keys, [call(1), call(2)])
        for _ in range(3):
            member = await lives(team, is_deadly=True)
            assert member.process.is_dead
            assert not await team.client.exists(team.keys.dead)
        member = await lives(team, is_deadly=False)
        letters = await team.client.xrange(team.keys.dead)
        assert [letter[b"dead_reason"] for _, letter in letters] == [b"workers crashed processing it"]
        assert [await team.client.exists(team.keys.session(call(number).session_id)) for number in (1, 2)] == [0, 1]
        await team.leave(member)

    run(story)
