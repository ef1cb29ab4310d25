"""The queue of outcomes to send: only what was read is removed, whatever another worker does in between."""

import pytest

from conferral.storage.outcome_queue import OutcomeQueue, QueuedOutcome

pytestmark = pytest.mark.redis
LATER_MS = 10**15


@pytest.fixture
def queue(client, keys):
    return OutcomeQueue(client, keys)


async def take_new(queue, client, keys):
    position = (await queue.read_state()).position
    await queue.take(await client.xrange(keys.outcomes, f"({position}"), position, 1)


async def queued(client, keys, *sessions):
    """Outcomes are written, and queued; returns their ids."""
    position = await client.xadd(keys.outcomes, {"id": "before"})
    await client.hset(keys.sending_state, "position", position)
    ids = [await client.xadd(keys.outcomes, {"id": one, "session": one}) for one in sessions]
    await take_new(OutcomeQueue(client, keys), client, keys)
    return [one.decode() for one in ids]


@pytest.mark.parametrize("failures", [0, 3])
async def test_an_outcome_that_is_not_first_changes_nothing(queue, client, keys, failures):
    first, second = await queued(client, keys, "CA1", "CA1")
    before = await client.hgetall(keys.sending), await client.zrange(keys.sending_due, 0, -1, withscores=True)
    for other in (second, "0-0", "", "9-9"):
        await queue.delay(QueuedOutcome("CA1", other, 0, {}), failures, LATER_MS)
    assert before == (
        await client.hgetall(keys.sending),
        await client.zrange(keys.sending_due, 0, -1, withscores=True),
    )
    await queue.settle(QueuedOutcome("CA1", first, 0, {}), 0)
    assert await client.hget(keys.sending, "CA1") == f"0 {second}".encode()


async def test_queue_that_is_settled_and_filled_again_during_the_read_loses_nothing(queue, client, keys, monkeypatch):
    (first,) = await queued(client, keys, "CA1")
    execute = client.execute_command

    async def between(*command, **options):
        """Between the due sessions and their queues, another worker settles the first and queues the next."""
        if command[0] == "HMGET" and command[1] == keys.sending:
            await queue.settle(QueuedOutcome("CA1", first, 0, {}), 0)
            answer = await execute(*command, **options)
            later = await client.xadd(keys.outcomes, {"id": "later", "session": "CA1"})
            await take_new(queue, client, keys)
            ids.append(later.decode())
            return answer
        return await execute(*command, **options)

    ids: list[str] = []
    monkeypatch.setattr(client, "execute_command", between)
    assert await queue.due(LATER_MS, 16, besides=()) == []
    monkeypatch.undo()
    (head,) = await queue.due(LATER_MS, 16, besides=())
    assert (head.entry_id, head.fields["id"]) == (ids[0], "later")


async def test_queues_that_can_not_be_read_are_removed(queue, client, keys):
    texts = {"CA9": "not ours", "CA7": f"{'9' * 10} 12-1", "CA6": "0 12-1x", "CA5": f"0 {'9' * 20}-1", "CA4": "0 1-1\n"}
    await client.hset(keys.sending, mapping=texts)
    await client.zadd(keys.sending_due, dict.fromkeys((*texts, "CA8"), 0))
    assert await queue.due(LATER_MS, 16, besides=()) == []
    assert not await client.exists(keys.sending)
    assert not await client.exists(keys.sending_due)
