"""What a worker says it lacks: partitions that nobody holds, and how it stands with Twilio."""

import random
from types import SimpleNamespace

import pytest

from conferral.runtime.clock import StoreClock
from conferral.runtime.metrics import Metrics
from conferral.storage import lease as leases
from conferral.storage.connection import make_client
from conferral.storage.keys import Keys
from conferral.storage.levels import Level
from conferral.telephony.client import Answered
from conferral.worker.allowance import Allowance
from conferral.worker.readiness import Holders, Readiness
from conferral.worker.request_shares import Share
from tests.support.redis_server import RedisServer
from tests.worker.executor_world import FakeTime

pytestmark = pytest.mark.redis
LEASE_MS = 5_000


async def test_partition_that_nobody_holds_is_counted_at_once_and_told_when_it_lasts(redis_server: RedisServer):
    client, keys, time, metrics = make_client(redis_server.url), Keys("test", 3), FakeTime(), Metrics()
    store_clock = StoreClock(time)

    async def take(number: int) -> leases.Lease:
        taken, now_ms = await leases.take(client, keys.lease(number), "somebody", time, LEASE_MS)
        assert isinstance(taken, leases.Lease)
        store_clock.observe(now_ms, time.monotonic_s())
        return taken

    def counted() -> float | None:
        return metrics.registry.get_sample_value("conferral_partitions_without_holder")

    held = [await take(number) for number in range(3)]
    holders = Holders(client, keys, time, store_clock, metrics, LEASE_MS)
    await holders.look()
    assert (counted(), holders.missing) == (0, [])

    assert await leases.release(client, held[1])  # given back, and nobody takes it
    for _ in range(3):  # the others are renewed
        time.s += 2
        for lease in (held[0], held[2]):
            await leases.renew(client, lease, time, LEASE_MS)
        await holders.look()
        assert counted() == 1
    assert holders.missing == []
    time.s += 1.5
    assert holders.missing == [1]

    time.s += 4  # nobody renews any more: a worker was killed
    await holders.look()
    assert counted() == 3
    await take(1)
    await holders.look()
    assert counted() == 2
    time.s += LEASE_MS / 1000 + 1
    assert holders.missing == [0, 2]
    await client.aclose()


async def test_everything_that_is_missing_is_named(redis_server: RedisServer):
    client, keys, time, metrics = make_client(redis_server.url), Keys("test", 2), FakeTime(), Metrics()
    holders = Holders(client, keys, time, StoreClock(time), metrics, LEASE_MS)
    allowance = Allowance(share=lambda: Share(24, 8), clock=time, metrics=metrics, rng=random.Random(7))
    lease = leases.Lease(key="k", holder="1:me", commit=0, sure_until_s=60.0, ran_out_ms=0, taken_ms=0)
    held = {1: SimpleNamespace(lease=lease)}
    readiness = Readiness(client, keys, held, holders, allowance, Level(), time)  # type: ignore[arg-type]
    assert await readiness.missing() == []

    await leases.take(client, keys.lease(0), "me", time, LEASE_MS)
    await holders.look()
    time.s += 61
    await holders.look()
    time.s += 6
    allowance.note(Answered(401, 20003, 0.0, time.s))
    assert await readiness.missing() == [
        "leases not renewed in time: [1]",
        "partitions without holder: [0, 1]",
        "twilio: credentials refused (20003)",
    ]
    with redis_server.client() as redis:
        redis.config_set("maxmemory", "100kb")
        try:
            assert await readiness.missing() == ["redis: full (OOM)", "twilio: credentials refused (20003)"]
        finally:
            redis.config_set("maxmemory", 0)
    await client.aclose()
