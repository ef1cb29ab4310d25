"""A worker's partitions when things are not as they should be: entries that make no sense, records that are broken,
caches that forget, answers that get lost, scripts and keys that vanish."""

import asyncio

import pytest

from conferral.storage import scripts
from tests.support.relay import Relay
from tests.support.world import World

pytestmark = pytest.mark.redis


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        yield world


async def letters(world: World) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in await world.client.xrange(world.keys.dead)]


async def ends_well(world: World, customer) -> None:
    assert (await world.command("end", customer.sid)).status == "done"
    await world.settled()


@pytest.mark.parametrize("entry, reason", [
    ({"foo": "bar"}, b"no type"),
    ({"type": "sneeze", "session": "s"}, b"unknown type"),
    ({"type": "convert", "session": b"\xff\xfe"}, b"not UTF-8"),
    ({"type": "convert"}, b"no session"),
    ({"type": "call_received", "session": "s", "call_sid": "x" * 70_000}, b"larger than 64 KiB"),
])  # fmt: skip
async def test_event_that_makes_no_sense_is_put_aside_whole_and_the_worker_goes_on(world, entry, reason):
    customer, _ = await world.talking()
    stream = world.keys.events(world.keys.partition_of(customer.sid))
    await world.client.xadd(stream, entry)
    assert (await world.command("convert", customer.sid)).status == "done"
    (letter,) = await letters(world)
    assert letter[b"dead_reason"] == reason
    assert letter[b"dead_stream"] == stream.encode()
    for name, value in entry.items():
        assert letter[name.encode()] == (value if isinstance(value, bytes) else value.encode())
    await ends_well(world, customer)


@pytest.mark.parametrize("entry", [
    {"type": "calls_read", "session": "s", "effect_id": "e1", "calls": "x" * 70_000},
    {"type": "calls_read", "session": "broken", "effect_id": "e1", "read_version": "1", "calls": "[]"},
], ids=["unreadable", "of a broken session"])  # fmt: skip
async def test_outcome_that_is_put_aside_leaves_no_mark_in_the_outbox(world, entry):
    keys = world.keys
    await world.client.hset(keys.session("broken"), "state", "flying")
    outbox, stream = (name(keys.partition_of(entry["session"])) for name in (keys.outbox, keys.events))
    await world.client.hset(outbox, "e1", "done")
    await world.client.xadd(stream, entry)
    await world.eventually(lambda: world.client.xlen(keys.dead), "a dead letter")

    async def is_gone() -> bool:
        return not await world.client.hexists(outbox, "e1") and not await world.client.xlen(stream)

    await world.eventually(is_gone, "entry and mark are gone")


@pytest.mark.parametrize("entry", [{"foo": "bar"}, {"type": b"\xff"}, {"type": "convert", "session": "x" * 70_000}])
async def test_command_that_is_not_even_fields_of_ours_is_put_aside_and_the_router_goes_on(world, entry):
    customer, _ = await world.talking()
    await world.client.xadd(world.keys.commands, entry)
    assert (await world.command("convert", customer.sid)).status == "done"
    assert len(await letters(world)) == 1
    await ends_well(world, customer)


async def test_broken_record_costs_its_own_session_alone(world):
    broken, _ = await world.talking()
    healthy, _ = await world.talking()
    for held in world.workers[0].keeper.held.values():
        held._cache.clear()
    await world.client.hset(world.keys.session(broken.sid), "state", "flying")
    await world.client.xadd(world.keys.commands, {"type": "end", "session": broken.sid, "id": "b1"})
    assert (await world.command("convert", healthy.sid)).status == "done"
    (letter,) = await letters(world)
    assert letter[b"dead_reason"] == b"its session's record is broken"
    await world.client.hset(world.keys.session(broken.sid), "state", "bridged")
    await world.command("end", broken.sid)
    await ends_well(world, healthy)


async def test_record_changed_behind_the_workers_back_is_loaded_again(world):
    """The cache is a guess; the version in the commit decides."""
    customer, _ = await world.talking()
    await world.client.hset(world.keys.session(customer.sid), "version", 40)
    assert (await world.command("convert", customer.sid)).status == "done"
    assert int((await world.session(customer.sid))["version"]) > 40
    assert b'conferral_commits_total{result="conflict"}' in world.workers[0].metrics.exposition()
    assert not await letters(world)
    await ends_well(world, customer)


