"""An entry that ends each worker that decides it costs five workers at most, and no other call stops.

In virtual time, on a Redis in memory.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from functools import partial

import pytest

from conferral.statemachine.events import CallReceived, Event, Hold
from conferral.statemachine.reasons import Reason
from conferral.storage.entries import Entry
from conferral.storage.partition.partition_store import PartitionStore, append_events
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, WorkerCluster, running_cluster

#: A dead worker's leases run out, and the next one takes them.
TAKE_OVER_S = 8.0
RESTART_S = 0.5

of_16_partitions = in_virtual_time_with("team", running_cluster)
of_1_partition = in_virtual_time_with("team", partial(running_cluster, partitions=1))


class Killer:
    """Makes workers die of one entry, and starts others, as systemd does."""

    def __init__(self, team: WorkerCluster, token: str, patch: pytest.MonkeyPatch, *, others_take_s: float = 0) -> None:
        self.team, self.token, self.others_take_s = team, token, others_take_s
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
            if name == "after_read" and any(self.token in str(entry.fields) for entry in self.batches[number]):
                self.team.loop.call_soon(self._kill, member)  # between two of its callbacks
                await asyncio.Event().wait()
            await asyncio.sleep(self.others_take_s)  # a delay: of a decision, in virtual time

        member = self.team.join(checkpoint=dies_of_it)
        return member

    def _kill(self, member: ClusterMember) -> None:
        if member.name in self.team.alive:
            self.team.kill(member)
            self.died_at_s.append(self.team.loop.time())

    async def restart(self, count: int) -> None:
        """Has so many workers live."""
        while True:
            for _ in range(count - len(self.team.alive)):
                self.start()
            await self.team.passes(RESTART_S)


def call(session_id: str) -> CallReceived:
    return CallReceived(
        session_id=session_id, token="call_received", call_sid=f"CA-{session_id}",
        customer_address="+14155550123", agent_address="client:alice",
    )  # fmt: skip


def session_in(team: WorkerCluster, number: int, name: str) -> str:
    """A session's id of a partition."""
    return next(one for at in range(1_000) if team.keys.partition_of(one := f"{name}-{at}") == number)


async def append(team: WorkerCluster, events: Iterable[Event]) -> None:
    await append_events(team.client, team.keys, [*events])


async def dead_letters(team: WorkerCluster) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in await team.client.xrange(team.keys.dead)]


@pytest.mark.parametrize("place", [0, 4, 30])
@of_16_partitions
async def test_entry_anywhere_in_a_batch_costs_five_workers_and_no_other_call(
    place: int, monkeypatch: pytest.MonkeyPatch, team: WorkerCluster
) -> None:
    bad = 7
    deadly, killer = session_in(team, bad, "deadly"), Killer(team, "deadly", monkeypatch)
    waiting = [session_in(team, bad, f"before-{at}") for at in range(place)]
    waiting += [session_in(team, bad, f"after-{at}") for at in range(3)]
    waiting += [session_in(team, number, f"other-{at}") for number in range(16) if number != bad for at in range(25)]
    events = [*map(call, waiting)]
    await append(team, [*events[:place], call(deadly), *events[place:]])
    restarting = asyncio.ensure_future(killer.restart(2))
    await team.passes(6 * TAKE_OVER_S)
    assert [name for name in waiting if not await team.client.exists(team.keys.session(name))] == []
    assert 3 <= len(killer.died_at_s) <= 5
    (letter,) = await dead_letters(team)
    assert (letter[b"session"], letter[b"dead_reason"]) == (deadly.encode(), b"ended each worker that decided it")
    restarting.cancel()


@of_16_partitions
async def test_entry_that_waits_next_to_a_deadly_one_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch, team: WorkerCluster
) -> None:
    """Each death comes before another partition has committed: that says nothing of the other's oldest entry."""
    killer = Killer(team, "deadly", monkeypatch, others_take_s=0.3)
    await append(team, [call(session_in(team, number, "deadly" if number == 7 else "other")) for number in range(16)])
    restarting = asyncio.ensure_future(killer.restart(1))
    await team.passes(8 * TAKE_OVER_S)
    (letter,) = await dead_letters(team)
    assert letter[b"session"] == session_in(team, 7, "deadly").encode()
    others = [session_in(team, number, "other") for number in range(16) if number != 7]
    assert [name for name in others if not await team.client.exists(team.keys.session(name))] == []
    restarting.cancel()


