"""Check that workers are alive and that every partition has a holder."""

from collections import Counter
from collections.abc import Collection

from conferral.check.result import CheckResult, fail, ok, warn
from conferral.storage.codecs.text_codec import int_of
from conferral.storage.commands.command_stream import COMMANDS_MAX, count_waiting
from conferral.storage.connection.client import Client, run_each, server_time_ms, store_errors
from conferral.storage.keys import Keys
from conferral.storage.partition.lease import LEASE_MS
from conferral.storage.queries.live_workers import HEARTBEAT_TIMEOUT_MS

#: Age of the last heartbeat or renewal above which the check states it, in milliseconds.
QUIET_AFTER_MS = 1_500
#: Number of waiting commands above which the check warns. A worker routes this many per second.
BACKLOG_MAX = 1_000
_AGAIN = "run the check again in 5 s; if it persists, check the workers"


async def check_workers(client: Client, keys: Keys) -> list[CheckResult]:
    """Check workers, partitions, and the command router."""
    backlog = await _backlog(client, keys)
    lease_keys = [*map(keys.lease, range(keys.partitions)), keys.commands_lease]
    found_leases = await run_each(client, lease_keys, lambda pipeline, key: pipeline.hmget(key, "until", "holder"))
    # What another program wrote there has no holder; workers read it the same way.
    *leases, router = ((int_of(until), holder) for until, holder in (one or (None, None) for one in found_leases))
    with store_errors():
        # What another program added may have an infinite score, which is no time.
        heartbeats = await client.zrangebyscore(keys.workers, "(-inf", "(+inf", withscores=True)
    # Read last, so that no heartbeat is from the future.
    now_ms = await server_time_ms(client, keys.workers)
    held = Counter(_holder(lease) for lease in leases)
    expired = {_holder(lease) for lease in leases if 0 < lease[0] < now_ms}
    expired -= {_holder(lease) for lease in leases if lease[0] >= now_ms}
    running: dict[str, str] = {}
    silent: list[str] = []
    for name, sent in sorted((name.decode(errors="replace"), sent) for name, sent in heartbeats):
        # Renewed leases also show that it runs: on a cluster, the node with the heartbeats may have been silent.
        renewed = (lease[0] - LEASE_MS for lease in (*leases, router) if _holder(lease) == name)
        ago_ms = min((now_ms - at_ms for at_ms in (int(sent), *renewed)), key=abs)
        notes = [f"partitions: {held[name]}"]
        if ago_ms > QUIET_AFTER_MS:
            notes.append(f"last heard from {ago_ms / 1000:.0f} s ago")
        text = f"{name} ({', '.join(notes)})"
        if abs(ago_ms) <= HEARTBEAT_TIMEOUT_MS and name not in expired:
            running[name] = text
        else:
            silent.append(text)
    dead = f"; not running: {', '.join(silent)}" if silent else ""
    if not running:
        found = f"none running: calls are answered, but nothing else happens{dead}"
        return [fail("workers", found, "start one: conferral worker"), *backlog]
    found = f"{len(running)} running: {', '.join(running.values())}{dead}"
    fixes = ["start a second worker: if the only one dies, no call is transferred or cleaned up"] * (len(running) == 1)
    fixes += ["if a worker was not stopped on purpose, read its log"] * bool(silent)
    free = [str(number) for number, lease in enumerate(leases) if not _is_held(lease, now_ms, running)]
    return [
        warn("workers", found, "; ".join(fixes)) if fixes else ok("workers", found),
        warn("partitions", f"no running worker holds: {', '.join(free)}", _AGAIN)
        if free
        else ok("partitions", f"all {keys.partitions} assigned"),
        ok("commands", "routed")
        if _is_held(router, now_ms, running)
        else warn("commands", "no worker routes them", _AGAIN),
        *backlog,
    ]


def _holder(lease: tuple[int, bytes | None]) -> str:
    return (lease[1] or b"").decode(errors="replace").partition(":")[2]


def _is_held(lease: tuple[int, bytes | None], now_ms: int, running: Collection[str]) -> bool:
    return lease[0] >= now_ms and _holder(lease) in running


async def _backlog(client: Client, keys: Keys) -> list[CheckResult]:
    waiting = await count_waiting(client, keys)
    if waiting <= BACKLOG_MAX:
        return []
    found = f"{waiting:,} commands wait to be routed"
    if waiting > COMMANDS_MAX:
        found += f", more than Conferral's own limit of {COMMANDS_MAX:,}: a program publishes with XADD"
    return [warn("backlog", found, "make sure that a worker is running, and find out which programs publish commands")]
