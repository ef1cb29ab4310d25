"""The live workers, by their heartbeats."""

from contextlib import suppress

from conferral.runtime.errors import StoreError
from conferral.storage.connection.client import Client, server_time_ms, store_errors
from conferral.storage.keys import Keys

#: Without a heartbeat for this long, a worker is dead, milliseconds. Shorter than a lease, so shares are known then.
HEARTBEAT_TIMEOUT_MS = 3_500


def heartbeat_window(now_ms: int) -> tuple[int, int]:
    """Return a live worker's earliest and latest heartbeat."""
    # Later ones precede a step back of Redis's clock.
    return now_ms - HEARTBEAT_TIMEOUT_MS, now_ms + HEARTBEAT_TIMEOUT_MS


async def live_workers(client: Client, keys: Keys) -> list[str]:
    """Return the names of the workers with a recent heartbeat."""
    now_ms = await server_time_ms(client, keys.workers)
    with store_errors():
        names = await client.zrangebyscore(keys.workers, *heartbeat_window(now_ms))
    return [name.decode(errors="replace") for name in names]


async def has_live_worker(client: Client, keys: Keys) -> bool:
    """Return whether a worker is live; True if that can't be read."""
    with suppress(StoreError):
        return bool(await live_workers(client, keys))
    return True
