"""How webhooks' commands wait for Redis: batches, limits, and deadlines. Redis is played; in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.webhook_store import command_queue
from conferral.storage.webhook_store.command_queue import CommandQueue
from tests.simulation.virtual_loop import in_virtual_time

READ_ONLY = ResponseError("READONLY You can't write against a read only replica.")
Answers = list[Any]


class Redis:
    """Answers each pipeline after a while; `answer` gets a pipeline's commands, and how many came before it."""

    def __init__(self) -> None:
        self.takes_s = 0.0
        self.answer: Callable[[list[Any], int], Answers] = lambda commands, _number: [one[0] for one in commands]
        #: When each pipeline was sent, seconds, and with how many commands.
        self.sent: list[tuple[float, int]] = []
        #: Whether each had to be on a replica.
        self.durable: list[bool] = []
        #: How many are under way, and were at most.
        self.running = self.running_most = 0
        self.queue = self.make()

    def make(self, *, is_durable: bool = False) -> CommandQueue:
        return CommandQueue(object(), 2.0, is_durable=is_durable)

    async def run(self, _client: object, given: Sequence[Any], *, is_durable: bool) -> Answers:
        commands = list(given)
        self.durable.append(is_durable)
        self.sent.append((round(now_s(), 3), len(commands)))
        self.running += 1
        self.running_most = max(self.running_most, self.running)
        try:
            await asyncio.sleep(self.takes_s)  # a delay: virtual time
        finally:
            self.running -= 1
        return self.answer(commands, len(self.sent) - 1)

    def start(self, name: str = "PING") -> "asyncio.Task[Answers]":
        return asyncio.ensure_future(self.queue.run((name,)))


def now_s() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Redis:
    played = Redis()
    monkeypatch.setattr(command_queue, "run_all", played.run)
    return played


