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
from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import Effect, HangUpCall, ReadCalls
from conferral.statemachine.events import CallReceived
from conferral.statemachine.session import Session
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import Entry, PartitionStore, append_events
from conferral.storage.partition.session_store import SessionStore
from conferral.worker.consumer.quarantine import KILLER_REASON, UNREADABLE_REASON, Quarantine
from conferral.worker.executor.job import Job
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
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
    is_answered: bool = True
    #: Those that are not over.
    running: list[asyncio.Future[None]] = field(default_factory=list)

    def submit(self, order: Job) -> asyncio.Future[None]:
        name, outcome = order.effect.effect_id, asyncio.get_running_loop().create_future()
        self.taken.append(name)
        if name in self.deadly:
            self.die()
        elif self.is_answered:
            outcome.set_result(None)
        else:
            self.running.append(outcome)
        return outcome


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


async def assert_carried_out(team: WorkerCluster, *names: str) -> None:
    """The next worker is given all of these effects, and none is a dead letter."""
    work = Deadly()
    await lives(team, work)
    assert (sorted(work.taken), await letters(team)) == ([*names], [])


of_team = in_virtual_time_with("team", partial(running_cluster, partitions=1))


@of_team
async def test_effect_that_killed_three_workers_is_dead_lettered_and_reported(team: WorkerCluster) -> None:
    effects = [hang_up("innocent-1", "s1"), hang_up("killer", "s2"), hang_up("innocent-2", "s2")]
    effects.append(ReadCalls(effect_id="innocent-3", session_id="s3", parent_call_sid="", read_version=1))
    await put(team, *effects)
    works = [Deadly(deadly=frozenset({"killer"})) for _ in range(5)]
    deaths = 0
    for work in works:
        member = await lives(team, work)
        deaths += member.process.is_dead
        if not member.process.is_dead:
            break
    assert deaths == 3
    assert b"killer" not in await team.client.hkeys(team.keys.outbox(0)), "it has an outcome"
    assert sorted(work.taken) == ["innocent-1", "innocent-2", "innocent-3"]
    (letter,) = await letters(team)
    assert letter[b"dead_reason"] == KILLER_REASON.encode()
    assert letter[b"dead_entry"] == b"killer"
    assert letter[b"session"] == b"s2"
    assert effect_codec.decode(letter[b"effect"]) == OutboxEntry(effects[1], 1)


@of_team
async def test_innocent_effects_survive_any_number_of_deaths(team: WorkerCluster) -> None:
    """Each was tried by itself once, and had its answer; so its deaths no longer count."""
    await put(team, *(hang_up(f"e{number}", f"s{number}") for number in range(5)))
    are_tried = []
    for _ in range(8):
        member = await lives(team, Deadly())
        are_tried.append(await team.client.exists(team.keys.suspects(0)) == 0)
        team.kill(member)
    assert are_tried == [True, False, True, False, True, False, True, False]
    await assert_carried_out(team, *(f"e{number}" for number in range(5)))


@of_team
async def test_suspect_without_an_answer_holds_up_the_next_one_for_a_second_only(team: WorkerCluster) -> None:
    await put(team, *(hang_up(f"e{number}", f"s{number}") for number in range(3)))
    for _ in range(2):
        team.kill(await lives(team, Deadly()))
    work = Deadly(is_answered=False)
    await lives(team, work)
    await team.passes(3.0)
    assert len(work.taken) == 3
    assert [*(await team.client.hgetall(team.keys.suspects(0))).values()] == [b"2"] * 3


@of_team
async def test_suspects_whose_tries_wait_for_twilio_are_not_taken_for_killers(team: WorkerCluster) -> None:
    """A worker that is killed while Twilio is slow costs none of them: they are marked one at a time, for a second."""
    await put(team, *(hang_up(f"e{number}", f"s{number}") for number in range(3)))
    for _ in range(2):
        team.kill(await lives(team, Deadly()))
    for _ in range(4):
        team.kill(await lives(team, Deadly(is_answered=False)))
    await assert_carried_out(team, "e0", "e1", "e2")


@of_team
async def test_clean_stops_during_trials_are_no_deaths(team: WorkerCluster) -> None:
    await put(team, hang_up("e1", "s1"))
    for _ in range(2):
        team.kill(await lives(team, Deadly()))
    work = Deadly(is_answered=False)
    member = team.join(work=work)
    while not work.taken:
        await team.passes(0.1)
    await team.leave(member)
    team.kill(await lives(team, Deadly()))
    await assert_carried_out(team, "e1")


@pytest.mark.parametrize(("stops", "counted"), [(False, [{"e1": 3}, {"e1": 0}]), (True, [])])
async def test_suspect_is_not_submitted_after_a_stop_or_the_end_of_its_session_while_it_is_counted(
    stops: bool, counted: list[dict[str, int]]
) -> None:
    open_effects: dict[str, Effect] = {"e1": hang_up("e1", "s1")}
    counts: list[dict[str, int]] = []
    submitted: list[Job] = []

    class Store:
        async def deaths(self, _partition: int) -> dict[str, int]:
            return {"e1": 2}

        async def set_deaths(self, _partition: int, deaths: dict[str, int]) -> None:
            if deaths:
                counts.append(deaths)
                open_effects.clear()

    context: Any = SimpleNamespace(
        partition_store=Store(),
        executor=SimpleNamespace(submit=submitted.append),
        core=SimpleNamespace(metrics=Metrics()),
    )
    quarantine = Quarantine(0, context)
    await quarantine.begin(after_death=True)
    job = Job(effect=hang_up("e1", "s1"), partition=0, committed_at_ms=1)
    await quarantine.submit_all([job], {}, open_effects)
    if stops:
        quarantine.stop()
    for _ in range(10):
        await asyncio.sleep(0)
    quarantine.stop()
    assert submitted == []
    assert counts == counted


async def test_unreadable_entry_stays_for_the_next_holder_while_dead_letters_are_out_of_reach() -> None:
    async def unreachable(*_entry: object) -> str:
        raise StoreUnreachableError("no answer")

    core = SimpleNamespace(client=SimpleNamespace(execute_command=unreachable), keys=Keys("test", 1), metrics=Metrics())
    context: Any = SimpleNamespace(partition_store=None, executor=None, core=core)
    good = OutboxEntry(hang_up("e2", "s1"), 1)
    assert await Quarantine(0, context).decode({"e1": b"[]", "e2": effect_codec.encode(good)}) == [good]


# ---- entries that can't be read --------------------------------------------------------------------------------------

SESSION = "CA" + "1" * 32


def broken(**given: Any) -> bytes:
    """An effect that lacks what its kind needs."""
    return orjson.dumps({"committed_at_ms": 1, "kind": "hang_up_call", "work": {}} | given)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\x00",
        b"[]",
        b'{"committed_at_ms": 1, "kind": "report_command"}',
        broken(kind=["hang_up_call"]),
        broken(kind="ring_the_moon"),
        broken(committed_at_ms="soon"),
        broken(work={"session_id": SESSION}),
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


@of_team
async def test_partition_that_is_given_up_again_and_again_makes_no_poison(team: WorkerCluster) -> None:
    """A mark stands for a worker's death, not for a try: Redis flaps while sessions load, or refuses every commit."""
    keys, load, failures = team.keys, SessionStore.load, iter(range(5))

    async def flaps(store: SessionStore, session_ids: list[str]) -> dict[str, Session]:
        if next(failures, None) is not None:
            raise StoreUnreachableError("flapping")
        return await load(store, session_ids)

    team.kill(await lives(team, Deadly()))
    await append_events(team.client, keys, [call(1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SessionStore, "load", flaps)
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
