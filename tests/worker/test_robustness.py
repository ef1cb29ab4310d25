"""What must not stop a worker, nor make it forget or repeat anything: mistakes of ours, odd entries, a full, silent,
refusing or rolled-back Redis, a flapping connection."""

import asyncio
import signal

import pytest

from conferral.operations.dead_letters import DeadLetters
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.partition.partition_store import PartitionStore
from conferral.storage.partition.session_store import SessionStore
from conferral.worker.consumer import batch_processor
from tests.support.local_system import LocalSystem
from tests.support.outcomes import wait_for_outcome

pytestmark = pytest.mark.redis


@pytest.fixture
async def system(redis_server):
    async with LocalSystem(redis_server.url) as system:
        yield system


async def dead_reasons(system: LocalSystem) -> list[bytes]:
    return [fields[b"dead_reason"] for _, fields in await system.client.xrange(system.keys.dead)]


def stumble_over(monkeypatch, is_bad) -> None:
    """From now on, a decision of such an event is a mistake of ours."""
    decide = batch_processor.decide

    def stumbles(events, *rest):
        if any(map(is_bad, events)):
            raise KeyError("a mistake of ours")
        return decide(events, *rest)

    monkeypatch.setattr(batch_processor, "decide", stumbles)


async def test_dead_lettered_command_is_executed_after_a_retry(system, monkeypatch):
    customer, agent = await system.talking()
    stumble_over(monkeypatch, lambda event: event.name == "convert")
    assert (await system.command("convert", customer.sid, id="c1")).status == "failed"
    await system.eventually(lambda: system.client.xlen(system.keys.dead), "a dead letter")
    letters = DeadLetters(system.client, system.keys)
    # Back on its stream, and dead-lettered again: a retry does not fix the cause.
    assert (await letters.retry_all("processing failed", 1)).done == 1
    await system.eventually(lambda: system.client.xlen(system.keys.dead), "a dead letter again")
    monkeypatch.undo()
    assert (await letters.retry_all()).done == 1
    assert (await wait_for_outcome(system.client, system.keys, "c1", 10)).status == "done"
    assert system.redirects_of(agent) == 1
    assert await letters.count() == 0
    await system.ended_by_command(customer.sid)


async def test_outcome_that_can_not_be_written_stops_nothing(system):
    customer, agent = await system.talking()
    system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=0.5)
    await system.client.xadd(system.keys.commands, {"type": "convert", "session": customer.sid, "id": "later"})
    await system.until(customer.sid, state="converting")
    await system.eventually(lambda: system.client.hexists(system.keys.command("later"), "status"), "it was accepted")
    await system.client.delete(system.keys.command("later"))
    await system.client.set(system.keys.command("later"), "another program's")
    await system.until(customer.sid, state="conferenced")
    await system.client.delete(system.keys.command("later"))
    outcome = await system.command("end", customer.sid)
    assert outcome.status == "done"
    await system.settled()  # with nothing left in an outbox
    assert not await system.client.exists(system.keys.dead)


async def test_timer_set_while_due_ones_are_moved_is_not_lost(system, monkeypatch):
    """The answer "the next one is due tomorrow" came after a commit had set one for in two seconds."""
    system.end_calls_in_test()
    customer, agent = await system.converted()
    held = system.workers[0].ownership.consumers[system.keys.partition_of(customer.sid)]
    fire = PartitionStore.fire_timers

    async def answers_late(store, partition, lease, now_ms, longest_ms):
        answer = await fire(store, partition, lease, now_ms, longest_ms)
        if partition == held.number:
            agent.hang_up()
            await system.eventually(lambda: _has_timer(held, customer.sid, "lone"), "the grace has begun")
        return answer

    monkeypatch.setattr(PartitionStore, "fire_timers", answers_late)
    await held.timers.fire()
    monkeypatch.undo()
    session = await system.until(customer.sid, state="ended")
    assert session["end_reason"] == "agent-left"
    await system.settled()


async def _has_timer(held, session_id: str, name: str) -> bool:
    session = held.sessions.get(session_id)
    return session is not None and name in session.timers


async def test_flapping_redis_makes_no_poison(system, monkeypatch):
    """A mark stands for a worker's death, not for a try."""
    customer, _ = await system.talking()
    partition, consumers = system.keys.partition_of(customer.sid), system.workers[0].ownership.consumers
    before = consumers[partition]
    await system.client.hset(system.keys.lease(partition), "holder", "50:dead")

    async def is_claimed_again() -> bool:
        return partition in consumers and consumers[partition] is not before

    await system.eventually(is_claimed_again, "the dead worker's partition is ours")
    load, failures = SessionStore.load, iter(range(5))

    async def flaps(store, session_ids):
        if next(failures, None) is not None:
            raise StoreUnreachableError("flapping")
        return await load(store, session_ids)

    monkeypatch.setattr(SessionStore, "load", flaps)
    assert (await system.command("convert", customer.sid)).status == "done"
    assert next(failures, None) is None, "each was met"
    assert not await dead_reasons(system)
    await system.ended_by_command(customer.sid)


