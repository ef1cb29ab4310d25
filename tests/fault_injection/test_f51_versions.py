"""An older release after a newer one: a newer one only adds, and what this one does not know it drops."""

import msgspec
import pytest

from conferral.storage import command_stream
from tests.fault_injection.calls import all_hang_up, events_of, hang_up, transferred
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.invariants import assert_invariants

pytestmark = pytest.mark.redis


async def test_fault_51_what_a_newer_version_added_to_a_session_is_dropped_and_the_call_goes_on(
    system: FaultSystem,
) -> None:
    customer, _ = await system.talking()
    key = system.keys.session(customer.sid)
    stored = (await system.client.hget(key, "session")).decode()
    added = stored.replace('{"name":"agent"', '{"name":"agent","colour":{"is":["green"]}')
    assert added != stored
    await system.client.hset(key, "session", added)
    await system.replace_workers()
    await system.done("convert", customer.sid)
    await transferred(system, customer)

    await hang_up(system)

    assert (await system.session(customer.sid))["state"] == "ended"
    assert b"colour" not in await system.client.hget(key, "session")
    await assert_invariants(system)


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
    ordered = {name: msgspec.json.decode(body) for name, body in (await system.client.hgetall(outbox)).items()}
    ((name, redirect),) = [(name, body) for name, body in ordered.items() if body["effect"]["kind"] == "redirect_call"]
    added = {"colour": "blue", "shades": ["dark"], "nested": {"a": 1}}
    await system.client.hset(outbox, name, msgspec.json.encode(redirect | added))
    newer = msgspec.json.encode(redirect | {"effect": {"kind": "teleport_call", "effect_id": "newer"}})
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
