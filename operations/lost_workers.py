"""Lost workers: they stopped without releasing their partitions."""

from dataclasses import dataclass

from conferral.operations.session_queries import SessionQueries
from conferral.storage.codecs.text_codec import int_of
from conferral.storage.connection.client import server_time_ms, store_errors
from conferral.storage.queries.live_workers import heartbeat_window


@dataclass(frozen=True, slots=True)
class LostWorkers:
    """Workers whose partitions wait for another worker."""

    names: tuple[str, ...]
    partitions: tuple[int, ...]


async def read_lost_workers(reader: SessionQueries) -> LostWorkers | None:
    """Return the lost workers, None without any; may raise StoreError.

    A worker that stops cleanly releases its leases and deletes its heartbeat, so it is not lost.
    """
    client, keys = reader.client, reader.keys
    at_ms = await server_time_ms(client, keys.workers)
    with store_errors():
        pipeline = client.pipeline()
        pipeline.zrange(keys.workers, 0, -1, withscores=True)
        for number in range(keys.partitions):
            pipeline.hmget(keys.lease(number), "holder", "until")
        heartbeats, *leases = await pipeline.execute()
    earliest_ms, latest_ms = heartbeat_window(at_ms)
    silent = {name for name, sent_ms in heartbeats if not earliest_ms <= sent_ms <= latest_ms}
    # A lease that expired keeps its holder, `epoch:name`, until another worker acquires it.
    holders = ((holder or b"").partition(b":")[2] if int_of(until) <= at_ms else b"" for holder, until in leases)
    waiting = {number: name for number, name in enumerate(holders) if name in silent}
    names = sorted(name.decode(errors="replace") for name in set(waiting.values()))
    return LostWorkers(tuple(names), tuple(waiting)) if waiting else None
