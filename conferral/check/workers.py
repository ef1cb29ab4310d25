"""Checks of workers, clocks, and the cluster."""

from collections import Counter

from conferral.check.result import CheckResult, fail, ok, warn
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreError
from conferral.storage.commands.command_stream import COMMANDS_MAX, count_waiting
from conferral.storage.connection.client import Client, server_time_ms, store_errors
from conferral.storage.connection.cluster import ClusterClient
from conferral.storage.coordinator import HEARTBEAT_TIMEOUT_MS, ROUTER, read_owners
from conferral.storage.keys import Keys

#: Ratio of a node's partitions to its even share above which the check warns.
UNEVEN_RATIO = 1.1


async def check_cluster(client: Client, keys: Keys) -> list[CheckResult]:
    """Check a cluster's nodes; return no lines for a single Redis."""
    if not isinstance(client, ClusterClient):
        return []
    return [_check_replicas(client), await _check_coverage(client), _check_balance(client, keys)]


def _check_replicas(client: ClusterClient) -> CheckResult:
    count = client.replica_counts()
    without = [name for name, replicas in count.items() if not replicas]
    if without:
        return warn(
            "cluster",
            f"{len(without)} of {len(count)} primaries have no replica: {', '.join(sorted(without))}",
            "add a replica to each primary: without one, its calls stop when it fails",
        )
    return ok("cluster", f"{len(count)} primaries with {sum(count.values())} replicas")


async def _check_coverage(client: ClusterClient) -> CheckResult:
    name = "cluster-require-full-coverage"
    try:
        with store_errors():
            found = await client.config_get(name)
    except StoreError:
        return ok("coverage", f"{name} can't be read here")  # hosted Redis often forbids CONFIG
    if found.get(name) == "yes":
        return warn("coverage", f"{name} yes: while one node is down, all calls stop", f"CONFIG SET {name} no")
    return ok("coverage", f"{name} no")


def _check_balance(client: ClusterClient, keys: Keys) -> CheckResult:
    owners = (client.get_node_from_key(keys.lease(number)) for number in range(keys.partitions))
    shares = sorted(Counter(node.name for node in owners if node is not None).values(), reverse=True)
    distribution = f"{keys.partitions} partitions, {'/'.join(map(str, shares))} per node"
    if shares[0] > UNEVEN_RATIO * keys.partitions / len(client.replica_counts()):
        return warn(
            "shares",
            distribution,
            "use a multiple of 64 partitions for a more even spread; the number is fixed at first use",
        )
    return ok("shares", distribution)


#: Difference above which the check warns, seconds: Twilio's times are whole seconds.
APART_MAX_S = 3
_FIX = "synchronize the machines' clocks (NTP): logs and reports show Redis's time, access tokens this machine's"


def twilio_ahead_s(twilio_ms: int | None) -> float | None:
    """Return how far Twilio's clock is ahead of this machine's, seconds."""
    # A `Date` is rounded down, by half a second on average.
    return None if twilio_ms is None else (twilio_ms + 500 - SystemClock().wall_ms()) / 1000


async def check_clocks(client: Client, key: str, twilio_s: float | None) -> CheckResult:
    """Compare the clocks; `twilio_s`: how far Twilio's is ahead, if known."""
    redis_s = (await server_time_ms(client, key) - SystemClock().wall_ms()) / 1000
    apart_s = {"Redis": redis_s - (twilio_s or 0.0)}
    if twilio_s is not None:
        apart_s["this machine"] = -twilio_s
    other = "this machine" if twilio_s is None else "Twilio"
    far_s = {name: by_s for name, by_s in apart_s.items() if abs(by_s) > APART_MAX_S}
    if far_s:
        return warn("clocks", "; ".join(_described(name, by_s, other) for name, by_s in far_s.items()), _FIX)
    return ok("clocks", f"{' and '.join(apart_s)} within {APART_MAX_S} s of {other}")


def _described(name: str, by_s: float, other: str) -> str:
    return f"{name} is {abs(by_s):.0f} s {'ahead of' if by_s > 0 else 'behind'} {other}"


#: Age of the last heartbeat or renewal above which the check states it, in milliseconds.
QUIET_AFTER_MS = 1_500
#: Number of waiting commands above which the check warns. A worker routes this many per second.
BACKLOG_MAX = 1_000
_AGAIN = "run the check again in 5 s; if it persists, check the workers"


async def check_workers(client: Client, keys: Keys) -> list[CheckResult]:
    """Check workers, partitions, and the command router."""
    backlog = await _backlog(client, keys)
    stored = await read_owners(client, keys)
    with store_errors():
        # What another program added may have an infinite score, which is no time.
        heartbeats = await client.zrangebyscore(keys.workers, "(-inf", "(+inf", withscores=True)
    # Read last, so that no heartbeat is from the future.
    now_ms = await server_time_ms(client, keys.processes)
    owners = {item: owner.at(now_ms) for item, owner in stored.items()}
    partitions = [str(number) for number in range(keys.partitions)]
    held = Counter(stored[number].name for number in partitions)
    expired = {stored[item].name for item in stored if stored[item] != owners[item]}
    expired -= {owner.name for owner in owners.values()}
    running: dict[str, str] = {}
    silent: list[str] = []
    for name, sent in sorted((name.decode(errors="replace"), sent) for name, sent in heartbeats):
        # What it renews also shows that it runs: on a cluster, the node with the heartbeats may have been silent.
        renewed = (owner.renewed_at_ms for owner in owners.values() if owner.name == name)
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
    free = [number for number in partitions if owners[number].name not in running]
    return [
        warn("workers", found, "; ".join(fixes)) if fixes else ok("workers", found),
        warn("partitions", f"no running worker holds: {', '.join(free)}", _AGAIN)
        if free
        else ok("partitions", f"all {keys.partitions} assigned"),
        ok("commands", "routed")
        if owners[ROUTER].name in running
        else warn("commands", "no worker routes them", _AGAIN),
        *backlog,
    ]


async def _backlog(client: Client, keys: Keys) -> list[CheckResult]:
    waiting = await count_waiting(client, keys)
    if waiting <= BACKLOG_MAX:
        return []
    found = f"{waiting:,} commands wait to be routed"
    if waiting > COMMANDS_MAX:
        found += f", more than Conferral's own limit of {COMMANDS_MAX:,}: a program publishes with XADD"
    return [warn("backlog", found, "make sure that a worker is running, and find out which programs publish commands")]
