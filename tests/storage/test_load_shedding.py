"""What is dropped under load: only what has no effect, for a reason that is counted, and logged at a bounded rate."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import ConferenceEventIgnored
from conferral.storage.connection.client import Client, run_or_raise
from conferral.storage.keys import Keys
from conferral.storage.webhook_store.store import WebhookStore
from tests.support.entries import SESSION, event_in
from tests.support.entries import ringing as deciding
from tests.support.hands import Hands

pytestmark = pytest.mark.redis


def noted(number: int = 0, session_id: str = SESSION) -> ConferenceEventIgnored:
    return ConferenceEventIgnored(
        session_id=session_id, source="CF1", sequence=number, conference_sid="CF1", kind="participant-speech-start"
    )


def shed(metrics: Metrics) -> dict[str, int]:
    counts = {reason: metrics.registry.get_sample_value("conferral_events_shed_total", {"reason": reason})
              for reason in ("waiting", "backlog")}  # fmt: skip
    return {reason: int(count) for reason, count in counts.items() if count}


@pytest.fixture
async def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
async def publisher(client: Client, keys: Keys, hands: Hands, metrics: Metrics) -> AsyncIterator[WebhookStore]:
    publisher = WebhookStore(client, keys, hands, deadline_s=1.0, metrics=metrics)
    yield publisher
    await publisher.close()


async def test_events_of_a_partition_that_is_far_behind_are_left_out_until_it_has_caught_up(
    publisher, client, keys, metrics, hands
):
    stream = keys.events(keys.partition_of(SESSION))
    await run_or_raise(client, *[("XADD", stream, "*", "type", "of before")] * 2_000)

    await publisher.publish(noted(1))
    with capture_logs() as lines:
        for number in range(100):
            hands.now_s += 0.25
            await publisher.publish(noted(number))
    await publisher.publish(deciding(3))
    other = next(name for name in map(str, range(99)) if keys.partition_of(name) != keys.partition_of(SESSION))
    await publisher.publish(noted(4, other))
    assert shed(metrics) == {"backlog": 100}
    assert await client.xlen(stream) == 2_000 + 2
    logged = [line for line in lines if line["event"] == "events_dropped"]
    assert [(line["reason"], line["log_level"], line["count"]) for line in logged] == [
        ("backlog", "warning", 1), ("backlog", "warning", 40), ("backlog", "warning", 40)
    ]  # fmt: skip

    await client.delete(stream)
    await publisher.publish(noted(5))
    assert await client.xlen(stream) == 1


async def test_writes_that_wait_are_bounded_and_most_of_them_decide(server, publisher, client, keys, metrics):
    await publisher.publish(deciding(1))
    server.signal(signal.SIGSTOP)
    try:
        waiting = [asyncio.create_task(publisher.publish(deciding(10 + number))) for number in range(1_000)]
        await asyncio.sleep(0)
        await publisher.publish(noted(1))  # returns at once
        with pytest.raises(StoreUnreachableError, match="too much waits"):
            await publisher.publish(deciding(3_000))
        assert not any(task.done() for task in waiting)
    finally:
        server.signal(signal.SIGCONT)
    await asyncio.gather(*waiting)
    assert shed(metrics) == {"waiting": 1}

    await publisher.publish(deciding(3_001))
    await publisher.publish(noted(2))
    entries = await client.xrange(keys.events(keys.partition_of(SESSION)))
    sequences = sorted(event_in(fields).sequence for _, fields in entries)
    assert sequences == [1, 2, *range(10, 1_010), 3_001]
