"""Workers that died, and the partitions that wait for another."""

import pytest

from conferral.operations import health
from conferral.operations.health import LostWorkers, read_lost_workers
from conferral.operations.session_queries import SessionQueries
from conferral.storage.coordinator import SHOWN_DEAD_AFTER_MS
from conferral.storage.keys import Keys
from tests.support.owners import owned_by

pytestmark = pytest.mark.redis
KEYS = Keys("conferral", 3)
START_MS = 1_800_000_000_000


class Observer:
    """Sets heartbeats and leases, and what a reading at that time shows."""

    def __init__(self, redis, reader, monkeypatch):
        self.now_ms = START_MS
        self.redis, self._reader = redis, reader

        async def now_ms(_client, _key):
            return self.now_ms

        monkeypatch.setattr(health, "server_time_ms", now_ms)

    def beat(self, *names):
        self.redis.zadd(KEYS.workers, dict.fromkeys(names, self.now_ms))

    def hold(self, **numbers):
        """Let workers renew these partitions' leases."""
        for name, held in numbers.items():
            for number in held:
                self.redis.hset(KEYS.owners, str(number), owned_by(name, self.now_ms))

    async def after(self, wait_ms):
        self.now_ms += wait_ms
        return await read_lost_workers(self._reader)


@pytest.fixture
def observer(redis_server, client, monkeypatch):
    with redis_server.client() as redis:
        observer = Observer(redis, SessionQueries(client, KEYS), monkeypatch)
        observer.beat("one", "two")
        observer.hold(one=[0, 1], two=[2])
        yield observer


async def test_worker_that_died_is_named_until_its_heartbeat_is_deleted(observer):
    assert await observer.after(0) is None
    observer.now_ms += SHOWN_DEAD_AFTER_MS + 1
    observer.beat("two")
    observer.hold(two=[2])
    assert await observer.after(0) == LostWorkers(["one"], [0, 1])
    observer.hold(two=[0, 1])
    assert await observer.after(0) == LostWorkers(["one"], [])
    observer.redis.zrem(KEYS.workers, "one")
    assert await observer.after(0) is None


async def test_silent_worker_that_renews_is_not_lost(observer):
    observer.now_ms += SHOWN_DEAD_AFTER_MS + 1
    observer.hold(one=[0])
    observer.beat("two")
    assert await observer.after(0) is None


async def test_worker_that_stops_is_not_lost(observer):
    observer.redis.zrem(KEYS.workers, "one")
    observer.hold(**{"": [0, 1]})
    assert await observer.after(SHOWN_DEAD_AFTER_MS) is None
