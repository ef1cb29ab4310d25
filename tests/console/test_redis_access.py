"""How pages share the console's requests to Redis."""

import asyncio

import pytest

from conferral.console.redis_access import CONCURRENT_MAX, RedisAccess

pytestmark = [pytest.mark.redis]


async def test_sessions_of_a_silent_node_take_no_turn_of_others(store, monkeypatch):
    redis, gate = RedisAccess(store, "conferral"), asyncio.Event()
    reader = await redis.reader()
    monkeypatch.setattr(reader, "node_of_session", lambda session_id: session_id)
    silent = [asyncio.create_task(redis.run(lambda _reader: gate.wait(), "silent")) for _ in range(2 * CONCURRENT_MAX)]

    assert await redis.run(lambda reader: reader.exists("other"), "other") is False
    assert await redis.run(lambda reader: reader.live_ids()) == []
    assert not any(task.done() for task in silent)

    gate.set()
    assert all(await asyncio.gather(*silent))
    await redis.limiter.close()
