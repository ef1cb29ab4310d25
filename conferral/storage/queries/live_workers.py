"""Live workers as people see them: who runs, who has died, what waits."""

from contextlib import suppress
from dataclasses import dataclass

from conferral.runtime.errors import StoreError
from conferral.storage.connection.client import Client, ask
from conferral.storage.coordinator import SHOWN_DEAD_AFTER_MS, read_owners
from conferral.storage.keys import Keys
from conferral.storage.server import server_time_ms


@dataclass(frozen=True, slots=True)
class LostWorkers:
    """Workers that have died, and the partitions that wait for another."""

    names: list[str]
    waiting: list[int]


async def live_workers(client: Client, keys: Keys) -> list[str]:
    """Return the names of the workers that took part in the sharing lately."""
    now_ms = await server_time_ms(client, keys.workers)
    # Times in the future are from before Redis's clock was set back.
    return await _named(client, keys, now_ms - SHOWN_DEAD_AFTER_MS, now_ms + SHOWN_DEAD_AFTER_MS)


async def has_live_worker(client: Client, keys: Keys) -> bool:
    """Return whether a worker is live; True if that can't be read."""
    with suppress(StoreError):
        return bool(await live_workers(client, keys))
    return True


async def read_lost_workers(client: Client, keys: Keys) -> LostWorkers | None:
    """Return the listed workers that take no part anymore; None without any.

    One that stops leaves the list. The others' ticks remove a dead one half a minute later.
    """
    now_ms = await server_time_ms(client, keys.workers)
    names = await _named(client, keys, "-inf", f"({now_ms - SHOWN_DEAD_AFTER_MS}")
    if not names:
        return None
    owners = await read_owners(client, keys)
    waiting = [number for number in range(keys.partitions) if not owners[str(number)].at(now_ms).name]
    return LostWorkers(sorted(names), waiting)


async def _named(client: Client, keys: Keys, since: int | str, until: int | str) -> list[str]:
    names = await ask(client, "ZRANGEBYSCORE", keys.workers, since, until)
    return [name.decode(errors="replace") for name in names]
