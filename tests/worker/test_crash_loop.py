"""An entry that kills each worker that decides it: its partition is retried once a minute, and the others go on.

In virtual time, on a Redis in memory.
"""

import asyncio
from collections import defaultdict
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.events import CallProgressed, CallReceived
from conferral.statemachine.session import Session
from conferral.storage.entries import Entry
from conferral.storage.partition.commit_store import CommitStore
from conferral.storage.partition.partition_store import PartitionStore, append_events
from conferral.worker.partition.crash_loop import RETRY_S
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, WorkerCluster, running_cluster

#: A dead worker's leases run out, and the next one takes them.
TAKE_OVER_S = 8.0
#: How long after the third death all other partitions have gone on, seconds.
OTHERS_GO_ON_S = 7.0
RESTART_S = 0.5

of_16_partitions = in_virtual_time_with("team", running_cluster)
of_1_partition = in_virtual_time_with("team", partial(running_cluster, partitions=1))


class Killer:
    """Makes workers die of one session's entries, and starts another for each, as systemd does."""

    def __init__(self, team: WorkerCluster, session_id: str, patch: pytest.MonkeyPatch) -> None:
        self.team, self.session_id = team, session_id
        self.died_at_s: list[float] = []
        #: What the partitions have read last.
        self.batches: defaultdict[int, list[Entry]] = defaultdict(list)
        read = PartitionStore.read

        async def remembered(store: PartitionStore, number: int, count: int) -> list[Entry]:
            self.batches[number] = await read(store, number, count)
            return [*self.batches[number]]

        patch.setattr(PartitionStore, "read", remembered)

    def start(self) -> ClusterMember:
        async def dies_of_it(name: str, number: int) -> None:
            sessions = {entry.fields[b"session"].decode() for entry in self.batches[number]}
            if name == "after_read" and self.session_id in sessions:
                self.team.loop.call_soon(self._kill, member)  # between two of its callbacks
                await asyncio.Event().wait()

        member = self.team.join(checkpoint=dies_of_it)
        return member

    def _kill(self, member: ClusterMember) -> None:
        if member.name in self.team.alive:
            self.team.kill(member)
            self.died_at_s.append(self.team.loop.time())

    async def restart(self, count: int) -> None:
        """Has so many workers live."""
        while True:
            await self.team.passes(RESTART_S)
            for _ in range(count - len(self.team.alive)):
                self.start()

    async def until_deaths(self, count: int) -> None:
        began_s = self.team.loop.time()
        while len(self.died_at_s) < count:
            await self.team.passes(0.01)
            assert self.team.loop.time() < began_s + 2 * RETRY_S, self.died_at_s


def call(session_id: str) -> CallReceived:
    return CallReceived(
        session_id=session_id, token="call_received", call_sid=f"CA-{session_id}",
        customer_address="+14155550123", agent_address="client:alice",
    )  # fmt: skip


def session_in(team: WorkerCluster, number: int, name: str) -> str:
    """A session's id of a partition."""
    return next(one for at in range(1_000) if team.keys.partition_of(one := f"{name}-{at}") == number)


async def keep_busy(team: WorkerCluster, numbers: list[int]) -> None:
    """An event of no known session in each partition, twice a second."""
    sessions = [session_in(team, number, "unknown") for number in numbers]
    events = [CallProgressed(session_id=name, party="agent", call_sid="CA1", status="completed") for name in sessions]
    while True:
        await append_events(team.client, team.keys, events)
        await team.passes(0.5)


def shown(team: WorkerCluster) -> set[int]:
    """Which partitions the workers show as crash loops."""
    partitions = [one for member in team.alive.values() for one in member.ownership.partitions.values()]
    return {one.number for one in partitions if one.is_crash_looping}


@pytest.mark.parametrize(
    "bad, is_busy", [(0, False), (0, True), *(pytest.param(15, is_busy, marks=pytest.mark.soak) for is_busy in (0, 1))]
)
@of_16_partitions
async def test_other_partitions_go_on_within_seconds_of_the_third_death(
    bad: int, is_busy: bool, monkeypatch: pytest.MonkeyPatch, team: WorkerCluster
) -> None:
    deadly, others = session_in(team, bad, "deadly"), [number for number in range(16) if number != bad]
    killer = Killer(team, deadly, monkeypatch)
    restarting = asyncio.ensure_future(killer.restart(2))
    await team.until_fair(6.0)
    busy = asyncio.ensure_future(keep_busy(team, others)) if is_busy else None
    await append_events(team.client, team.keys, [call(deadly)])
    for deaths in (3, 4):
        await killer.until_deaths(deaths)
        seen = [session_in(team, number, f"after-{deaths}") for number in others]
        await append_events(team.client, team.keys, map(call, seen))  # type: ignore[arg-type]
        await team.passes(OTHERS_GO_ON_S)
        assert all([await team.client.exists(team.keys.session(name)) for name in seen])
        assert shown(team) == {bad}
        assert len(killer.died_at_s) == deaths
        if busy is not None:
            busy.cancel()
    assert killer.died_at_s[3] - killer.died_at_s[2] == pytest.approx(RETRY_S, abs=1.0)

    ((entry_id, _),) = await team.client.xrange(team.keys.events(bad), "-", "+", count=1)
    await team.client.xdel(team.keys.events(bad), entry_id)
    await append_events(team.client, team.keys, [call(later := session_in(team, bad, "later"))])
    await team.passes(RETRY_S)
    assert await team.client.exists(team.keys.session(later))
    assert (len(killer.died_at_s), shown(team)) == (4, set())
    assert await team.client.hget(team.keys.lease(bad), "claims") == b"0"
    restarting.cancel()


