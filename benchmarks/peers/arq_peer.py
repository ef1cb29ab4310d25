"""arq, tuned: one process, 100 jobs at once, a poll every 10 ms, no results kept."""

import asyncio
from typing import Any

import aiohttp
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker, func
from redis.asyncio import ConnectionPool

from benchmarks.peers import common

TUNED = {"max_jobs": 100, "poll_delay": 0.01, "keep_result": 0}


def _redis(order: dict[str, Any]) -> ArqRedis:
    return ArqRedis(pool_or_conn=ConnectionPool.from_url(order["redis_url"]))


async def worker(stop: asyncio.Event, order: dict[str, Any]) -> None:
    """Work on events and commands."""
    redis = _redis(order)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:

        async def event(_ctx: object, body: bytes) -> None:
            await common.handle_event(redis, body)

        async def command(_ctx: object, call_sid: str) -> None:
            await common.handle_command(http, order["api_url"], call_sid)

        made = Worker(
            [func(event, name="event"), func(command, name="command")],
            redis_pool=redis, handle_signals=False, log_results=False, redis_settings=RedisSettings(), **TUNED,
        )  # fmt: skip
        common.usage.serve(stop)
        working = asyncio.ensure_future(made.async_run())
        await stop.wait()
        working.cancel()
        await asyncio.wait([working])
    await redis.aclose()


async def publisher(stop: asyncio.Event, order: dict[str, Any]) -> None:
    """Publish events, then commands on request."""
    redis = _redis(order)
    waiting = [redis.enqueue_job("event", body) for body in common.bodies(order["events"])]
    for start in range(0, len(waiting), 100):
        await asyncio.gather(*waiting[start : start + 100])
    common.Publisher(lambda: redis.enqueue_job("command", "CA" + "0" * 32))
    common.usage.serve(stop)
    await stop.wait()
    await redis.aclose()


if __name__ == "__main__":
    common.main({"worker": worker, "publisher": publisher})
