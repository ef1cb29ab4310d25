"""Two versions at once: within a level a newer one only adds, and what this one does not know it leaves as it is."""

from collections.abc import AsyncIterator

import orjson
import pytest

from conferral.storage import commands
from tests.faults.calls import all_hang_up, dead_reasons, events_of, hang_up, stream_of, transferred
from tests.faults.kit import FaultWorld
from tests.faults.laws import assert_laws
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
ADDED = {"colour": "blue", "party.agent.colour": "green", "party.customer.mood": "fine"}


@pytest.fixture
async def world(redis_server: RedisServer) -> AsyncIterator[FaultWorld]:
    async with FaultWorld(redis_server) as world:
        yield world


async def test_fault_51_what_a_newer_version_added_to_a_session_is_kept_to_its_end(world: FaultWorld) -> None:
    customer, _ = await world.talking()
    await world.client.hset(world.keys.session(customer.sid), mapping=ADDED)
    for worker in world.workers:
        assert worker.keeper is not None
        for held in worker.keeper.held.values():
            held._cache.clear()
    assert (await world.command("convert", customer.sid)).status == "done"
    await transferred(world, customer)
    await world.client.hset(world.keys.session(customer.sid), "transfer.colour", "red")

    await hang_up(world)

    session = await world.session(customer.sid)
    assert session["state"] == "ended"
    added = {**ADDED, "transfer.colour": "red"}
    assert session.items() >= added.items()
    # A replay by this version can't come to what it does not know.
    await world.client.hdel(world.keys.session(customer.sid), *added)
    await assert_laws(world)


async def test_fault_51_entries_with_more_fields_are_taken_and_unknown_ones_put_aside_whole(world: FaultWorld) -> None:
    """An event that this version does not know is neither decided by guess nor dropped without a word."""
    customer, agent = await world.talking()
    stream = stream_of(world.keys, customer.sid)
    unknown = {"type": "call_moved_by_newer", "session": customer.sid, "call_sid": agent.sid, "colour": "blue"}
    await world.client.xadd(stream, unknown)
    await world.client.xadd(
        stream, {"type": "convert", "session": customer.sid, "token": "c1", "colour": "blue", "tone": "warm"}
    )

    await world.until(customer.sid, state="conferenced")

    assert await dead_reasons(world) == ["unknown type"]
    ((_, letter),) = await world.client.xrange(world.keys.dead)
    assert {name.decode(): value.decode() for name, value in letter.items()}.items() >= unknown.items()
    (worker,) = world.workers
    counted = worker.metrics.registry.get_sample_value("conferral_dead_letters_total", {"reason": "unknown type"})
    assert counted == 1
    await all_hang_up(world, put_aside=1)


@pytest.mark.soak
async def test_fault_51_effect_with_more_fields_is_carried_out_and_one_of_an_unknown_kind_left(
    world: FaultWorld,
) -> None:
    """What a newer worker has ordered, and an older one finds in the outbox when it takes over."""
    customer, agent = await world.talking()
    (worker,) = world.workers
    assert worker.executor is not None
    worker.executor.submit = lambda order: None  # type: ignore[method-assign]  # it dies before it acts
    await commands.publish(world.client, world.keys, {"type": "convert", "session": customer.sid, "id": "c1"})
    await world.until(customer.sid, state="converting")
    await world.stop_worker()
    outbox = world.keys.outbox(world.keys.partition_of(customer.sid))
    ordered = {name: orjson.loads(body) for name, body in (await world.client.hgetall(outbox)).items()}
    ((name, redirect),) = [(name, body) for name, body in ordered.items() if body["kind"] == "redirect_call"]
    added = {"colour": "blue", "shades": ["dark"], "nested": {"a": 1}}
    await world.client.hset(outbox, name, orjson.dumps(redirect | added))
    newer = orjson.dumps({"kind": "teleport_call", "ordered_at_ms": redirect["ordered_at_ms"], "effect_id": "newer"})
    await world.client.hset(outbox, "newer", newer)

    world.start_worker()

    await world.until(customer.sid, state="conferenced")
    assert world.redirects_of(agent) == 1
    assert await world.client.hget(outbox, "newer") == newer, "it is left to whoever knows it"
    assert events_of(await world.log(customer.sid), "effect_succeeded")
    await world.client.hdel(outbox, "newer")
    await all_hang_up(world)
