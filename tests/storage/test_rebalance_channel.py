"""Hints by Pub/Sub: heard by the others, on a cluster through any node."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from conferral.storage import rebalance_channel
from conferral.storage.connection.client import make_client
from conferral.storage.rebalance_channel import RebalanceChannel
from tests.simulation.virtual_loop import in_virtual_time
from tests.support.redis_clients import client_of

pytestmark = pytest.mark.redis


class Listener:
    """Counts what it hears."""

    def __init__(self) -> None:
        self.heard = 0

    def expect_heard(self) -> None:
        self.heard += 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def listening(server, keys, name: str) -> AsyncIterator[Listener]:
    client, listener, stop = client_of(server), Listener(), asyncio.Event()
    task = asyncio.create_task(RebalanceChannel(client, keys, name).subscribe(stop, listener.expect_heard))
    await until(lambda: listener.heard == 1)  # called when listening begins: a message may have been missed
    await asyncio.sleep(0.05)  # a delay: the subscription reaches every node
    try:
        yield listener
    finally:
        stop.set()
        await task
        await client.aclose()


async def test_hint_is_heard_by_the_others(server, client, keys):
    async with listening(server, keys, "one") as one, listening(server, keys, "two") as two:
        await RebalanceChannel(client, keys, "three").notify()
        await until(lambda: (one.heard, two.heard) == (2, 2))


async def test_own_hint_is_passed_over(server, client, keys):
    async with listening(server, keys, "one") as one, listening(server, keys, "two") as two:
        await RebalanceChannel(client, keys, "one").notify()
        await until(lambda: two.heard == 2)
        await RebalanceChannel(client, keys, "two").notify()
        await until(lambda: one.heard == 2)
        assert two.heard == 2


async def test_listening_resumes_after_a_broken_connection(single, client, keys):
    async with listening(single, keys, "one") as one:
        await client.client_kill_filter(_type="pubsub")
        await until(lambda: one.heard >= 2)
        before = one.heard
        await RebalanceChannel(client, keys, "two").notify()
        await until(lambda: one.heard > before)


@in_virtual_time
async def test_subscription_is_repeated_after_a_second_and_after_a_refusal_in_a_minute(loop, keys) -> None:
    channel, stop, asked = RebalanceChannel(None, keys, "one"), asyncio.Event(), []
    errors = [RedisConnectionError("away"), RedisConnectionError("away"), ResponseError("NOPERM this user")]

    async def subscribe(*_given: object) -> None:
        asked.append(loop.time())
        if errors:
            raise errors.pop(0)
        stop.set()

    channel.listen = subscribe  # type: ignore[method-assign]
    await channel.subscribe(stop, lambda: None)
    assert asked == [0.0, 1.0, 2.0, 62.0]


async def test_attempts_to_subscribe_to_an_unreachable_cluster_leave_no_tasks(keys, monkeypatch):
    monkeypatch.setattr(rebalance_channel, "RECONNECT_PAUSE_S", 0.001)
    client, stop, attempts = make_client("redis://127.0.0.1:1?cluster=true"), asyncio.Event(), []
    initialize = client.initialize

    async def connect() -> object:
        attempts.append(len(asyncio.all_tasks()))
        return await initialize()

    monkeypatch.setattr(client, "initialize", connect)
    subscribing = asyncio.create_task(RebalanceChannel(client, keys, "one").subscribe(stop, lambda: None))
    await until(lambda: len(attempts) >= 5)
    stop.set()
    await subscribing
    await client.aclose()
    assert attempts[-1] <= attempts[0]
