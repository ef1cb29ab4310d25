"""Retention of outcomes and dead letters: up to a count, and up to an age."""

from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys

#: Interval between trims, seconds.
TRIM_EVERY_S = 60.0


async def trim(client: Client, keys: Keys, now_ms: int, ttl_s: int) -> None:
    """Remove outcomes and dead letters older than the limit, approximately: Redis removes whole nodes of the stream."""
    oldest = max(0, now_ms - 1000 * ttl_s)
    with store_errors():
        pipeline = client.pipeline(transaction=False)
        for stream in (keys.outcomes, keys.dead):
            pipeline.xtrim(stream, minid=oldest, approximate=True)
        await pipeline.execute()
