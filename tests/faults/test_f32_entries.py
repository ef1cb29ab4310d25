"""Entries that nobody can decide: garbage, what kills the worker, and what somebody has taken off the stream."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conferral.storage import commands
from tests.faults.calls import all_hang_up, dead_reasons, events_of, nothing_waits, stream_of
from tests.faults.kit import FaultWorld
from tests.support.forked_worker import ForkedWorker
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
SWEEP_S = 0.5


@pytest.fixture
async def world(redis_server: RedisServer) -> AsyncIterator[FaultWorld]:
    # The answer to a look may be among what is lost; it is waited for half a second instead of half a minute.
    policy = {"read_timeout_ms": 500}
    async with FaultWorld(redis_server, policy=policy, CONFERRAL_SWEEP_INTERVAL=SWEEP_S) as world:
        yield world


async def test_fault_32_entries_that_make_no_sense_go_to_the_dead_letters_and_stop_nothing(world: FaultWorld) -> None:
    """Garbage, bytes that are no text, types of another version, wrong values, far too large ones."""
    customer, agent = await world.talking()
    stream = stream_of(world.keys, customer.sid)
    about = {"session": customer.sid, "party": "agent", "call_sid": agent.sid}
    odd: list[tuple[dict[bytes | str, bytes | str], str]] = [
        ({"foo": "bar"}, "no type"),
        ({b"\xff\xfe": b"\x00\x80"}, "not UTF-8"),
        ({"type": "call_teleported", **about}, "unknown type"),
        ({"type": "call_progressed", **about, "sequence": "many", "status": "ringing"}, "sequence makes no sense"),
        ({"type": "call_progressed", "party": "agent"}, "no session"),
        ({"type": "call_progressed", **about, "status": "x" * 2**20}, "larger than 64 KiB"),
        ({f"a-longer-name-{number}": "" for number in range(6_000)}, "larger than 64 KiB"),
    ]
    for fields, _ in odd:
        await world.client.xadd(stream, fields)
    for fields in ({"foo": "bar"}, {b"\xff": b"\xfe"}, {"type": "x" * 2**20}):
        await world.client.xadd(world.keys.commands, fields)

    assert (await world.command("convert", customer.sid)).status == "done"

    await world.eventually(lambda: nothing_waits(world), "nothing is left to be decided")
    assert sorted(await dead_reasons(world)) == sorted(
        [reason for _, reason in odd] + ["no type", "not UTF-8 or over 64 KiB", "not UTF-8 or over 64 KiB"]
    )
    letters = await world.client.xrange(world.keys.dead)
    assert any(fields.get(b"\xff\xfe") == b"\x00\x80" for _, fields in letters), "a dead letter is whole"
    assert world.redirects_of(agent) == 1
    await all_hang_up(world, put_aside=len(odd) + 3)


async def test_fault_32_session_whose_record_is_broken_costs_its_own_entries_alone(world: FaultWorld) -> None:
    """Somebody has written into a session's hash by hand; what comes of it does not stop its neighbours."""
    broken, _ = await world.talking()
    healthy, agent = await world.talking()
    key = world.keys.session(broken.sid)
    created_at = await world.client.hget(key, "created_at")
    await world.client.hset(key, "created_at", "the other day")
    for worker in world.workers:
        assert worker.keeper is not None
        for held in worker.keeper.held.values():
            held._cache.clear()
    await commands.publish(world.client, world.keys, {"type": "convert", "session": broken.sid})

    assert (await world.command("convert", healthy.sid)).status == "done"

    await world.eventually(lambda: world.client.xlen(world.keys.dead), "its entry is put aside")
    assert await dead_reasons(world) == ["its session's record is broken"]
    assert world.redirects_of(agent) == 1
    await world.client.hset(key, "created_at", created_at)
    assert (await world.command("convert", broken.sid)).status == "done"
    await all_hang_up(world, put_aside=1)


@pytest.mark.soak
async def test_fault_33_entry_that_kills_three_workers_is_put_aside_and_the_call_goes_on(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with FaultWorld(redis_server, workers=0) as world:
        with world.worker_process(tmp_path, "first", die_at="after_read") as first:
            customer, agent = await world.talking()
            first.arm()
            await commands.publish(world.client, world.keys, {"type": "convert", "session": customer.sid})
            await has_died(world, first)
        for number in (2, 3):
            with world.worker_process(tmp_path, f"worker-{number}", die_at="after_read") as worker:
                worker.arm()
                await has_died(world, worker)
                assert not await dead_reasons(world)
        with world.worker_process(tmp_path, "last") as last:
            await world.eventually(lambda: world.client.xlen(world.keys.dead), "a dead letter")
            assert await dead_reasons(world) == ["workers died deciding it"]
            assert (await world.command("convert", customer.sid)).status == "done", last.text()
            assert world.redirects_of(agent) == 1
            await all_hang_up(world, put_aside=1)


async def has_died(world: FaultWorld, worker: ForkedWorker) -> None:
    async def is_dead() -> bool:
        return worker.was_killed

    await world.eventually(is_dead, "the worker comes to the entry")


async def test_fault_34_entries_trimmed_by_hand_are_made_up_for_by_the_sweep(world: FaultWorld) -> None:
    """All that tells of the end of a call, and a command, vanish undecided; nothing in Redis remembers them."""
    customer, agent = await world.converted()
    stream = stream_of(world.keys, customer.sid)
    await world.eventually(lambda: waits_for_nothing(world, customer.sid), "nothing is left to be confirmed")
    await world.stop_worker()
    agent.hang_up()
    await commands.publish(world.client, world.keys, {"type": "hold", "session": customer.sid, "party": "customer"})
    await world.sandbox.settled()
    await world.eventually(lambda: world.client.xlen(stream), "the callbacks are stored")
    await world.client.xtrim(stream, maxlen=0)
    await world.client.xtrim(world.keys.commands, maxlen=0)

    world.start_worker()

    await world.until(customer.sid, state="ended")  # who went first, nobody can tell any more
    log = await world.log(customer.sid)
    assert events_of(log, "account_swept"), "the sweep has found it"
    await all_hang_up(world)


async def waits_for_nothing(world: FaultWorld, session_id: str) -> bool:
    """Whether a session waits neither for Twilio nor for a moment, but for the one at which it is a day old."""
    partition = world.keys.partition_of(session_id)
    if await world.client.hlen(world.keys.outbox(partition)) or await world.client.xlen(world.keys.events(partition)):
        return False
    timers = [timer.partition("=")[0] for timer in (await world.session(session_id))["timers"].split()]
    return timers == ["age"]


async def test_fault_34_entries_trimmed_between_read_and_commit_are_decided_all_the_same(world: FaultWorld) -> None:
    """What was read is decided; that it is gone from the stream is what the commit wanted anyway."""
    customer, agent = await world.talking()
    stream = stream_of(world.keys, customer.sid)
    (worker,) = world.workers
    assert worker.keeper is not None
    held = worker.keeper.held[world.keys.partition_of(customer.sid)]
    trimmed: list[int] = []
    read = held._around.access.read

    async def reads_and_trims(partition: int, count: int, *, block: bool) -> object:
        entries = await read(partition, count, block=block)
        if entries and partition == held.number and len(trimmed) < 3:
            trimmed.append(await world.client.xtrim(stream, maxlen=0))
        return entries

    held._around.access.read = reads_and_trims  # type: ignore[method-assign, assignment]
    assert (await world.command("convert", customer.sid)).status == "done"
    assert sum(trimmed) >= 1
    assert world.redirects_of(agent) == 1
    await all_hang_up(world)
