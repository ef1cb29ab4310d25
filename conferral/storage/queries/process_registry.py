"""Process registry: running processes, schema versions, statistics."""

import msgspec

from conferral.statemachine.record import BaseRecord, replace
from conferral.storage import scripts
from conferral.storage.connection.client import Client, server_time_ms, store_errors
from conferral.storage.keys import Keys
from conferral.storage.queries.process_stats import ProcessStats

REGISTER_EVERY_S = 2.0
#: Without a registration for this long, a process counts as stopped, milliseconds.
STOPPED_AFTER_MS = 15_000
#: After this long, it is removed from the list, milliseconds.
UNLISTED_AFTER_MS = 3_600_000


class Process(BaseRecord, frozen=True):
    """One process, as it registered itself."""

    name: str = ""
    #: `webhooks` or `worker`.
    kind: str = ""
    #: The newest that it supports, for `conferral upgrade`; 0 if unreadable.
    schema_version: int = 0
    version: str = ""
    #: Statistics since its start; None for an older version, which sends none.
    stats: ProcessStats | None = None
    #: When it last registered, Unix milliseconds of Redis's clock; 0 if unknown.
    last_seen_ms: int = 0
    #: What Twilio last said about a worker's credentials: `accepted` or `refused`; empty if unknown.
    twilio: str = ""


_DECODER = msgspec.json.Decoder(Process)


async def register(client: Client, keys: Keys, process: Process) -> None:
    """Register a running process."""
    arguments: list[scripts.Argument] = [process.name, msgspec.json.encode(process), UNLISTED_AFTER_MS]
    with store_errors():
        await scripts.register_process(client, [keys.processes], arguments)


async def deregister(client: Client, keys: Keys, name: str) -> None:
    """Remove a stopped process."""
    with store_errors():
        await client.hdel(keys.processes, name)


async def read_all(client: Client, keys: Keys) -> tuple[int, list[Process]]:
    """Return Redis's time, Unix milliseconds; and the running processes."""
    now_ms, found = await read_listed(client, keys)
    # If the clock was set back, a process that is long gone must not appear to run.
    return now_ms, [one for one in found if abs(now_ms - one.last_seen_ms) <= STOPPED_AFTER_MS]


async def read_listed(client: Client, keys: Keys) -> tuple[int, list[Process]]:
    """Return Redis's time; and all processes that didn't stop, by name."""
    now_ms = await server_time_ms(client, keys.processes)
    with store_errors():
        found = await client.hgetall(keys.processes)
    processes = []
    for name, body in found.items():
        seen_ms, _, info = body.partition(b" ")
        if seen_ms.isdigit():
            process = _decode(name.decode(errors="replace"), info)
            processes.append(replace(process, last_seen_ms=int(seen_ms)))
    return now_ms, sorted(processes, key=lambda process: process.name)


def _decode(name: str, info: bytes) -> Process:
    """Decode a registration; if it is unreadable, only the name is known."""
    try:
        return replace(_DECODER.decode(info), name=name)
    except (msgspec.DecodeError, UnicodeError):
        return Process(name)
