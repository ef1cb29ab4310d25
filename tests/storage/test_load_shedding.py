"""What is shed under load: only what has no effect, for a reason that is counted, and logged at a bounded rate."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from conferral.runtime.clock import Clock, SystemClock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import ConferenceEventIgnored
from conferral.storage.connection.client import Client
from conferral.storage.ingest import command_queue, load_shedding
from conferral.storage.ingest.load_shedding import Backlogs, LoadShedding, Reason, SessionRates
from conferral.storage.ingest.writer import BatchingIngest
from conferral.storage.keys import Keys
from tests.support.entries import SESSION, event_in
from tests.support.entries import ringing as deciding
from tests.support.hands import Hands


def noted(number: int = 0, session_id: str = SESSION) -> ConferenceEventIgnored:
    return ConferenceEventIgnored(
        session_id=session_id, source="CF1", sequence=number, conference_sid="CF1", kind="participant-speech-start"
    )


def shed(metrics: Metrics) -> dict[str, int]:
    counts = {reason.value: metrics.registry.get_sample_value("conferral_events_shed_total", {"reason": reason.value})
              for reason in Reason}  # fmt: skip
    return {reason: int(count) for reason, count in counts.items() if count}


# ---- the rate of a session ---------------------------------------------------------------------------------------


def test_session_may_send_fifty_events_at_once_and_then_as_many_a_second():
    clock = Hands()
    rates = SessionRates(clock)

    def acquired() -> int:
        return sum(rates.try_acquire("s") for _ in range(60))

    assert acquired() == 50
    for passed_s, count in ((0.0625, 3), (0.0625, 3), (0.0625, 3), (0.0625, 3), (0.015625, 1), (0.5, 25), (99.0, 50)):
        clock.now_s += passed_s
        assert acquired() == count, passed_s
    assert not rates.try_acquire("s")
    assert rates.try_acquire("quiet")


def test_backlog_is_read_once_a_second_and_known_until_then():
    clock = Hands()
    backlogs = Backlogs(clock)
    assert [backlogs.is_due(3), backlogs.is_due(3), backlogs.is_behind(3)] == [True, False, False]
    for count, is_behind in ((2_000, False), (2_001, True), (0, False), (9_999, True)):
        backlogs.update(3, count)
        assert backlogs.is_behind(3) is is_behind
    clock.now_s += 0.75
    assert (backlogs.is_due(3), backlogs.is_behind(3), backlogs.is_behind(4)) == (False, True, False)
    clock.now_s += 0.25
    assert not backlogs.is_behind(3), "a dropped event would not read it"
    assert backlogs.is_due(3)
    assert backlogs.is_behind(3)


def test_number_of_tracked_sessions_is_limited(monkeypatch):
    monkeypatch.setattr(load_shedding, "SESSIONS_MAX", 10)
    rates = SessionRates(Hands())
    while rates.try_acquire("limited"):
        pass
    for others, is_forgotten in ((9, False), (10, True)):
        for number in range(others):
            rates.try_acquire(f"s{others}-{number}")
        assert rates.try_acquire("limited") is is_forgotten


def test_deciding_events_count_toward_the_rate_of_their_session():
    metrics = Metrics()
    watched = LoadShedding(Hands(), metrics)
    assert not any(watched.should_shed(deciding(number), 0, is_overloaded=False) for number in range(50))
    assert watched.should_shed(noted(), 0, is_overloaded=False)
    assert shed(metrics) == {"session": 1}


@pytest.mark.parametrize("event", [deciding(), noted()], ids=lambda event: event.name)
@pytest.mark.parametrize("reason", Reason)
def test_deciding_events_are_never_shed(event, reason, monkeypatch):
    metrics = Metrics()
    watched = LoadShedding(Hands(), metrics)
    if reason is Reason.SESSION:
        monkeypatch.setattr(load_shedding, "SESSION_BURST", 0.0)
    if reason is Reason.BACKLOG:
        assert watched.backlogs.is_due(3)
        watched.backlogs.update(3, 2_001)

    assert watched.should_shed(event, 3, is_overloaded=reason is Reason.WAITING) == bool(event.ignored_because)
    assert shed(metrics) == ({reason.value: 1} if event.ignored_because else {})


def test_shed_events_are_logged_once_in_a_while():
    clock = Hands()
    watched = LoadShedding(clock, Metrics())
    with capture_logs() as lines:
        for number in range(1_000):
            clock.now_s += 0.025
            watched.should_shed(noted(number), 0, is_overloaded=True)
    logged = [line for line in lines if line["event"] == "events_dropped"]
    assert [(line["reason"], line["log_level"]) for line in logged] == [("waiting", "warning")] * 3
    assert [line["count"] for line in logged] == [1, 400, 400]


# ---- the publisher -----------------------------------------------------------------------------------------------


@pytest.fixture
async def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def publisher_by(
    client: Client, keys: Keys, metrics: Metrics
) -> AsyncIterator[Callable[[Clock], BatchingIngest]]:
    """Makes a publisher with a clock."""
    async with AsyncExitStack() as opened:

        def make(clock: Clock) -> BatchingIngest:
            publisher = BatchingIngest(client, keys, clock, deadline_s=1.0, metrics=metrics)
            opened.push_async_callback(publisher.close)
            return publisher

        yield make


@pytest.fixture
def publisher(publisher_by: Callable[[Clock], BatchingIngest], clock: SystemClock) -> BatchingIngest:
    return publisher_by(clock)


@pytest.mark.redis
async def test_events_of_a_partition_that_is_far_behind_are_left_out_until_it_has_caught_up(
    publisher_by, client, keys, metrics, monkeypatch
):
    monkeypatch.setattr(load_shedding, "BEHIND_EVENTS", 10)
    hands = Hands()
    publisher = publisher_by(hands)
    stream = keys.events(keys.partition_of(SESSION))
    for _ in range(11):
        await client.xadd(stream, {"type": "of before"})

    await publisher.publish(noted(1))  # asks
    await publisher.publish(noted(2))
    await publisher.publish(deciding(3))
    other = next(name for name in map(str, range(99)) if keys.partition_of(name) != keys.partition_of(SESSION))
    await publisher.publish(noted(4, other))
    assert shed(metrics) == {"backlog": 1}
    assert await client.xlen(stream) == 11 + 2

    await client.delete(stream)
    hands.now_s += 1.0
    await publisher.publish(noted(5))  # asks again
    await publisher.publish(noted(6))
    assert shed(metrics) == {"backlog": 1}
    assert await client.xlen(stream) == 2


@pytest.mark.redis
async def test_stream_length_is_read_once_a_second(publisher_by, monkeypatch):
    hands, sent = Hands(), Counter[str]()
    publisher = publisher_by(hands)
    run = command_queue.run_all
    monkeypatch.setattr(
        command_queue, "run_all", lambda to, commands: sent.update(one[0] for one in commands) or run(to, commands)
    )
    for second in (1, 2):
        await asyncio.gather(*(publisher.publish(deciding(number)) for number in range(100)))
        assert sent == {"XADD": 100 * second, "XLEN": second}
        hands.now_s += 1.0


@pytest.mark.redis
async def test_writes_that_wait_are_bounded_by_their_bytes_and_the_half_is_for_what_decides(
    server, publisher, client, keys, metrics, monkeypatch
):
    one = sum(sum(map(len, command)) for command in publisher.write_commands(deciding(10), "", 0))
    monkeypatch.setattr(command_queue, "WAITING_BYTES_MAX", 10 * one + one // 2)
    monkeypatch.setattr(load_shedding, "BACKLOG_READ_EVERY_S", 1e9)
    await publisher.publish(deciding(1))
    server.signal(signal.SIGSTOP)
    try:
        waiting = [asyncio.create_task(publisher.publish(deciding(10 + number))) for number in range(10)]
        await asyncio.sleep(0)
        await publisher.publish(noted(1))  # returns at once
        with pytest.raises(StoreUnreachableError, match="too much waits"):
            await publisher.publish(deciding(30))
        assert not any(task.done() for task in waiting)
    finally:
        server.signal(signal.SIGCONT)
    await asyncio.gather(*waiting)
    assert shed(metrics) == {"waiting": 1}

    await publisher.publish(deciding(31))
    await publisher.publish(noted(2))
    entries = await client.xrange(keys.events(keys.partition_of(SESSION)))
    sequences = sorted(event_in(fields).sequence for _, fields in entries)
    assert sequences == [1, 2, *range(10, 20), 31]


@pytest.mark.redis
async def test_what_redis_refuses_for_good_fails_at_once_for_everyone_in_the_pipeline(publisher, monkeypatch):
    async def refuse(_client: object, _commands: object) -> None:
        raise ResponseError("NOPERM this user has no permissions")

    monkeypatch.setattr(command_queue, "run_all", refuse)
    results = await asyncio.gather(*(publisher.publish(deciding(n)) for n in range(2)), return_exceptions=True)
    assert [repr(result) for result in results] == [repr(StoreError("Redis refused (NOPERM)"))] * 2
