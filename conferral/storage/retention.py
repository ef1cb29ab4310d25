"""Retention of outcomes, dead letters, and the index of ended sessions."""

from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys

TRIM_EVERY_S = 60.0


async def trim(
    client: Client, keys: Keys, store_now_ms: int, wall_now_ms: int, *, outcomes_ttl_s: int, session_ttl_s: int
) -> None:
    """Remove what is older than its lifetime; of streams, whole nodes only.

    Both Redis's clock and this machine's must say so: one clock that is years ahead must not empty the streams.
    """
    now_ms = min(store_now_ms, wall_now_ms)
    with store_errors():
        pipeline = client.pipeline()
        for stream in (keys.outcomes, keys.dead):
            pipeline.xtrim(stream, minid=max(0, now_ms - 1000 * outcomes_ttl_s), approximate=True)
        for partition in range(keys.partitions):  # for those in which no session ends: a commit does this, too
            pipeline.zremrangebyscore(keys.ended(partition), "-inf", now_ms - 1000 * session_ttl_s)
        await pipeline.execute()
