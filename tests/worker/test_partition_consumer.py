"""A worker's partitions when things are not as they should be: records that are broken, versions that conflict,
and caches that forget."""

import asyncio
from dataclasses import replace

import pytest

from conferral.statemachine.events import Convert
from conferral.storage.codecs import event_codec, session_codec
from tests.support.local_system import LocalSystem

pytestmark = pytest.mark.redis


@pytest.fixture
async def system(redis_server):
    async with LocalSystem(redis_server.url) as system:
        yield system


async def letters(system: LocalSystem) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in await system.client.xrange(system.keys.dead)]


@pytest.mark.parametrize("entry", [
    {"type": "calls_read", "session": "s", "effect_id": "e1", "calls": "x" * 70_000},
    {"type": "calls_read", "session": "broken", "effect_id": "e1",
     "event": '{"session_id":"broken","effect_id":"e1","read_version":1,"calls":[]}'},
], ids=["unreadable", "of a broken session"])  # fmt: skip
async def test_dead_lettered_outcome_leaves_no_mark_in_the_outbox(system, entry):
    keys = system.keys
    await system.client.hset(keys.session("broken"), "state", "flying")
    outbox, stream = (name(keys.partition_of(entry["session"])) for name in (keys.outbox, keys.events))
    await system.client.hset(outbox, "e1", "done")
    await system.client.xadd(stream, entry)
    await system.eventually(lambda: system.client.xlen(keys.dead), "a dead letter")

    async def is_gone() -> bool:
        return not await system.client.hexists(outbox, "e1") and not await system.client.xlen(stream)

    await system.eventually(is_gone, "entry and mark are gone")


async def test_broken_records_cost_their_own_sessions_alone(system):
    damage = {"state": "flying", "version": "seven", "party_order": ""}
    broken = {name: (await system.talking())[0].sid for name in damage}
    healthy, _ = await system.talking()
    for held in system.workers[0].ownership.consumers.values():
        held.sessions.clear()
    valid = {name: await system.client.hget(system.keys.session(sid), name) for name, sid in broken.items()}
    for name, sid in broken.items():
        await system.client.hset(system.keys.session(sid), name, damage[name])
        await system.client.xadd(system.keys.commands, {"type": "end", "session": sid})
    assert (await system.command("convert", healthy.sid)).status == "done"
    await system.eventually(lambda: system.client.xlen(system.keys.dead), "each is put aside", equals=len(damage))
    assert {letter[b"dead_reason"] for letter in await letters(system)} == {b"the session's stored state is damaged"}
    assert b'conferral_damaged_sessions_found_total{where="decision"} 3.0' in system.workers[0].metrics.exposition()
    for name, sid in broken.items():
        await system.client.hset(system.keys.session(sid), name, valid[name])
        await system.command("end", sid)
    await system.ended_by_command(healthy.sid)


async def raise_version(system, session_id):
    """Commits a version that the worker does not know of."""
    key = system.keys.session(session_id)
    session = session_codec.load(session_id, await system.client.hgetall(key))
    await system.client.hset(key, mapping=session_codec.encode(replace(session, version=40)))


async def test_damaged_session_is_dead_lettered_once_though_its_batch_conflicts(system):
    healthy, _ = await system.talking()
    keys, partition = system.keys, system.keys.partition_of(healthy.sid)
    broken = next(name for name in map("broken{}".format, range(100)) if keys.partition_of(name) == partition)
    await system.client.hset(keys.session(broken), "state", "flying")
    await raise_version(system, healthy.sid)
    pipeline = system.client.pipeline(transaction=True)  # the worker reads both at once
    for session in (broken, healthy.sid):
        entry = event_codec.encode(Convert(session_id=session))
        pipeline.xadd(keys.events(partition), entry)
    await pipeline.execute()
    await system.until(healthy.sid, state="conferenced")
    assert int((await system.session(healthy.sid))["version"]) > 40, "the cache is a guess; it was loaded again"
    assert b'conferral_commits_total{result="conflict"} 1' in system.workers[0].metrics.exposition()
    assert [letter[b"session"] for letter in await letters(system)] == [broken.encode()]
    await system.ended_by_command(healthy.sid)


async def test_session_that_can_never_be_committed_goes_to_the_dead_letters_alone(system):
    stuck, _ = await system.talking()
    healthy, _ = await system.talking()
    await system.client.delete(system.keys.log(stuck.sid))
    await system.client.set(system.keys.log(stuck.sid), "another program's")
    await system.client.xadd(system.keys.commands, {"type": "convert", "session": stuck.sid, "id": "s1"})
    assert (await system.command("convert", healthy.sid)).status == "done"
    await system.eventually(lambda: system.client.xlen(system.keys.dead), "a dead letter")
    assert (await letters(system))[0][b"dead_reason"] == b"the session can't be committed"
    await system.client.delete(system.keys.log(stuck.sid))
    await system.command("end", stuck.sid)
    await system.ended_by_command(healthy.sid)


async def test_dropping_the_cache_at_any_moment_changes_only_the_speed(redis_server, chance):
    system, calls = LocalSystem(redis_server.url), []

    async def forget(_point: str, partition: int) -> None:
        if chance.random() < 0.5:
            system.workers[0].ownership.consumers[partition].sessions.clear()

    system.worker_options = {"checkpoint": forget}
    async with system:
        calls += await asyncio.gather(*(system.converted() for _ in range(8)))
        for customer, agent in calls:
            assert (await system.session(customer.sid))["state"] == "conferenced"
            chance.choice([customer, agent]).hang_up()
        await system.settled()


async def test_keys_of_an_ended_call_expire(system):
    customer, agent = await system.converted()
    await system.ended_by_command(customer.sid)
    client, keys = system.client, system.keys
    for key in (keys.session(customer.sid), keys.log(customer.sid)):
        assert 0 < await client.ttl(key) <= system.settings.session_ttl_s, key
    for call in (customer, agent):
        assert system.settings.session_ttl_s < await client.ttl(keys.call(call.sid)) <= system.settings.replay_window_s
    assert await client.zscore(keys.ended(keys.partition_of(customer.sid)), customer.sid)
