"""How many events per second can one worker process decide, compared with only reading and removing them?"""

import asyncio
from dataclasses import dataclass, field
from statistics import median

from benchmarks import backlog, figures
from benchmarks.children import Child
from benchmarks.machine import OTHER_CORE, pin, redis_server
from conferral.storage.connection.client import Client, make_client

#: Poll interval for completion, in seconds; the process itself measures the times.
LOOK_EVERY_S = 0.02
PATIENCE_S = 40.0
#: A closed port: these calls send no requests.
NO_API = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int = 3
    events: int = 20_000
    calls_at_once: int = 1_000


TINY = Size(rounds=1, events=140, calls_at_once=10)


@dataclass
class Measured:
    """The results of one process's rounds."""

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    #: Commands that Redis ran, including those inside scripts.
    commands: list[float] = field(default_factory=list)
    #: Requests sent to Redis.
    sent: list[float] = field(default_factory=list)


async def all_decided(client: Client, child: Child) -> None:
    """Wait until the streams are empty."""
    async with asyncio.timeout(PATIENCE_S):
        while await backlog.left(client):
            child.check()
            await asyncio.sleep(LOOK_EVERY_S)


async def _round(kind: str, redis_url: str, client: Client, size: Size, measured: Measured) -> None:
    await client.flushall()
    await backlog.store(client, backlog.events(size.events, size.calls_at_once))
    await client.config_resetstat()
    async with Child(kind, redis_url=redis_url, api_url=NO_API) as child:
        await all_decided(client, child)
        stats = await client.info("commandstats")
        used = await child.used()
    first, last = used["first_read"], used["last_commit"]
    measured.rates.append(size.events / (last["s"] - first["s"]))
    measured.cpu_us.append((last["cpu_s"] - first["cpu_s"]) / size.events * 1e6)
    measured.commits.append(used["commits"])
    counts = {name: row["calls"] for name, row in stats.items() if name not in ("cmdstat_xlen", "cmdstat_info")}
    measured.commands.append(sum(counts.values()) / size.events)
    measured.sent.append(sum(counts.get(f"cmdstat_{name}", 0) for name in _SENT) / size.events)


#: Commands sent directly; the others run inside scripts, except EXPIRE and HDEL at a session's end.
_SENT = ("evalsha", "eval", "xread", "hgetall")


async def measure(size: Size) -> dict[str, Measured]:
    """Alternate between the two; each round has a fresh process and a fresh backlog."""
    measured = {"reader": Measured(), "worker": Measured()}
    with redis_server() as redis:
        assert redis.process is not None
        pin(redis.process.pid, OTHER_CORE)
        client = make_client(redis.url)
        for _ in range(size.rounds):
            for kind in measured:
                await _round(kind, redis.url, client, size, measured[kind])
        await client.aclose()
    return measured


async def report(size: Size) -> None:
    """Measure and print."""
    measured = await measure(size)
    rows = []
    for kind, name in (("reader", "reads and removes"), ("worker", "worker: decides and commits")):
        of = measured[kind]
        commits = median(of.commits)
        rows.append(
            [name, f"{size.rounds} x {size.events:,}", f"{median(of.rates):,.0f}", f"{median(of.cpu_us):.1f}",
             f"{commits:,.0f}", f"{size.events / commits:.0f}", f"{median(of.commands):.2f}"]
        )  # fmt: skip
    header = ["n", "events/s", "CPU us/event", "commits", "events/commit", "Redis commands/event"]
    figures.show("one process, preloaded streams", header, rows)
    print(f"  events a second, worker / floor: {figures.ratio(measured['worker'].rates, measured['reader'].rates)}")
    print(f"  requests that the worker sends to Redis for an event: {median(measured['worker'].sent):.3f}")
