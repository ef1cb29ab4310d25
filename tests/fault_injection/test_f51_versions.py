"""Two versions at once: within a level a newer one only adds, and what this one does not know it leaves as it is."""

import orjson
import pytest

from conferral.storage.commands import command_stream
from tests.fault_injection.calls import all_hang_up, dead_reasons, events_of, hang_up, stream_of, transferred
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.invariants import assert_invariants
from tests.support.entries import entry_of

pytestmark = pytest.mark.redis
ADDED = {"colour": "blue", "party.agent.colour": "green", "party.customer.mood": "fine"}


async def test_fault_51_what_a_newer_version_added_to_a_session_is_kept_to_its_end(system: FaultSystem) -> None:
    customer, _ = await system.talking()
    await system.client.hset(system.keys.session(customer.sid), mapping=ADDED)
    await system.replace_workers()
    await system.done("convert", customer.sid)
    await transferred(system, customer)
    await system.client.hset(system.keys.session(customer.sid), "transfer.colour", "red")

    await hang_up(system)

    session = await system.session(customer.sid)
    assert session["state"] == "ended"
    added = {**ADDED, "transfer.colour": "red"}
    assert session.items() >= added.items()
    # A replay by this version can't come to what it does not know.
    await system.client.hdel(system.keys.session(customer.sid), *added)
    await assert_invariants(system)


async def test_fault_51_entries_with_extra_fields_are_accepted_and_unknown_ones_dead_lettered(
    system: FaultSystem,
) -> None:
    """An event that this version does not know is neither decided by guess nor dropped without a word."""
    customer, agent = await system.talking()
    stream = stream_of(system.keys, customer.sid)
    unknown = {"type": "call_moved_by_newer", "session": customer.sid, "call_sid": agent.sid, "colour": "blue"}
    await system.client.xadd(stream, unknown)
    extra = entry_of("convert", customer.sid, token="c1", colour="blue") | {"tone": "warm"}
    await system.client.xadd(stream, extra)

    await system.until(customer.sid, state="conferenced")

    assert await dead_reasons(system) == ["unknown type"]
    ((_, letter),) = await system.client.xrange(system.keys.dead)
    assert {name.decode(): value.decode() for name, value in letter.items()}.items() >= unknown.items()
    (worker,) = system.workers
    counted = worker.metrics.registry.get_sample_value("conferral_dead_letters_total", {"reason": "unknown type"})
    assert counted == 1
    await all_hang_up(system, dead_lettered=1)


@pytest.mark.soak
async def test_fault_51_effect_with_more_fields_is_carried_out_and_one_of_an_unknown_kind_dead_lettered(
    system: FaultSystem,
) -> None:
    """What a newer worker has ordered, and an older one finds in the outbox when it takes over."""
    customer, agent = await system.talking()
    (worker,) = system.workers
    worker.executor.submit = lambda order: None  # type: ignore[method-assign]  # it dies before it acts
    await command_stream.publish(system.client, system.keys, {"type": "convert", "session": customer.sid, "id": "c1"})
    await system.until(customer.sid, state="converting")
    await system.stop_worker()
    outbox = system.keys.outbox(system.keys.partition_of(customer.sid))
    ordered = {name: orjson.loads(body) for name, body in (await system.client.hgetall(outbox)).items()}
    ((name, redirect),) = [
        (name, body) for name, body in ordered.items() if body["work"].get("kind") == "redirect_call"
    ]
    added = {"colour": "blue", "shades": ["dark"], "nested": {"a": 1}}
    await system.client.hset(outbox, name, orjson.dumps(redirect | added))
    newer = orjson.dumps(
        {"committed_at_ms": redirect["committed_at_ms"], "work": {"kind": "teleport_call", "effect_id": "newer"}}
    )
    await system.client.hset(outbox, "newer", newer)

    system.start_worker()

    await system.until(customer.sid, state="conferenced")
    assert system.redirects_of(agent) == 1
    assert not await system.client.hexists(outbox, "newer")
    letters = [fields for _, fields in await system.client.xrange(system.keys.dead)]
    assert [letter[b"dead_reason"] for letter in letters] == [b"outbox entry unreadable"]
    assert newer in letters[0].values(), "a dead letter is whole"
    assert events_of(await system.log(customer.sid), "effect_succeeded")
    await system.client.delete(system.keys.dead)
    await all_hang_up(system)
