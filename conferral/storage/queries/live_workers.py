"""The live workers, by their heartbeats."""

from contextlib import suppress

from conferral.runtime.errors import StoreError
from conferral.storage.connection.client import Client, run_or_raise, server_time_ms, store_errors
from conferral.storage.keys import Keys

#: Without a heartbeat for this long, a worker counts as dead for people, milliseconds. Workers ask the coordinator.
HEARTBEAT_TIMEOUT_MS = 3_500
#: How long a dead worker stays listed, milliseconds.
UNLISTED_AFTER_MS = 30_000


def heartbeat_window(now_ms: int) -> tuple[int, int]:
    """Return a live worker's earliest and latest heartbeat."""
    # Later ones precede a step back of Redis's clock.
    return now_ms - HEARTBEAT_TIMEOUT_MS, now_ms + HEARTBEAT_TIMEOUT_MS


async def add(client: Client, keys: Keys, name: str) -> None:
    """List a worker as live, and remove those that are long dead."""
    now_ms = await server_time_ms(client, keys.workers)
    await run_or_raise(
        client,
        # Removing comes first: a full Redis accepts it. One of the future precedes a step back of the clock.
        ("ZREMRANGEBYSCORE", keys.workers, "-inf", now_ms - UNLISTED_AFTER_MS),
        ("ZREMRANGEBYSCORE", keys.workers, now_ms + UNLISTED_AFTER_MS, "+inf"),
        ("ZADD", keys.workers, now_ms, name),
    )


async def remove(client: Client, keys: Keys, name: str) -> None:
    """Remove a worker that stops, or that takes no work."""
    with store_errors():
        await client.zrem(keys.workers, name)


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
