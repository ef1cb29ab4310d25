"""What must not make a worker forget or repeat anything: a mistake of ours, or a rolled-back Redis."""

import pytest

from conferral.operations.dead_letters import DeadLetters
from conferral.worker.consumer import batch_processor
from tests.support.local_system import LocalSystem
from tests.support.outcomes import wait_for_outcome

pytestmark = pytest.mark.redis


@pytest.fixture
async def system(redis_server):
    async with LocalSystem(redis_server.url) as system:
        yield system


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


async def test_live_session_is_checked_once_after_a_rollback_and_timers_of_an_ended_one_are_dropped(system):
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

    # An older copy of Redis has a timer of it. Nothing is committed any more, so only a read shows that.
    partition = system.keys.partition_of(customer.sid)
    await system.client.zadd(system.keys.timers(partition), {f"lone|{customer.sid}": 1})
    await system.client.hset(system.keys.lease(partition), "server", "0" * 40)  # the copy is another server's
    await system.settled()