@of_1_partition
async def test_deadly_entry_is_the_oldest_of_its_stream_in_the_end(
    monkeypatch: pytest.MonkeyPatch, team: WorkerCluster
) -> None:
    """What was read together with it is decided, if it is older: the runbook has the oldest entry removed."""
    killer = Killer(team, "deadly", monkeypatch)
    await append_events(team.client, team.keys, map(call, ("s1", "s2", "deadly", "s3")))  # type: ignore[arg-type]
    restarting = asyncio.ensure_future(killer.restart(1))
    with capture_logs() as lines:
        await killer.until_deaths(4)
        await team.passes(RETRY_S / 2)
    found = [entry[b"session"] for _, entry in await team.client.xrange(team.keys.events(0))]
    assert found == [b"deadly", b"s3"]
    assert len(killer.died_at_s) == 4
    logged = [(line["partition"], line["count"]) for line in lines if line["event"] == "crash_loop_detected"]
    assert logged == [(0, 3), (0, 4)]
    assert not await team.client.exists(team.keys.dead)
    restarting.cancel()


@of_1_partition
async def test_stopped_worker_gives_a_crash_loop_back_and_the_next_one_waits_on(
    monkeypatch: pytest.MonkeyPatch, team: WorkerCluster
) -> None:
    killer = Killer(team, "deadly", monkeypatch)
    await append_events(team.client, team.keys, [call("deadly")])
    restarting = asyncio.ensure_future(killer.restart(1))
    await killer.until_deaths(3)
    await team.passes(10.0)
    (holder,) = team.alive.values()
    began_s = team.loop.time()
    await team.leave(holder)
    assert team.loop.time() - began_s < 1.0
    await team.passes(5.0)
    (other,) = team.alive.values()
    assert other.ownership.partitions[0].lease.claims == 3, "a stop is no death"
    await killer.until_deaths(4)
    assert killer.died_at_s[3] - killer.died_at_s[2] == pytest.approx(RETRY_S, abs=1.0)
    restarting.cancel()


@of_1_partition
async def test_partition_that_is_given_up_again_and_again_is_no_crash_loop(team: WorkerCluster) -> None:
    """A claim counts after a worker's death, not after an error: another program's key refuses every commit."""
    keys = team.keys
    for _ in range(2):
        member = team.join()
        await team.passes(TAKE_OVER_S)
        await append_events(team.client, keys, [call("s1")])
        team.kill(member)
    await team.client.set(keys.live(0), "of another program")
    team.join()
    await append_events(team.client, keys, [call("s2")])
    await team.passes(TAKE_OVER_S)
    (epoch,) = await team.epochs()
    assert epoch > 5, "the partition was given up as often"
    assert await team.client.hget(keys.lease(0), "claims") == b"1"
    await team.client.delete(keys.live(0))
    await team.passes(TAKE_OVER_S)
    assert await team.client.exists(keys.session("s2"))
    assert not await team.client.exists(keys.dead)


@of_1_partition
async def test_claims_are_forgotten_after_ten_seconds_of_life(team: WorkerCluster) -> None:
    """Its entries can't be decided, because Redis flaps: they kill no one."""

    async def flaps(_store: CommitStore, _session_ids: Any) -> dict[str, Session]:
        raise StoreUnreachableError("flapping")

    team.join()
    await team.passes(TAKE_OVER_S)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CommitStore, "load", flaps)
        await append_events(team.client, team.keys, [call("s1")])
        for _ in range(2):
            team.kill(next(iter(team.alive.values())))
            member = team.join()
            await team.passes(5.0)
        lease = member.ownership.partitions[0].lease
        assert lease.claims == 2
        await team.passes(10.0)
        assert lease.claims == 0
        assert await team.client.hget(team.keys.lease(0), "claims") == b"0"
    await team.passes(1.0)
    assert await team.client.exists(team.keys.session("s1"))
