"""What the sweep stores and reads, at its limits, on a Redis in memory."""

import pytest

from conferral.runtime.metrics import Metrics
from conferral.storage.keys import Keys
from conferral.worker.sweep.store import SweepStore
from tests.support.memory_redis import MemoryServer
from tests.support.redis_clients import client_of

NOW_MS = 1_800_000_000_000
KEYS = Keys("test", 4)


@pytest.mark.parametrize(("oldest_ms", "lag_ms"), [(None, 0), (NOW_MS - 999, 999)])
async def test_partition_lags_by_its_oldest_entry(oldest_ms: int | None, lag_ms: float) -> None:
    client = client_of(MemoryServer(lambda: NOW_MS))
    if oldest_ms is not None:
        for at_ms in (oldest_ms, NOW_MS):
            await client.xadd(KEYS.events(2), {"type": "end"}, id=f"{at_ms}-7")
    assert await SweepStore(client, KEYS, Metrics()).lag_ms(2, NOW_MS) == lag_ms
    await client.aclose()


async def test_next_holder_knows_five_hundred_unknown_conferences() -> None:
    client = client_of(MemoryServer(lambda: NOW_MS))
    store = SweepStore(client, KEYS, Metrics())
    assert await store.unknown_since_ms(0) == {}
    since_ms = {f"CF{number}": NOW_MS + number for number in range(501)}
    await store.save_unknown(since_ms, offset_ms=0)
    assert await store.unknown_since_ms(0) == dict(list(since_ms.items())[:500])
    await client.hset(KEYS.sweep, "unknown", "CF1:7 CF2 CF3:1:2 CF4:soon CF5:8")
    assert await store.unknown_since_ms(0) == {"CF1": 7, "CF5": 8}
    await client.aclose()


async def test_next_holder_reads_these_times_in_its_own_time() -> None:
    """After Redis's clock was set back an hour: only workers that ran before keep their time."""
    client = client_of(MemoryServer(lambda: NOW_MS))
    store = SweepStore(client, KEYS, Metrics())
    await store.save_unknown({"CF1": NOW_MS + 3_600_000}, offset_ms=3_600_000)
    assert await store.unknown_since_ms(0) == {"CF1": NOW_MS}
    assert await store.unknown_since_ms(3_600_000) == {"CF1": NOW_MS + 3_600_000}
    await client.aclose()
