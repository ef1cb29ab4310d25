"""Checks of what a failover needs: replicas, Sentinels, cluster."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from conferral.check.result import CheckResult, fail, ok, warn
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreError
from conferral.storage.connection.client import Client, as_store_errors, ask
from conferral.storage.connection.primary import Sentinels, read_time_s
from conferral.storage.connection.url import Address, RedisUrl, Topology
from conferral.storage.server import server_time_ms

#: How much longer than `min-replicas-max-lag` Sentinels must wait, seconds. A primary that is cut off refuses writes up
#: to 2 s later, since it checks once a second; its worker then stops within 1.8 s, when its lease ends. Another worker
#: begins no earlier than a second before Sentinels have waited.
AFTER_LAG_S = 3
MIN_REPLICAS, MAX_LAG = "min-replicas-to-write", "min-replicas-max-lag"
_LEAST = f"{MAX_LAG} plus {AFTER_LAG_S} s"
#: Versions in which scripts write on a primary without replicas. Source: github.com/redis/redis/pull/10249, in 6.2.7
_WITHOUT_LIMIT = re.compile(r"6\.2\.[0-6]")
_COVERAGE = "cluster-require-full-coverage"
_TWICE = "while two primaries take writes, a command may be dialed twice"
_LAG_S = "2"
#: Difference between a replica's clock and the primary's above which the check warns, seconds.
REPLICA_APART_MAX_S = 0.5
_CLOCKS = "replicas' clocks"
#: Returns the time of the server at an address, Unix seconds; None if it doesn't answer.
ReadTime = Callable[[RedisUrl, Address], Awaitable[float | None]]
_BOTH = f"CONFIG SET {MIN_REPLICAS} 1 and CONFIG SET {MAX_LAG} {_LAG_S} on all servers, also in redis.conf"


async def read_settings(client: Client, *names: str) -> dict[str, str]:
    """Return the server's settings, without those that can't be read."""
    found: dict[str, Any] = {}
    for name in names:
        try:
            with as_store_errors():
                found |= await client.config_get(name)
        except StoreError:
            continue  # hosted Redis often forbids CONFIG
    return {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in found.items()}


async def check_failover(client: Client, url: str, info: dict[str, Any]) -> list[CheckResult]:
    """Check what a failover needs, as far as it can be read."""
    if info.get("role") == "slave":
        return [fail("replicas", "REDIS_URL leads to a replica, which takes no writes", "use the primary's address")]
    parsed, replicas = RedisUrl.parse(url), int(info.get("connected_slaves", 0))
    settings = await read_settings(client, MIN_REPLICAS, MAX_LAG, _COVERAGE)
    if parsed.topology is Topology.CLUSTER:
        # A primary that is cut off refuses writes by itself.
        return [_check_count(replicas) if not replicas else ok("replicas", str(replicas)), _check_coverage(settings)]
    may_fail_over = parsed.topology is Topology.SENTINEL
    if (replicas or may_fail_over) and _WITHOUT_LIMIT.fullmatch(str(info.get("redis_version", ""))):
        found = f"{replicas}, but this version ignores {MIN_REPLICAS} in scripts: {_TWICE}"
        lines = [fail("replicas", found, "update Redis to 6.2.7 or newer")]
    else:
        lines = [check_replicas(replicas, settings, may_fail_over=may_fail_over)]
    if replicas or may_fail_over:
        lines += await _check_wait(client)
    lag = settings.get(MAX_LAG, "")
    if "0" in (settings.get(MIN_REPLICAS), lag):
        lag = _LAG_S  # as the check of the replicas advises
    if may_fail_over:
        lines += [await _check_sentinels(parsed, lag), *await _check_priorities(parsed)]
    return lines


async def check_replica_clocks(
    client: Client, key: str, url: str, info: dict[str, Any], read: ReadTime = read_time_s
) -> list[CheckResult]:
    """Compare the replicas' clocks with the primary's.

    After a failover, times are the new primary's. No line without replicas, or if `REDIS_URL` names a socket.
    """
    parsed, named = RedisUrl.parse(url), re.compile(r"slave\d+")
    replicas = [one for name, one in info.items() if named.fullmatch(name) and isinstance(one, dict)]
    if not replicas or not parsed.hosts:
        return []

    async def of_primary() -> float:
        return await server_time_ms(client, key) / 1000

    primary_s, unsure_s = await _ahead_s(of_primary())
    assert primary_s is not None
    far, unread = [], []
    for address in sorted((str(one["ip"]), int(one["port"])) for one in replicas):
        ahead_s, also_unsure_s = await _ahead_s(read(parsed, address))
        if ahead_s is None:
            unread.append(_text(address))
        elif abs(apart_s := ahead_s - primary_s) > REPLICA_APART_MAX_S + unsure_s + also_unsure_s:
            way = "ahead of" if apart_s > 0 else "behind"
            far.append(f"{_text(address)} is {abs(apart_s):.1f} s {way} the primary")
    found = far or [f"within {REPLICA_APART_MAX_S} s of the primary's"] * (len(unread) < len(replicas))
    text = "; ".join([*found, *([f"{', '.join(unread)} can't be read from here"] if unread else ())])
    fix = "synchronize the clocks of all Redis servers (NTP)"
    return [warn(_CLOCKS, text, fix) if far else ok(_CLOCKS, text)]


async def _ahead_s(reading: Awaitable[float | None]) -> tuple[float | None, float]:
    """Return how far a clock is ahead of our monotonic one, at most how wrong."""
    clock = SystemClock()
    asked_s = clock.monotonic_s()
    read_s = await reading
    half_s = (clock.monotonic_s() - asked_s) / 2
    return (None if read_s is None else read_s - asked_s - half_s), half_s


def _check_count(replicas: int) -> CheckResult:
    fix = "add a replica: without one, all calls stop when the primary fails"
    return warn("replicas", f"the primary has {replicas or 'none'}", fix)


def check_replicas(replicas: int, settings: dict[str, str], *, may_fail_over: bool) -> CheckResult:
    """Check that a primary that is cut off from its replicas refuses writes."""
    if not replicas and not may_fail_over:
        return ok("replicas", "none")
    least, lag = settings.get(MIN_REPLICAS, ""), settings.get(MAX_LAG, "")
    if not least:
        found = f"{replicas}; {MIN_REPLICAS} can't be read here"
        return warn("replicas", found, f"make sure that all servers have {MIN_REPLICAS} 1 and {MAX_LAG} {_LAG_S}")
    if "0" in (least, lag):
        name = MIN_REPLICAS if least == "0" else MAX_LAG
        found = f"{replicas}, but {name} is 0: {_TWICE}"
        return fail("replicas", found, _BOTH if replicas else f"add two replicas, then {_BOTH}")
    if not replicas:
        return _check_count(replicas)
    found = f"{replicas}, {MIN_REPLICAS} {least}, {MAX_LAG} {lag}"
    if replicas <= int(least):
        return warn("replicas", f"{found}: if one fails, Redis takes no writes", "add another replica")
    return ok("replicas", found)


async def _check_wait(client: Client) -> list[CheckResult]:
    """Check that Redis has WAIT; return no line if it does."""
    try:
        await ask(client, "WAIT", 0, 1)
    except StoreError as error:
        found = f"WAIT is refused: {error}. A failover may lose what was acknowledged"
        return [warn("replicas", found, "allow WAIT for this user; some managed services have none")]
    return []


async def _check_priorities(url: RedisUrl) -> list[CheckResult]:
    """Check that Sentinels choose the replica that has most.

    Return no line if they do.
    """
    try:
        with as_store_errors():
            priorities = await Sentinels(url).replica_priorities()
    except StoreError:
        return []  # the user of the Sentinels may not be allowed to
    if len(priorities) < 2:
        return []
    found = f"replica-priority {', '.join(map(str, sorted(priorities)))}: a failover may choose a replica that lags"
    return [warn("replicas", found, "CONFIG SET replica-priority 100 on all servers, also in redis.conf")]


async def _check_sentinels(url: RedisUrl, lag: str) -> CheckResult:
    """Check that each Sentinel waits until the former primary refuses writes."""
    name = "down-after-milliseconds"
    settings = await Sentinels(url).settings_of_each()
    down_after_ms = {_text(one): int(found[name]) for one, found in settings.items() if found is not None}
    unread = ", ".join(_text(one) for one, found in settings.items() if found is None)
    values = ", ".join(map(str, sorted(set(down_after_ms.values()))))
    if not lag.isdigit():
        found_here = f"{name} {values or 'unknown'}; {MAX_LAG} can't be read here"
        return warn("Sentinels", found_here, f"make sure that {name} is at least {_LEAST}, on all Sentinels")
    least_ms = 1000 * (int(lag) + AFTER_LAG_S)
    if wrong := {one: value for one, value in down_after_ms.items() if value < least_ms}:
        found_there = ", ".join(f"{value} at {one}" for one, value in wrong.items())
        return fail(
            "Sentinels",
            f"{name} {found_there} is less than {_LEAST}: two workers may act at once",
            f"SENTINEL SET {url.name} {name} {least_ms}, on {', '.join(wrong)}",
        )
    if unread:
        fix = f"make sure that it runs, knows {url.name}, and has at least {least_ms}"
        return warn("Sentinels", f"{name} can't be read at {unread}", fix)
    return ok("Sentinels", f"{name} {values}, on all Sentinels")


def _text(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def _check_coverage(settings: dict[str, str]) -> CheckResult:
    if _COVERAGE not in settings:
        return ok("coverage", f"{_COVERAGE} can't be read here")
    if settings[_COVERAGE] == "yes":
        found = f"{_COVERAGE} yes: while any primary of the cluster is down, all calls stop"
        return warn("coverage", found, f"CONFIG SET {_COVERAGE} no, on all nodes")
    return ok("coverage", f"{_COVERAGE} no")
