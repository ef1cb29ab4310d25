"""redis-server killed and restarted in the middle, with an append-only file: what was acknowledged is there."""

import asyncio

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreError
from conferral.statemachine.events import CallProgressed
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.webhook_store.store import WebhookStore
from tests.support.entries import event_in
from tests.support.local_system import LocalSystem

pytestmark = [pytest.mark.redis, pytest.mark.processes]


async def test_everything_acknowledged_is_there_after_redis_was_killed(durable_redis):
    client = make_client(durable_redis.url)
    keys = Keys("test", 4)
    publisher = WebhookStore(client, keys, SystemClock())
    acknowledged: set[str] = set()
    goes_on = True

    async def publish(worker: int) -> None:
        number = 0
        while goes_on:
            token = f"{worker}-{number}"
            event = CallProgressed(session_id=f"s{worker}", token=token, party="agent", call_sid="CA", status="ringing")
            number += 1
            try:
                await publisher.publish(event)
            except StoreError:
                continue
            acknowledged.add(token)

    publishing = [asyncio.create_task(publish(worker)) for worker in range(20)]
    for _ in range(3):
        before = len(acknowledged)
        while len(acknowledged) < before + 300:
            await asyncio.sleep(0)
        durable_redis.kill()
        durable_redis.start()
    goes_on = False
    await asyncio.gather(*publishing)
    stored = set()
    for partition in range(keys.partitions):
        stored |= {event_in(fields).token for _, fields in await client.xrange(keys.events(partition))}
    assert len(acknowledged) > 900
    assert acknowledged <= stored
    await publisher.close()
    await client.aclose()


@pytest.mark.parametrize("moment", [pytest.param("before", marks=pytest.mark.soak), "after"])
async def test_conversion_survives_redis_killed_around_the_redirect(durable_redis, moment):
    async with LocalSystem(durable_redis.url, CONFERRAL_CONVERT_TIMEOUT=5) as system:
        customer, agent = await system.talking()

        async def restart(rest):
            if rest.step == moment and rest.method == "POST" and agent.sid in rest.path:
                system.sandbox.on_rest = None
                durable_redis.kill()
                durable_redis.start()

        system.sandbox.on_rest = restart
        entry = system.client.xadd(system.keys.commands, {"type": "convert", "session": customer.sid, "id": "c1"})
        await entry
        session = await system.until(customer.sid, state="conferenced")
        assert session["party.agent.call_sid"] == agent.sid
        assert system.redirects_of(agent) == 1
        await system.ended_by_hang_up(agent, customer.sid, "agent-left")


@pytest.mark.soak
async def test_bridged_caller_is_moved_although_redis_dies_before_the_dial_action(durable_redis):
    """No one can be asked for the state: the action waits, asks again, then asks Twilio for the agent's leg."""
    async with LocalSystem(durable_redis.url, CONFERRAL_CONVERT_TIMEOUT=9) as system:
        customer, agent = await system.talking()

        async def kill(rest):
            if rest.step == "after" and rest.method == "POST" and agent.sid in rest.path:
                system.sandbox.on_rest = None
                durable_redis.kill()

        system.sandbox.on_rest = kill
        await system.client.xadd(system.keys.commands, {"type": "convert", "session": customer.sid, "id": "c1"})
        await system.sandbox.wait_until(
            lambda: customer.has_heard(agent) and _both_in_a_conference(system), timeout_s=60
        )
        durable_redis.start()
        await system.until(customer.sid, state="conferenced")
        await system.ended_by_command(customer.sid)


def _both_in_a_conference(system: LocalSystem) -> bool:
    return any(len(conference.joined()) == 2 for conference in system.sandbox.model.state.conferences.values())
