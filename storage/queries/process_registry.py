"""Which processes run, which level each of them knows, and what it has done.

`conferral upgrade` asks for the levels before it raises the one that is written; the rest is for people.
"""

from dataclasses import dataclass, field

import orjson

from conferral.storage import scripts
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys
from conferral.storage.queries import process_stats
from conferral.storage.queries.process_stats import ProcessStats

#: How often a process shows that it runs, seconds.
REGISTER_EVERY_S = 2.0
#: After how long without a sign it does not run any more, milliseconds.
STOPPED_AFTER_MS = 15_000
#: After how long it is not listed any more, milliseconds.
UNLISTED_AFTER_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as it has told of itself."""

    name: str
    #: `webhooks` or `worker`.
    kind: str
    #: The newest level that it knows; 0 where that can't be read.
    schema_version: int
    #: Of Conferral.
    version: str
    #: What it has done since it started; None of an older version, which does not tell.
    stats: ProcessStats | None = field(default=None, compare=False)
    #: When it has told this, Unix milliseconds by Redis's clock; 0 where that is not known.
    seen_ms: int = field(default=0, compare=False)


async def register(client: Client, keys: Keys, process: Process) -> None:
    """Notes that a process runs."""
    entry = orjson.dumps({
        "kind": process.kind, "schema_version": process.schema_version, "version": process.version,
        **({} if process.stats is None else {"stats": process_stats.to_json(process.stats)}),
    })  # fmt: skip
    with store_errors():
        await scripts.register_process(client, [keys.processes], [process.name, entry, UNLISTED_AFTER_MS])


async def deregister(client: Client, keys: Keys, name: str) -> None:
    """Notes that a process has stopped."""
    with store_errors():
        await client.hdel(keys.processes, name)


async def list_running(client: Client, keys: Keys) -> list[Process]:
    """The processes that have lately shown that they run, by name."""
    return (await read_all(client, keys))[1]


async def read_all(client: Client, keys: Keys) -> tuple[int, list[Process]]:
    """The same, and the moment at which they were read, Unix milliseconds by Redis's clock."""
    with store_errors():
        now_ms, *found = await scripts.read_processes(client, [keys.processes], [])
    found_processes = []
    for name, body in zip(found[::2], found[1::2], strict=True):
        seen_ms, _, told = body.partition(b" ")
        # A clock that was set back must not keep a process that is long gone.
        if seen_ms.isdigit() and abs(int(now_ms) - int(seen_ms)) <= STOPPED_AFTER_MS:
            found_processes.append(_process(name.decode(errors="replace"), told, int(seen_ms)))
    return int(now_ms), sorted(found_processes, key=lambda process: process.name)


def _process(name: str, data: bytes, seen_ms: int) -> Process:
    try:
        fields = orjson.loads(data)
        kind, level, version = str(fields["kind"]), int(fields["schema_version"]), str(fields["version"])
    except (ValueError, KeyError, TypeError):
        return Process(name, "", 0, "", seen_ms=seen_ms)
    return Process(name, kind, level, version, process_stats.from_json(fields.get("stats")), seen_ms)
