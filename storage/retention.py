"""How long outcomes and dead letters are kept: up to a count, and up to an age."""

from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys

#: Between two times that what is too old is removed, seconds.
TRIM_EVERY_S = 60.0


async def trim(client: Client, keys: Keys, now_ms: int, ttl_s: int) -> None:
    """Remove outcomes and dead letters that are older than this; whole pieces of the streams, so about.

    Args:
        client: For commands.
        keys: Names.
        now_ms: What Redis's clock shows, Unix milliseconds.
        ttl_s: How long they are kept, seconds.
    """
    oldest = max(0, now_ms - 1000 * ttl_s)
    with store_errors():
        pipeline = client.pipeline(transaction=False)
        for stream in (keys.outcomes, keys.dead):
            pipeline.xtrim(stream, minid=oldest, approximate=True)
        await pipeline.execute()
