"""What kills the process, an effect or an entry: after three deaths it is dead-lettered, and all else is carried out.

In virtual time, on a Redis in memory; the executor is played, and dies of one effect.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from conferral.operations.dead_letters import DeadLetters
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.effects import Effect, HangUpCall, ReadCalls
from conferral.statemachine.events import CallReceived
from conferral.statemachine.session import Session
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import CommitStore
from conferral.storage.partition.partition_store import Entry, PartitionStore, append_events
from conferral.worker.executor.job import Job
from conferral.worker.partition.quarantine import KILLER_REASON, UNREADABLE_REASON, Quarantine
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.worker.cores import core_of
from tests.worker.executor_harness import hang_up
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, Work, WorkerCluster, running_cluster

#: A dead worker's leases run out, and the next one takes them.
TAKE_OVER_S = 8.0


@dataclass
class Deadly(Work):
    """Performs nothing, so that all effects stay in the outbox; records each effect, and dies of some."""

    deadly: frozenset[str] = frozenset()
    taken: list[str] = field(default_factory=list)
    die: Any = None

    def submit(self, order: Job) -> None:
        self.taken.append(order.effect.effect_id)
        if order.effect.effect_id in self.deadly:
            self.die()


async def put(team: WorkerCluster, *effects: Effect) -> None:
    for effect in effects:
        outbox = team.keys.outbox(team.keys.partition_of(effect.session_id))
        await team.client.hset(outbox, effect.effect_id, effect_codec.encode(OutboxEntry(effect, 1)))


async def lives(team: WorkerCluster, work: Deadly) -> ClusterMember:
    """A worker begins, and lives or dies."""
    member = team.join(work=work)
    work.die = member.kill
    await team.passes(TAKE_OVER_S)
    return member


async def letters(team: WorkerCluster) -> list[dict[bytes, bytes]]:
    return [letter for _, letter in await team.client.xrange(team.keys.dead)]


of_team = in_virtual_time_with("team", partial(running_cluster, partitions=1))


@of_team
async def test_effects_in_flight_at_three_deaths_are_dead_lettered_and_reported(team: WorkerCluster) -> None:
    """The killer, and the effect that was in flight with it each time; not one that came after the first."""
    killer, unlucky = hang_up("killer", "s2"), hang_up("unlucky", "s1")
    await put(team, killer, unlucky)
    works = [Deadly(deadly=frozenset({"killer"})) for _ in range(4)]
    for work in works[:3]:
        assert (await lives(team, work)).process.is_dead
        assert await letters(team) == []
        if work is works[1]:
            await put(team, ReadCalls(effect_id="later", session_id="s3", parent_call_sid="", read_version=1))
    member = await lives(team, works[3])
    assert not member.process.is_dead
    assert works[3].taken == ["later"]
    assert await team.client.hkeys(team.keys.outbox(0)) == [b"later"], "the others have an outcome"
    found = {letter[b"dead_entry"]: letter for letter in await letters(team)}
    assert found.keys() == {b"killer", b"unlucky"}
    assert found[b"killer"][b"dead_reason"] == KILLER_REASON.encode()
    assert found[b"killer"][b"session"] == b"s2"
    assert effect_codec.decode(found[b"killer"][b"effect"]) == OutboxEntry(killer, 1)


@of_team
async def test_clean_stop_clears_the_counts_of_deaths(team: WorkerCluster) -> None:
    await put(team, hang_up("e1", "s1"))
    for _ in range(2):
        for _ in range(2):
            team.kill(await lives(team, Deadly()))
        await team.leave(await lives(team, Deadly()))
    work = Deadly()
    await lives(team, work)
    assert (work.taken, await letters(team)) == (["e1"], [])


async def test_unreadable_entry_stays_for_the_next_owner_while_dead_letters_are_out_of_reach() -> None:
    async def unreachable(*_entry: object) -> str:
        raise StoreUnreachableError("no answer")

    client: Any = SimpleNamespace(execute_command=unreachable)
    core = core_of(client, Keys("test", 1), SystemClock())
    good = OutboxEntry(hang_up("e2", "s1"), 1)
    assert await Quarantine(0, core).decode({"e1": b"[]", "e2": effect_codec.encode(good)}) == [good]


# ---- entries that can't be read --------------------------------------------------------------------------------------

SESSION = "CA" + "1" * 32


def broken(**given: Any) -> bytes:
    """An effect that lacks what its kind needs."""
    return orjson.dumps({"committed_at_ms": 1, "kind": "hang_up_call", "effect": {}} | given)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\x00",
        b"[]",
        b'{"committed_at_ms": 1, "kind": "hang_up_call"}',
        broken(kind=["hang_up_call"]),
        broken(kind="ring_the_moon"),
        broken(committed_at_ms="soon"),
        broken(effect={"session_id": SESSION}),
    ],
)
@of_team
async def test_unreadable_entry_becomes_a_dead_letter_and_leaves_the_outbox(body: bytes, team: WorkerCluster) -> None:
    outbox = team.keys.outbox(0)
    good = HangUpCall(effect_id="e2", session_id="s1", call_sid="CA1")
    await team.client.hset(outbox, "e1", body)
    await team.client.hset(outbox, "e2", effect_codec.encode(OutboxEntry(good, 1)))
    work = Deadly()
    member = await lives(team, work)
    assert work.taken == ["e2"]
    assert set(await team.client.hkeys(outbox)) == {b"e2"}
    (letter,) = await DeadLetters(team.client, team.keys).newest(2)
    assert (letter.type, letter.reason, letter.entry_id) == ("effect", UNREADABLE_REASON, "e1")
    registry = member.metrics.registry
    assert registry.get_sample_value("conferral_dead_letters_total", {"reason": UNREADABLE_REASON}) == 1


# ---- entries over which workers die ----------------------------------------------------------------------------------


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

    async def remembered(store: PartitionStore, partition: int, count: int) -> list[Entry]:
        batch[:] = await read(store, partition, count)
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


@of_team
async def test_partition_that_is_given_up_again_and_again_makes_no_poison(team: WorkerCluster) -> None:
    """A mark stands for a worker's death, not for a try: Redis flaps while sessions load, or refuses every commit."""
    keys, load, failures = team.keys, CommitStore.load, iter(range(5))

    async def flaps(store: CommitStore, session_ids: list[str]) -> dict[str, Session]:
        if next(failures, None) is not None:
            raise StoreUnreachableError("flapping")
        return await load(store, session_ids)

    team.kill(await lives(team, Deadly()))
    await append_events(team.client, keys, [call(1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CommitStore, "load", flaps)
        await lives(team, Deadly())
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
