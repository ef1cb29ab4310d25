"""Check that workers are alive and that every partition has a holder."""

from collections import Counter

from conferral.check.result import CheckResult, ok, warn
from conferral.storage.commands.command_stream import COMMANDS_MAX, count_waiting
from conferral.storage.connection.client import Client, server_time_ms, store_errors
from conferral.storage.keys import Keys

#: Workers send a heartbeat every second; one without a heartbeat for this long counts as dead, in milliseconds.
HEARTBEAT_TIMEOUT_MS = 5_000
#: Number of waiting commands above which the check warns. A worker routes this many per second.
BACKLOG_MAX = 1_000


async def live_workers(client: Client, keys: Keys) -> list[str]:
    """Return the names of the workers with a recent heartbeat."""
    now = await server_time_ms(client, keys.workers)
    lately, soon = now - HEARTBEAT_TIMEOUT_MS, now + HEARTBEAT_TIMEOUT_MS
    with store_errors():
        return [name.decode(errors="replace") for name in await client.zrangebyscore(keys.workers, lately, soon)]


async def check_workers(client: Client, keys: Keys) -> list[CheckResult]:
    """Check workers, partitions, and the command router."""
    names = await live_workers(client, keys)
    backlog = await _backlog(client, keys)
    if not names:
        return [
            warn(
                "workers", "none running: calls are answered, but nothing else happens", "start one: conferral worker"
            ),
            *backlog,
        ]
    now = await server_time_ms(client, keys.workers)
    with store_errors():
        pipeline = client.pipeline()
        for partition in range(keys.partitions):
            pipeline.hmget(keys.lease(partition), "until", "holder")
        pipeline.hget(keys.commands_lease, "until")
        *leases, routed_until = await pipeline.execute()
    held = Counter((holder or b"").decode(errors="replace").partition(":")[2] for _, holder in leases)
    shown = ", ".join(f"{name} (partitions: {held[name]})" for name in sorted(names))
    lines = [ok("workers", f"{len(names)} running: {shown}")]
    free = [str(number) for number, (until, _) in enumerate(leases) if int(until or 0) < now]
    if free:
        lines.append(
            warn(
                "partitions",
                f"unassigned: {', '.join(free)}",
                "run the check again in 5 s; if it persists, check the workers",
            )
        )
    else:
        lines.append(ok("partitions", f"all {keys.partitions} assigned"))
    if int(routed_until or 0) < now:
        lines.append(
            warn("commands", "no worker routes them", "run the check again in 5 s; if it persists, check the workers")
        )
    else:
        lines.append(ok("commands", "routed"))
    return [*lines, *backlog]


async def _backlog(client: Client, keys: Keys) -> list[CheckResult]:
    """Return a warning if many commands wait to be routed."""
    waiting = await count_waiting(client, keys)
    if waiting <= BACKLOG_MAX:
        return []
    found = f"{waiting:,} commands wait to be routed"
    if waiting > COMMANDS_MAX:
        found += f", more than Conferral's own limit of {COMMANDS_MAX:,}: a program publishes with XADD"
    return [warn("backlog", found, "make sure that a worker is running, and find out which programs publish commands")]
