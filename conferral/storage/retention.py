"""How long outcomes, dead letters, and lists of ended sessions are kept."""

from conferral.storage.connection.client import Client, run_or_raise
from conferral.storage.keys import Keys

TRIM_EVERY_S = 60.0


async def trim(
    client: Client,
    keys: Keys,
    store_now_ms: int,
    wall_now_ms: int,
    *,
    outcomes_ttl_s: int,
    dead_letters_ttl_s: int,
    session_ttl_s: int,
) -> None:
    """Remove what is older than its lifetime; of streams, whole nodes only.

    Both Redis's clock and this machine's must say so: one clock that is years ahead must not empty the streams.
    """
    now_ms = min(store_now_ms, wall_now_ms)
    oldest_ms = now_ms - 1000 * session_ttl_s
    streams = ((keys.outcomes, outcomes_ttl_s), (keys.dead, dead_letters_ttl_s))
    ended = map(keys.ended, range(keys.partitions))  # where no session ends: a commit does this, too
    await run_or_raise(
        client,
        *(("XTRIM", stream, "MINID", "~", max(0, now_ms - 1000 * ttl_s)) for stream, ttl_s in streams),
        *(("ZREMRANGEBYSCORE", key, "-inf", oldest_ms) for key in ended),
    )
