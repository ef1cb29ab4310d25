"""A worker that is gone, and whose partitions no other has acquired yet."""

import pytest

from conferral.operations import lost_workers
from conferral.operations.lost_workers import LostWorkers, read_lost_workers
from conferral.operations.session_queries import SessionQueries
from conferral.storage.keys import Keys
from conferral.storage.queries.live_workers import HEARTBEAT_TIMEOUT_MS

pytestmark = pytest.mark.redis
KEYS = Keys("conferral", 3)
NOW_MS = 1_800_000_000_000
LATER_MS = NOW_MS + 5_000


@pytest.fixture
def redis(redis_server, monkeypatch):
    """All leases have expired. `one`, which held two partitions, is silent; `two` is only late to renew."""

    async def now_ms(_client, _key):
        return NOW_MS

    monkeypatch.setattr(lost_workers, "server_time_ms", now_ms)
    with redis_server.client() as client:
        client.zadd(KEYS.workers, {"one": NOW_MS - HEARTBEAT_TIMEOUT_MS - 1, "two": NOW_MS - HEARTBEAT_TIMEOUT_MS})
        for number, holder in enumerate(["7:one", "8:one", "7:two"]):
            client.hset(KEYS.lease(number), mapping={"holder": holder, "until": NOW_MS})
        yield client


@pytest.fixture
def reader(client):
    return SessionQueries(client, KEYS)


async def test_worker_that_died_is_named_until_another_has_its_partitions(reader, redis):
    assert await read_lost_workers(reader) == LostWorkers(("one",), (0, 1))
    redis.hset(KEYS.lease(1), mapping={"holder": "9:two", "until": LATER_MS})
    assert await read_lost_workers(reader) == LostWorkers(("one",), (0,))
    redis.hset(KEYS.lease(0), mapping={"holder": "9:two", "until": LATER_MS})
    assert await read_lost_workers(reader) is None


async def test_worker_whose_heartbeat_was_deleted_is_not_lost(reader, redis):
    """A worker deletes it when it stops; others delete that of a dead one after half a minute."""
    redis.zrem(KEYS.workers, "one")
    assert await read_lost_workers(reader) is None


async def test_silent_worker_is_not_lost_while_its_leases_last(reader, redis):
    for number in range(2):
        redis.hset(KEYS.lease(number), "until", LATER_MS)
    assert await read_lost_workers(reader) is None
