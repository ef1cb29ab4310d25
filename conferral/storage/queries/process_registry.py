"""Process registry: running processes, schema versions, statistics."""

from dataclasses import dataclass, field

import orjson

from conferral.storage import scripts
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys
from conferral.storage.queries import process_stats
from conferral.storage.queries.process_stats import ProcessStats

REGISTER_EVERY_S = 2.0
#: Without a registration for this long, a process counts as stopped, milliseconds.
STOPPED_AFTER_MS = 15_000
#: After this long, it is removed from the list, milliseconds.
UNLISTED_AFTER_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as it registered itself."""

    name: str
    #: `webhooks` or `worker`.
    kind: str
    #: The newest that it supports, for `conferral upgrade`; 0 if unreadable.
    schema_version: int
    version: str
    #: Statistics since its start; None for an older version, which sends none.
    stats: ProcessStats | None = field(default=None, compare=False)
    #: When it last registered, Unix milliseconds of Redis's clock; 0 if unknown.
    last_seen_ms: int = field(default=0, compare=False)
    #: What Twilio last said about a worker's credentials: `accepted` or `refused`; empty if unknown.
    twilio: str = field(default="", compare=False)


async def register(client: Client, keys: Keys, process: Process) -> None:
    """Register a running process."""
    entry = orjson.dumps({
        "kind": process.kind, "schema_version": process.schema_version, "version": process.version,
        **({"twilio": process.twilio} if process.twilio else {}),
        **({} if process.stats is None else {"stats": process_stats.to_json(process.stats)}),
    })  # fmt: skip
    with store_errors():
        await scripts.register_process(client, [keys.processes], [process.name, entry, UNLISTED_AFTER_MS])


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
    with store_errors():
        now_ms, *found = await scripts.read_processes(client, [keys.processes], [])
    found_processes = []
    for name, body in zip(found[::2], found[1::2], strict=True):
        seen_ms, _, info = body.partition(b" ")
        if seen_ms.isdigit():
            found_processes.append(_parse_process(name.decode(errors="replace"), info, int(seen_ms)))
    return int(now_ms), sorted(found_processes, key=lambda process: process.name)


def _parse_process(name: str, data: bytes, seen_ms: int) -> Process:
    """Parse a registration; if it is unreadable, only the name is known."""
    try:
        fields = orjson.loads(data)
        kind, schema_version, version = str(fields["kind"]), int(fields["schema_version"]), str(fields["version"])
    except (ValueError, KeyError, TypeError):
        return Process(name, "", 0, "", last_seen_ms=seen_ms)
    stats, twilio = process_stats.from_json(fields.get("stats")), str(fields.get("twilio", ""))
    return Process(name, kind, schema_version, version, stats, seen_ms, twilio)