@of_16_partitions
async def test_others_go_on_between_deaths(monkeypatch: pytest.MonkeyPatch, team: WorkerCluster) -> None:
    killer, bad = Killer(team, "deadly", monkeypatch), 15
    restarting = asyncio.ensure_future(killer.restart(2))
    await team.until_fair(6.0)
    await append(team, [call(session_in(team, bad, "deadly"))])
    for deaths in range(1, 6):
        seen = [session_in(team, number, f"new-{deaths}") for number in range(15)]
        await append(team, map(call, seen))
        await team.passes(TAKE_OVER_S)
        assert [name for name in seen if not await team.client.exists(team.keys.session(name))] == []
    assert len(killer.died_at_s) == 3
    assert await team.client.xlen(team.keys.events(bad)) == 0
    restarting.cancel()


@of_1_partition
async def test_deadly_command_is_failed_as_unknown_and_its_live_session_reads_twilio(
    monkeypatch: pytest.MonkeyPatch, team: WorkerCluster
) -> None:
    killer = Killer(team, "deadly", monkeypatch)
    restarting = asyncio.ensure_future(killer.restart(1))
    await append(team, [call("s1")])
    await team.passes(TAKE_OVER_S)
    await append(team, [Hold(session_id="s1", token="deadly", party="customer")])
    await team.passes(5 * TAKE_OVER_S)
    found = await team.client.hgetall(team.keys.command("deadly"))
    assert (found[b"status"], found[b"reason"]) == (b"failed", Reason.UNKNOWN.encode())
    log = [fields for _, fields in await team.client.xrange(team.keys.log("s1"))]
    assert [one[b"event"] for one in log if b"writes-lost" in str(one).encode()] == [b"account_swept"]
    restarting.cancel()


@of_1_partition
async def test_deaths_with_another_oldest_entry_dead_letter_nothing(
    monkeypatch: pytest.MonkeyPatch, team: WorkerCluster
) -> None:
    """Workers are killed again and again while calls wait, but of none of these."""
    for number in range(6):
        member = team.join()
        await team.passes(TAKE_OVER_S)
        team.kill(member)
        await append(team, [call(f"s{number}")])
    team.join()
    await team.passes(TAKE_OVER_S)
    assert await dead_letters(team) == []
    assert await team.client.exists(team.keys.session("s5"))


@of_1_partition
async def test_stops_are_no_deaths(monkeypatch: pytest.MonkeyPatch, team: WorkerCluster) -> None:
    """Workers that stop before they have decided what waits."""
    for _ in range(5):
        member = team.join()
        await team.passes(TAKE_OVER_S)
        await member.leave()
        del team.alive[member.name]
        await append(team, [call("s1")])
    team.join()
    await team.passes(TAKE_OVER_S)
    assert await team.client.exists(team.keys.session("s1"))
    assert await team.client.hget(team.keys.lease(0), "tries") is None


@of_1_partition
async def test_entry_whose_decision_breaks_the_partition_ends_as_dead_letter(
    monkeypatch: pytest.MonkeyPatch, team: WorkerCluster
) -> None:
    """An error that no one contains closer ends the partition, and not the process."""

    async def breaks(name: str, _number: int) -> None:
        if name == "after_read" and await team.client.xrange(team.keys.events(0), count=1) == deadly:
            raise RecursionError

    await append(team, [call("deadly")])
    deadly = await team.client.xrange(team.keys.events(0), count=1)
    await append(team, [call("s1")])
    team.join(checkpoint=breaks)
    await team.passes(3 * TAKE_OVER_S)
    assert await team.client.exists(team.keys.session("s1"))
    assert [one[b"session"] for one in await dead_letters(team)] == [b"deadly"]
