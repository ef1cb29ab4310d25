"""What a worker says it lacks: partitions that no one holds, and how it stands with Twilio."""

import random
from types import SimpleNamespace

import pytest

from conferral.runtime.clock import StoreClock
from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.partition import lease as leases
from conferral.telephony.http_client import RequestResult
from conferral.worker.executor.request_limiter import RequestLimiter, RequestSlots
from conferral.worker.readiness import PartitionCoverage, find_problems
from tests.support.redis_server import RedisServer
from tests.worker.cores import core_of
from tests.worker.executor_harness import FakeTime

pytestmark = pytest.mark.redis
LEASE_MS = 5_000


async def test_unassigned_partition_is_counted_at_once_and_reported_when_it_persists(redis_server: RedisServer):
    client, keys, time, metrics = make_client(redis_server.url), Keys("test", 3), FakeTime(), Metrics()
    store_clock = StoreClock(time)

    async def take(number: int) -> leases.Lease:
        taken, now_ms = await leases.acquire(client, keys.lease(number), "somebody", time, LEASE_MS)
        assert isinstance(taken, leases.Lease)
        store_clock.observe(now_ms, time.monotonic_s())
        return taken

    def counted() -> float | None:
        return metrics.registry.get_sample_value("conferral_partitions_unassigned")

    held = [await take(number) for number in range(3)]
    holders = PartitionCoverage(core_of(client, keys, time, store_clock=store_clock, metrics=metrics))
    await holders.refresh()
    assert (counted(), holders.unassigned) == (0, [])

    assert await leases.release(client, held[1])  # given back, and no one takes it
    for _ in range(3):  # the others are renewed
        time.s += 2
        for lease in (held[0], held[2]):
            await leases.renew(client, lease, time, LEASE_MS)
        await holders.refresh()
        assert counted() == 1
    assert holders.unassigned == []
    time.s += 1
    assert holders.unassigned == [], "a lease's time has passed, and no more"
    time.s += 0.001
    assert holders.unassigned == [1]

    time.s += 4  # no one renews any more: a worker was killed
    await holders.refresh()
    assert counted() == 3
    await take(1)
    await holders.refresh()
    assert counted() == 2
    time.s += LEASE_MS / 1000 + 1
    assert holders.unassigned == [0, 2]
    await holders.refresh({0, 1})
    assert (counted(), holders.unassigned) == (1, [2]), "this worker holds the others"
    await client.aclose()


async def test_lease_that_can_not_be_read_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read_leases(*_given: object) -> list[StoreUnreachableError | None]:
        return [StoreUnreachableError("away"), None]

    monkeypatch.setattr(leases, "read_leases", read_leases)
    time, metrics = FakeTime(), Metrics()
    coverage = PartitionCoverage(core_of(None, Keys("test", 2), time, metrics=metrics))
    await coverage.refresh()
    assert metrics.registry.get_sample_value("conferral_partitions_unassigned") == 1


async def test_everything_that_is_missing_is_named(redis_server: RedisServer):
    client, keys, time, metrics = make_client(redis_server.url), Keys("test", 2), FakeTime(), Metrics()
    core = core_of(client, keys, time, metrics=metrics)
    holders = PartitionCoverage(core)
    allowance = RequestLimiter(
        RequestSlots(24, 8), worker_count=lambda: 1, clock=time, metrics=metrics, rng=random.Random(7)
    )
    lease = leases.Lease(
        key="k", holder="1:me", commit=0, valid_until_s=60.0, expired_at_ms=0, acquired_at_ms=0, requested_at_s=0.0
    )
    held = {1: SimpleNamespace(lease=lease)}

    async def problems() -> list[str]:
        return await find_problems(core, held, holders, allowance)  # type: ignore[arg-type]

    assert await problems() == []

    await leases.acquire(client, keys.lease(0), "me", time, LEASE_MS)
    await holders.refresh()
    time.s += 61
    await holders.refresh()
    time.s += 6
    allowance.observe(RequestResult(401, 20003, 0.0, time.s))
    assert await problems() == [
        "leases not renewed in time: [1]",
        "partitions unassigned: [0, 1]",
        "twilio: credentials refused (20003)",
    ]
    with redis_server.client() as redis:
        redis.config_set("maxmemory", "100kb")
        try:
            assert await problems() == ["redis: full (OOM)", "twilio: credentials refused (20003)"]
        finally:
            redis.config_set("maxmemory", 0)
    await client.aclose()
