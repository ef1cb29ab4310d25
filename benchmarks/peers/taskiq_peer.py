"""taskiq with its Redis stream broker: one process, 100 tasks at once, no result backend."""

import asyncio
from typing import Any

import aiohttp
from redis.asyncio import Redis
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from benchmarks.peers import common


def _broker(order: dict[str, Any], redis: Redis | None = None, http: aiohttp.ClientSession | None = None) -> Any:
    # It takes 100 messages at a time, as Conferral does, and polls as often as it does by default.
    broker = RedisStreamBroker(order["redis_url"], xread_count=100)

    @broker.task(task_name="event")
    async def event(body: str) -> None:
        await common.handle_event(redis, body.encode())

    @broker.task(task_name="command")
    async def command(call_sid: str) -> None:
        assert http is not None
        await common.handle_command(http, order["api_url"], call_sid)

    return broker, event, command


async def worker(stop: asyncio.Event, order: dict[str, Any]) -> None:
    """Work on events and commands."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        redis = Redis.from_url(order["redis_url"])
        broker, _, _ = _broker(order, redis, http)
        await broker.startup()
        common.usage.serve(stop)
        receiving = asyncio.ensure_future(run_receiver_task(broker, max_async_tasks=100, max_prefetch=100))
        await stop.wait()
        receiving.cancel()
        await asyncio.wait([receiving])
        await broker.shutdown()
        await redis.aclose()


async def publisher(stop: asyncio.Event, order: dict[str, Any]) -> None:
    """Publish events, then commands on request."""
    broker, event, command = _broker(order)
    await broker.startup()
    waiting = [event.kiq(body.decode()) for body in common.bodies(order["events"])]
    for start in range(0, len(waiting), 100):
        await asyncio.gather(*waiting[start : start + 100])
    common.Publisher(lambda: command.kiq("CA" + "0" * 32))
    common.usage.serve(stop)
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    common.main({"worker": worker, "publisher": publisher})