async def test_session_that_can_never_be_committed_goes_to_the_dead_letters_alone(world):
    stuck, _ = await world.talking()
    healthy, _ = await world.talking()
    await world.client.delete(world.keys.log(stuck.sid))
    await world.client.set(world.keys.log(stuck.sid), "somebody else's")
    await world.client.xadd(world.keys.commands, {"type": "convert", "session": stuck.sid, "id": "s1"})
    assert (await world.command("convert", healthy.sid)).status == "done"
    await world.eventually(lambda: world.client.xlen(world.keys.dead), "a dead letter")
    assert (await letters(world))[0][b"dead_reason"] == b"its session can't be committed"
    await world.client.delete(world.keys.log(stuck.sid))
    await world.command("end", stuck.sid)
    await ends_well(world, healthy)


async def test_dropping_the_cache_at_any_moment_changes_only_the_speed(redis_server, chance):
    world = World(redis_server.url)

    async def forget(_point: str, partition: int) -> None:
        if chance.random() < 0.5:
            world.workers[0].keeper.held[partition]._cache.clear()

    world.worker_options = {"checkpoint": forget, "sessions_max": 4}
    async with world:
        calls = await asyncio.gather(*(world.converted() for _ in range(8)))
        for customer, agent in calls:
            assert (await world.session(customer.sid))["state"] == "conferenced"
            chance.choice([customer, agent]).hang_up()
        await world.settled()


async def test_forgotten_scripts_are_no_matter(world):
    customer, _ = await world.talking()
    for _ in range(3):
        await world.client.script_flush()
    assert (await world.command("convert", customer.sid)).status == "done"
    await world.client.script_flush()
    await ends_well(world, customer)


@pytest.mark.parametrize("script", ["commit_batch", "finish_effect", "claim_command", "report_command", "fire_timers"])
async def test_lost_answers_of_redis_are_recognised(redis_server, script):
    """What was asked for has happened and the answer never came: asking again changes nothing."""
    sha = scripts.SCRIPTS[script].sha.encode()
    relay = Relay(redis_server.socket)
    relay.cut_reply(sha, skip=1, every=2)
    async with relay, World(relay.url, CONFERRAL_CONVERT_TIMEOUT=10) as world:
        customer, agent = await world.talking()
        entry = {"type": "convert", "session": customer.sid, "id": "c1"}
        await world.client.xadd(world.keys.commands, entry)
        await world.until(customer.sid, state="conferenced")
        agent.hang_up()
        session = await world.until(customer.sid, state="ended")
        assert session["end_reason"] == "agent-left"
        await world.settled()
        assert world.redirects_of(agent) == 1
        versions = [int(entry["version"]) for entry in await world.log(customer.sid)]
        assert versions == list(range(1, len(versions) + 1))
        assert relay.cut_off or script == "claim_command"


async def test_flushed_redis_goes_on_with_new_calls(world):
    """Everything is gone: sessions that were live are no longer known, and the next call is taken as ever."""
    old, _ = await world.talking()
    await world.client.flushall()
    await world.client.hset(world.keys.config, mapping={"partitions": world.keys.partitions, "schema": 1})
    old.hang_up()
    customer, _ = await world.talking()
    assert (await world.command("convert", customer.sid)).status == "done"
    await ends_well(world, customer)


async def test_stopped_worker_leaves_its_leases_free(redis_server):
    async with World(redis_server.url) as world:
        customer, _ = await world.talking()
        assert await world.stop_worker() == 0
        for partition in range(world.keys.partitions):
            assert await world.client.hget(world.keys.lease(partition), "until") == b"0"
        assert await world.client.hget(world.keys.commands_lease, "until") == b"0"
        assert not await world.client.zcard(world.keys.workers)
        world.start_worker()
        assert (await world.command("convert", customer.sid)).status == "done"
        await ends_well(world, customer)


async def test_what_is_left_of_an_ended_call_expires(world):
    customer, agent = await world.converted()
    await ends_well(world, customer)
    client, keys = world.client, world.keys
    for key in (keys.session(customer.sid), keys.log(customer.sid)):
        assert 0 < await client.ttl(key) <= world.settings.session_ttl_s, key
    for call in (customer, agent):
        assert world.settings.session_ttl_s < await client.ttl(keys.call(call.sid)) <= world.settings.replay_window_s
    assert await client.zscore(keys.ended(keys.partition_of(customer.sid)), customer.sid)
