"""What a worker says it lacks: partitions that no one holds, and how it stands with Twilio."""

import random
from types import SimpleNamespace
from typing import Any

import pytest

from conferral.runtime.metrics import Metrics
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.telephony.http_client import RequestResult
from conferral.worker.executor.request_limiter import RequestLimiter
from conferral.worker.process import find_problems
from tests.support.redis_server import RedisServer
from tests.worker.cores import core_of
from tests.worker.executor_harness import FakeTime

pytestmark = pytest.mark.redis


async def test_everything_that_is_missing_is_named(redis_server: RedisServer):
    client, keys, time, metrics = make_client(redis_server.url), Keys("test", 2), FakeTime(), Metrics()
    core = core_of(client, keys, time, metrics=metrics)
    allowance = RequestLimiter(32, worker_count=lambda: 1, clock=time, metrics=metrics, rng=random.Random(7))
    ownership: Any = SimpleNamespace(problems=[])

    async def problems() -> list[str]:
        return await find_problems(core, ownership, allowance)

    assert await problems() == []

    ownership.problems = ["no request may leave: Redis took 2.0 s to renew the leases"]
    allowance.observe(RequestResult(401, 20003, 0.0, time.s))
    assert await problems() == [
        "no request may leave: Redis took 2.0 s to renew the leases",
        "twilio: credentials refused (20003)",
    ]
    with redis_server.client() as redis:
        redis.config_set("maxmemory", "100kb")
        try:
            assert await problems() == ["redis: full (OOM)", "twilio: credentials refused (20003)"]
        finally:
            redis.config_set("maxmemory", 0)
    await client.aclose()
