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
