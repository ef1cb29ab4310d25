"""Queries share a limited number of connections."""

import asyncio

import pytest

from conferral.operations.redis_access import RedisLimiter
from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.client import ask, make_client, run_each


@pytest.mark.redis
async def test_requests_need_no_more_connections_than_may_run_even_if_some_are_canceled_or_late(redis_server):
    client = make_client(redis_server.url, max_connections=3)
    limiter, hurried = RedisLimiter(3), RedisLimiter(3, deadline_s=0.001)
    try:
        for run in (limiter, hurried):
            one = [asyncio.create_task(run(ask(client, "ECHO", number))) for number in range(60)]
            many = [asyncio.create_task(run(run_each(client, [("ECHO", number)] * 3))) for number in range(60)]
            for _ in range(5):  # let some of them reach Redis
                await asyncio.sleep(0)
            for task in (*one[::7], *many[::7]):
                task.cancel()
            results = await asyncio.gather(*one, *many, return_exceptions=True)
            errors = {str(found) for found in results if isinstance(found, StoreUnreachableError)}
            assert errors <= {"Redis did not answer in time"}
        assert b"59" in await asyncio.gather(limiter(ask(client, "ECHO", 59)))
    finally:
        await client.aclose()