async def test_key_of_another_type_makes_no_poison(system):
    """Redis refuses every commit, and the partition is given up each time: no worker has died of what is open."""
    customer, _ = await system.talking()
    partition = system.keys.partition_of(customer.sid)
    live, lease = system.keys.live(partition), system.keys.lease(partition)
    await system.client.delete(live)
    await system.client.set(live, "of another program")
    await system.client.hset(system.keys.suspects(partition), "effect", 4)
    first = int((await system.client.hget(lease, "holder")).partition(b":")[0])
    await system.client.xadd(system.keys.commands, {"type": "convert", "session": customer.sid, "id": "c1"})

    async def was_often_given_up() -> bool:
        return int((await system.client.hget(lease, "holder")).partition(b":")[0]) >= first + 5

    await system.eventually(was_often_given_up, "the partition has had five holders")
    await system.client.delete(live)
    await system.client.sadd(live, customer.sid)
    assert (await wait_for_outcome(system.client, system.keys, "c1", 5)).status == "done"
    assert await dead_reasons(system) == []
    # The entry in hand may be marked.
    assert not await system.client.hexists(system.keys.suspects(partition), "effect")
    await system.ended_by_command(customer.sid)


async def test_live_session_is_checked_once_after_a_rollback(system):
    """No call is missing, and no caller is alone; Twilio is asked all the same."""
    customer, _ = await system.converted()
    await system.client.hincrby(system.keys.lease(system.keys.partition_of(customer.sid)), "commit", -1)

    async def events_since_check() -> list[str]:
        log = await system.log(customer.sid)
        checks = [number for number, entry in enumerate(log) if "rolled-back" in entry.get("details", "")]
        return [entry["event"] for entry in log[checks[0] :]] if checks else []

    async def was_checked() -> bool:
        return "calls_read" in await events_since_check()

    await system.eventually(was_checked, "Twilio was asked")
    assert (await events_since_check()).count("account_swept") == 1
    await system.ended_by_command(customer.sid)


@pytest.mark.parametrize("repetitions_ms", [pytest.param(60_000, marks=pytest.mark.soak), 100])
async def test_gated_dial_after_a_rollback_is_sent_at_most_once(system, monkeypatch, repetitions_ms):
    """Soon after it, no search can find such a call: its outcome is unknown. Some time after it, it is sent at once."""
    monkeypatch.setattr("conferral.worker.consumer.dispatcher.REDELIVERY_WINDOW_MS", repetitions_ms)
    system.sandbox.phone("client:bob").script(answer_after_s=0.02, keys="1", keys_after_s=0.01)
    customer, _ = await system.converted()
    lease = system.keys.lease(system.keys.partition_of(customer.sid))
    holder = await system.client.hget(lease, "holder")
    await system.client.hincrby(lease, "commit", -1)

    async def was_noticed():
        return await system.client.hget(lease, "holder") != holder

    await system.eventually(was_noticed, "the worker has taken its lease anew")
    await asyncio.sleep(0.2)  # a delay: the time after a rollback is over
    outcome = await system.command("transfer", customer.sid, to="client:bob", mode="warm", confirm="true")
    is_soon = repetitions_ms > 1_000
    assert (outcome.status, outcome.reason) == (("failed", "unknown") if is_soon else ("done", ""))
    assert len(system.sandbox.calls_of("client:bob")) == (0 if is_soon else 1)
    await system.ended_by_command(customer.sid)


async def test_timers_of_an_older_copy_of_redis_are_found(system):
    """Nothing was committed since, so only a read shows them."""
    customer, agent = await system.converted()
    partition = system.keys.partition_of(customer.sid)
    await system.stop_worker()
    agent.hang_up()
    stream = system.keys.events(partition)
    await system.eventually(lambda: system.client.xlen(stream), "the callbacks are stored")
    system.start_worker()
    await system.until(customer.sid, state="ended")
    await system.client.zadd(system.keys.timers(partition), {f"lone|{customer.sid}": 1})
    await system.client.hset(system.keys.lease(partition), "server", "0" * 40)  # the copy is another server's
    await system.settled()


@pytest.mark.soak
async def test_stop_takes_no_longer_than_promised_though_redis_is_silent(redis_server):
    clock = SystemClock()
    async with LocalSystem(redis_server.url, CONFERRAL_PARTITIONS=16) as system:
        customer, agent = await system.talking()
        system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=1.0)
        await system.client.xadd(system.keys.commands, {"type": "convert", "session": customer.sid})
        await system.until(customer.sid, state="converting")
        redis_server.signal(signal.SIGSTOP)
        try:
            began_s = clock.monotonic_s()
            await system.stop_worker()
            assert clock.monotonic_s() - began_s < 10
        finally:
            redis_server.signal(signal.SIGCONT)
        system.start_worker()
        await system.until(customer.sid, state="conferenced")
        await system.ended_by_command(customer.sid)
        assert system.redirects_of(agent) == 1
