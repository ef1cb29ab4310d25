"""Lost workers: they died, and others acquire their partitions."""

from dataclasses import dataclass

from conferral.operations.session_queries import SessionQueries
from conferral.storage.codecs.text_codec import int_of
from conferral.storage.connection.client import server_time_ms, store_errors
from conferral.storage.queries.live_workers import heartbeat_window


@dataclass(frozen=True, slots=True)
class LostWorkers:
    """Workers without recent heartbeats that held partitions."""

    names: list[str]
    partitions: list[int]
    #: Those that still wait for another worker.
    waiting: list[int]
    #: The workers that acquired the others.
    successors: list[str]


class LostWorkerDetector:
    """Compares consecutive readings: a dead worker's leases soon name others.

    A worker that stops deletes its heartbeat, so it is not lost. Others delete that of a dead one after half a minute.
    """

    def __init__(self) -> None:
        #: By worker: its newest heartbeat, its partitions then, and at the one before, since some may be taken already.
        self._seen: dict[str, tuple[float, set[int], set[int]]] = {}
        self._successors: dict[int, str] = {}  # the first ones: a later holder got the partition from them

    async def read(self, reader: SessionQueries) -> LostWorkers | None:
        """Return the lost workers, None without any; may raise StoreError."""
        client, keys = reader.client, reader.keys
        now_ms = await server_time_ms(client, keys.workers)
        with store_errors():
            pipeline = client.pipeline()
            pipeline.zrange(keys.workers, 0, -1, withscores=True)
            for number in range(keys.partitions):
                pipeline.hmget(keys.lease(number), "holder", "until")
            heartbeats, *leases = await pipeline.execute()
        # A released lease has no end, and names its last holder, `epoch:name`, as an expired one does.
        holders = [
            (holder or b"").decode(errors="replace").partition(":")[2] if int_of(until) else ""
            for holder, until in leases
        ]
        waiting = {number for number, (_, until) in enumerate(leases) if int_of(until) <= now_ms}
        before, self._seen = self._seen, {}
        lost = {}
        for name, sent_ms in ((name.decode(errors="replace"), sent_ms) for name, sent_ms in heartbeats):
            held = {number for number, holder in enumerate(holders) if holder == name}
            seen = before.get(name, (0, held, held))
            self._seen[name] = seen if seen[0] == sent_ms else (sent_ms, held, seen[1])
            partitions = self._seen[name][1] | self._seen[name][2]
            if partitions and held <= waiting and sent_ms < heartbeat_window(now_ms)[0]:
                lost[name] = partitions
        all_held = set().union(*lost.values())
        self._successors = {number: self._successors.get(number) or holders[number] for number in all_held - waiting}
        names = sorted({*self._successors.values()})
        return LostWorkers(sorted(lost), sorted(all_held), sorted(all_held & waiting), names) if lost else None