def story(body: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test in virtual time."""

    @in_virtual_time
    @wraps(body)
    async def test(redis: Redis, **given: Any) -> None:
        await body(redis=redis, **given)
        await redis.queue.close()

    return test


@story
async def test_what_arrives_together_is_sent_together_up_to_a_size(redis, monkeypatch) -> None:
    monkeypatch.setattr(command_queue, "PIPELINE_MAX", 3)
    redis.queue = redis.make()
    answers = await asyncio.gather(*(redis.start(f"c{number}") for number in range(7)))
    assert answers == [[f"c{number}"] for number in range(7)]
    assert [count for _, count in redis.sent] == [3, 3, 1]


@story
async def test_pipelines_of_a_durable_queue_wait_for_a_replica(redis) -> None:
    await redis.start()
    redis.queue = redis.make(is_durable=True)
    await redis.start()
    assert redis.durable == [False, True]


@story
async def test_durable_commands_wait_for_a_replica_that_lags(redis) -> None:
    redis.queue, redis.takes_s = redis.make(is_durable=True), 4.9
    tasks = []
    for _ in range(command_queue.DURABLE_PIPELINES_MAX + 1):
        tasks.append(redis.start())
        await asyncio.sleep(0.001)  # a delay: virtual time
    *answered, late = await asyncio.gather(*tasks, return_exceptions=True)
    assert answered == [["PING"]] * command_queue.DURABLE_PIPELINES_MAX
    assert isinstance(late, StoreUnreachableError), "until 5 s had passed"
    assert now_s() == pytest.approx(5.0, abs=0.02)


@story
async def test_pipelines_whose_callers_have_left_end(redis) -> None:
    redis.queue, redis.takes_s = redis.make(is_durable=True), 1000.0
    first = [redis.start() for _ in range(3)]
    await asyncio.wait(first)
    await redis.queue.close()
    assert (redis.running, now_s()) == (0, 5.0)
    redis.takes_s = 0.0
    assert await redis.start() == ["PING"]
    assert {type(one.exception()) for one in first} == {StoreUnreachableError}


@story
async def test_some_pipelines_run_at_a_time(redis, monkeypatch) -> None:
    monkeypatch.setattr(command_queue, "PIPELINES_MAX", 4)
    redis.queue = redis.make()
    redis.takes_s = 0.1
    tasks = []
    for _ in range(9):
        tasks.append(redis.start())
        await asyncio.sleep(0.001)  # a delay: virtual time
    await asyncio.gather(*tasks)
    assert redis.running_most == 4
    assert [count for _, count in redis.sent] == [1, 1, 1, 1, 5], "what waited goes together"


@story
async def test_caller_that_was_just_answered_is_answered_again(redis, monkeypatch) -> None:
    monkeypatch.setattr(command_queue, "PIPELINES_MAX", 1)
    queue = redis.make()
    for _ in range(3):
        assert await queue.run(("PING",)) == ["PING"]
    assert now_s() == 0


@story
async def test_command_whose_caller_has_left_holds_up_no_other(redis, monkeypatch) -> None:
    monkeypatch.setattr(command_queue, "PIPELINE_MAX", 1)
    redis.queue = redis.make()
    first, second = redis.start("first"), redis.start("second")
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ["second"]
    assert redis.sent == [(0.0, 1)]

    alone = redis.start("alone")
    await asyncio.sleep(0)
    alone.cancel()
    assert await redis.start("next") == ["next"]
    assert redis.sent == [(0.0, 1)] * 2


@story
async def test_pipelines_that_failed_unexpectedly_hold_up_no_others(redis) -> None:
    def fail(_commands: list[Any], _number: int) -> Answers:
        raise ValueError

    works, redis.answer = redis.answer, fail
    lost = []
    for _ in range(command_queue.PIPELINES_MAX):
        lost.append(redis.start())
        await asyncio.sleep(0.1)  # a delay: virtual time
    redis.answer = works
    assert await redis.start("next") == ["next"]
    await asyncio.wait(lost)
    assert all(isinstance(one.exception(), StoreUnreachableError) for one in lost)


@story
async def test_silent_redis_costs_each_caller_the_deadline(redis) -> None:
    redis.takes_s = 60.0
    first = redis.start()
    await asyncio.sleep(0.5)  # a delay: virtual time
    second = redis.start()
    for task, ended_s in ((first, 2.0), (second, 2.5)):
        with pytest.raises(StoreUnreachableError, match="did not answer in time"):
            await task
        assert now_s() == pytest.approx(ended_s)
    with pytest.raises(StoreUnreachableError):
        await redis.start()
    assert now_s() == pytest.approx(4.5)


@story
async def test_broken_connection_and_passing_refusal_are_waited_out(redis) -> None:
    def answer(commands: list[Any], number: int) -> Answers:
        if number == 0:
            raise RedisConnectionError("broken")
        if number == 1:
            return ["good", READ_ONLY]
        return ["later" for _ in commands]

    redis.answer = answer
    assert await asyncio.gather(redis.start(), redis.start()) == [["good"], ["later"]]
    assert redis.sent == [(0.0, 2), (0.05, 2), (0.1, 1)]


@pytest.mark.parametrize("is_refused", [False, True])
@story
async def test_persistent_trouble_is_reported_before_the_deadline_in_its_own_words(redis, is_refused) -> None:
    def answer(commands: list[Any], _number: int) -> Answers:
        if not is_refused:
            raise RedisConnectionError("broken")
        return [READ_ONLY for _ in commands]

    redis.answer = answer
    with pytest.raises(StoreUnreachableError, match="READONLY" if is_refused else "can't be reached"):
        await redis.start()
    assert 1.9 <= now_s() <= 2.0
    assert 39 <= len(redis.sent) <= 40


@story
async def test_refusal_for_good_concerns_its_own_command(redis) -> None:
    redis.answer = lambda _commands, _number: ["good", ResponseError("WRONGTYPE Operation against a key")]
    good, refused = await asyncio.gather(redis.start(), redis.start(), return_exceptions=True)
    assert good == ["good"]
    assert isinstance(refused, StoreError)
    assert not isinstance(refused, StoreUnreachableError)
    assert len(redis.sent) == 1


@story
async def test_too_many_waiting_commands_are_refused(redis, monkeypatch) -> None:
    monkeypatch.setattr(command_queue, "CALLERS_MAX", 8)
    redis.takes_s = 0.1
    tasks = [redis.start("PING") for _ in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnreachableError, match="too much waits"):
        await redis.start("PING")
    await asyncio.gather(*tasks)
