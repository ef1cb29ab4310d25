"""Retention of what no key's lifetime limits: outcomes, dead letters, and the index of ended sessions."""

from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys

#: Interval between trims, seconds.
TRIM_EVERY_S = 60.0


async def trim(client: Client, keys: Keys, now_ms: int, *, outcomes_ttl_s: int, session_ttl_s: int) -> None:
    """Remove outcomes, dead letters, and index entries of ended sessions that are older than their lifetimes.

    Redis removes whole nodes of a stream, so its oldest entries are a little older. A commit that ends a session trims
    its partition's index, too; this is for partitions in which none ends.
    """
    with store_errors():
        pipeline = client.pipeline()
        for stream in (keys.outcomes, keys.dead):
            pipeline.xtrim(stream, minid=max(0, now_ms - 1000 * outcomes_ttl_s), approximate=True)
        for partition in range(keys.partitions):
            pipeline.zremrangebyscore(keys.ended(partition), "-inf", now_ms - 1000 * session_ttl_s)
        await pipeline.execute()
