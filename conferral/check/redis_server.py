"""Checks of the Redis server: version, settings, and commands."""

import asyncio
from dataclasses import dataclass
from typing import Any

from conferral.check.result import CheckResult, fail, ok, warn
from conferral.runtime.errors import StoreError
from conferral.runtime.settings import ServiceSettings
from conferral.storage.config import (
    SCHEMA_VERSION,
    ContradictionError,
    account_digest,
    other_account,
    read_count,
)
from conferral.storage.connection.client import Client, as_store_errors, ask
from conferral.storage.connection.errors import (
    BRACES_MISSING,
    CLUSTER_SETTING_MISSING,
    CLUSTER_SETTING_WRONG,
    LOGIN_REFUSED,
    NO_SUCH_DATABASE,
    SENTINEL_LOGIN_REFUSED,
    SENTINEL_SETTING_WRONG,
    SILENT_STATES,
)
from conferral.storage.connection.replication import acknowledging
from conferral.storage.keys import Keys, config_key
from conferral.storage.scripts import SCRIPTS
from conferral.storage.server import server_identity

VERSION_MIN = (6, 2)
#: First version that reports replication and consumer group lag.
VERSION_WITH_LAG = (7, 0)
#: Lines of Valkey in which a restart no longer loses what scripts wrote, with the first patch level that has the fix.
#: Source: github.com/valkey-io/valkey/pull/3984
_VALKEY_LOADS_ALL = {(8, 1): 10, (9, 0): 6, (9, 1): 2}
#: The same for Redis: the bug came with the first version, and left with the second. Redis 6.2 was tried.
#: Source: github.com/redis/redis/pull/14545, in the release notes of 8.6
_REDIS_LOSES = ((7, 0), (8, 6))
#: For each line, the first patch level with the security fixes known in November 2026.
#: Sources: CVE-2026-81934, and github.com/docker-library/official-images/pull/22312, for Redis; CVE-2026-130822, for
#: Valkey.
_WITH_SECURITY_FIXES: dict[str, dict[tuple[int, int], int]] = {
    "Redis": {(6, 2): 24, (7, 2): 16, (7, 4): 11, (8, 2): 10, (8, 4): 6, (8, 6): 7, (8, 8): 3, (8, 10): 2},
    "Valkey": {(7, 2): 16, (8, 0): 13, (8, 1): 12, (9, 0): 8, (9, 1): 4},
}


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """A server's product and version."""

    product: str
    text: str

    @classmethod
    def of(cls, info: dict[str, Any]) -> "ServerVersion":
        """Return the version that INFO states."""
        product = "Valkey" if "valkey_version" in info else "Redis"
        return cls(product, str(info.get("valkey_version") or info.get("redis_version", "")))

    @property
    def numbers(self) -> tuple[int, ...]:
        """Major, minor, and patch level, as far as they are known."""
        return tuple(int(part) for part in self.text.split(".")[:3] if part.isdigit())

    @property
    def line(self) -> tuple[int, ...]:
        """Major and minor version."""
        return self.numbers[:2]

    @property
    def loses_scripts_writes(self) -> bool:
        """Whether a restart may lose scripts' writes: see `_check_default_user`."""
        if self.product == "Redis":
            return _REDIS_LOSES[0] <= self.line < _REDIS_LOSES[1]
        newest = max(_VALKEY_LOADS_ALL)
        return self.line <= newest and not _reaches(self.numbers, _VALKEY_LOADS_ALL)

    @property
    def missing_security_fixes(self) -> str:
        """The first newer version with security fixes; empty if it has them."""
        fixed = _WITH_SECURITY_FIXES[self.product]
        if _reaches(self.numbers, fixed):
            return ""
        return next((f"{line[0]}.{line[1]}.{fixed[line]}" for line in sorted(fixed) if line >= self.line), "")


def _reaches(numbers: tuple[int, ...], min_patches: dict[tuple[int, int], int]) -> bool:
    """Whether a minor release is listed, and its patch is new enough."""
    major, minor, *patch = (*numbers, 0, 0)[:3]
    return (major, minor) in min_patches and patch >= [min_patches[(major, minor)]]


def check_version(version: ServerVersion) -> CheckResult:
    """Check that a version is supported."""
    found = f"{version.product} {version.text or 'unknown'}"
    if version.line < VERSION_MIN:
        return fail("version", found, "use Redis 6.2 or newer, or Valkey")
    problems = ["does not report consumer lag"] if version.line < VERSION_WITH_LAG else []
    fixes = ["use 7.0 or newer"] if problems else []
    if fixed := version.missing_security_fixes:
        problems.append("lacks security fixes")
        fixes.append(f"update to {fixed} or newer, unless your distribution has added the fixes to its version")
    if problems:
        return warn("version", f"{found} {' and '.join(problems)}", "; ".join(fixes))
    return ok("version", found)


FOREIGN_KEY_FIX = "check whether another program uses this prefix"
FIXES = {
    LOGIN_REFUSED: "correct the user and password in REDIS_URL",
    NO_SUCH_DATABASE: "correct the database number in REDIS_URL",
    CLUSTER_SETTING_MISSING: "add ?cluster=true to REDIS_URL",
    CLUSTER_SETTING_WRONG: "remove ?cluster=true from REDIS_URL",
    BRACES_MISSING: "put CONFERRAL_PREFIX in braces, such as {conferral}",
    SENTINEL_SETTING_WRONG: "name the Sentinels in REDIS_URL, or the server with redis://",
    SENTINEL_LOGIN_REFUSED: "correct sentinel_username and sentinel_password in REDIS_URL",
}


def fix_for(error: StoreError, **refusals: str) -> str:
    """Return what to do about an error; `refusals` maps codes to advice."""
    if fix := FIXES.get(str(error)):
        return fix
    if error.state in SILENT_STATES:
        return "check that it is running and can be reached"
    return next((fix for word, fix in refusals.items() if f"({word})" in error.state), "check its log")


async def check_reachable(client: Client, address: str) -> tuple[CheckResult, dict[str, Any]]:
    """Return whether Redis answers, and its INFO; empty if it doesn't."""
    try:
        with as_store_errors():
            info = await client.info()
    except StoreError as error:
        is_known = str(error) in FIXES or error.state not in SILENT_STATES
        allowed = "allow INFO, and CLUSTER SLOTS on a cluster; with Sentinels ROLE, and there SENTINEL"
        fix = fix_for(error, NOPERM=allowed) if is_known else "start it, or set REDIS_URL"
        return fail("Redis", f"{address}: {error}", fix), {}
    return ok("Redis", f"connected to {address}"), info


async def check_server(client: Client, info: dict[str, Any]) -> list[CheckResult]:
    """Check role, version, eviction, and persistence."""
    if info.get("role") == "slave":
        return [fail("replicas", "REDIS_URL leads to a replica, which takes no writes", "use the primary's address")]
    settings = await _read_settings(client, "maxmemory-policy", "appendonly", "appendfsync")
    policy = settings.get("maxmemory-policy") or str(info.get("maxmemory_policy", ""))
    appends = settings.get("appendonly") or ("yes" if info.get("aof_enabled") else "no")
    version = ServerVersion.of(info)
    return [
        check_version(version),
        _check_eviction(policy),
        check_persistence(appends, settings.get("appendfsync", "")),
        *(await _check_default_user(client) if info.get("aof_enabled") and version.loses_scripts_writes else ()),
        *check_replicas(info),
    ]


async def _read_settings(client: Client, *names: str) -> dict[str, str]:
    """Return the server's settings, without those that can't be read."""
    found: dict[str, Any] = {}
    for name in names:
        try:
            with as_store_errors():
                found |= await client.config_get(name)
        except StoreError:
            continue  # hosted Redis often forbids CONFIG
    return {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in found.items()}


def _check_eviction(policy: str) -> CheckResult:
    fix = "CONFIG SET maxmemory-policy noeviction, also in redis.conf"
    if policy.startswith("allkeys-"):
        return fail("eviction", f"maxmemory-policy {policy}: when full, Redis evicts live calls", fix)
    if policy.startswith("volatile-"):
        return warn("eviction", f"maxmemory-policy {policy}: if full, Redis evicts the index of calls to sessions", fix)
    if not policy:
        return warn("eviction", "maxmemory-policy can't be read here", "make sure that it is noeviction")
    return ok("eviction", f"maxmemory-policy {policy}")


def check_persistence(appends: str, fsync: str) -> CheckResult:
    """Check that a restart or a power failure loses little."""
    if appends != "yes":
        return warn(
            "persistence",
            "appendonly no: a restart of Redis loses the live calls",
            "CONFIG SET appendonly yes, also in redis.conf",
        )
    if fsync == "no":
        found = "appendfsync no: a power failure loses about 30 s"
        return warn("persistence", found, "CONFIG SET appendfsync everysec")
    if not fsync:
        return warn("persistence", "appendonly yes; appendfsync can't be read here", "make sure that it is everysec")
    return ok("persistence", f"appendonly yes, appendfsync {fsync}")


def check_replicas(info: dict[str, Any]) -> list[CheckResult]:
    """Check that a connected replica acknowledges; no line without any."""
    if not (connected := info.get("connected_slaves", 0)):
        return []
    found = f"{len(acknowledging(info))} of {connected} acknowledge what they get"
    if acknowledging(info):
        return [ok("replicas", found)]
    fix = "check that it runs and follows; a tool that only reads is no replica"
    return [warn("replicas", f"{found}: a failover loses what was written meanwhile", fix)]


async def _check_default_user(client: Client) -> list[CheckResult]:
    """Check that the default user may replay the append-only file.

    Redis replays it as this user, and drops what the user may not do inside transactions: what scripts wrote. Return no
    line if the user may do everything.
    """
    try:
        with as_store_errors():
            user = await client.acl_getuser("default")
    except StoreError:
        found = "the ACL can't be read: if the user default is off, a restart of this version hangs up live calls"
        return [warn("default user", found, "add the rule +acl|getuser for this user")]
    flags = user["flags"]
    is_unrestricted = "+@all" in user["categories"] and bool({b"*", "~*", b"~*", "*"} & {*user["keys"]})
    if "on" in flags and is_unrestricted:
        return []
    state = "off" if "off" in flags else "restricted"
    found = f"the user default is {state}: a restart of this version loses what scripts wrote, and hangs up live calls"
    fix = "ACL SETUSER default on >PASSWORD ~* &* +@all, with a password of its own, or update Redis"
    return [fail("default user", found, fix)]


async def check_scripts(client: Client) -> CheckResult:
    """Check that Redis accepts every script."""
    for name, script in SCRIPTS.items():
        try:
            with as_store_errors():
                await client.script_load(script.text)
        except StoreError as error:
            fix = fix_for(error, NOPERM="allow SCRIPT and EVALSHA for this user")
            return fail("scripts", f"{name} can't be loaded: {error}", fix)
    return ok("scripts", f"all {len(SCRIPTS)} loaded")


#: Connections whose server is compared, count.
CONNECTIONS_COMPARED = 4


async def check_commands(client: Client, keys: Keys) -> CheckResult:
    """Check what a managed Redis may lack."""
    name = "EVALSHA with a key"
    try:
        await server_identity(client, keys.config)
        name = "a command with several keys"
        await ask(client, "EXISTS", keys.config, keys.owners)
        name = "a blocking XREAD"
        await ask(client, "XREAD", "BLOCK", 1, "STREAMS", keys.commands, "$")
        name = "EVALSHA with a key"
        found = await asyncio.gather(*(server_identity(client, keys.config) for _ in range(CONNECTIONS_COMPARED)))
    except StoreError as error:
        return fail("features", f"{name} is refused: {error}", fix_for(error, NOPERM=f"allow {name} for this user"))
    if len({run_id for run_id, _ in found}) > 1:
        several = "several servers answer: Conferral would take each for a Redis that has restarted"
        return fail("features", several, "use an address that leads to the primary only")
    return ok("features", "several keys and blocking reads work; one server answers")


async def check_keys(client: Client, settings: ServiceSettings) -> tuple[CheckResult, Keys | None]:
    """Check that Redis was set up with these settings; write nothing."""
    key = config_key(settings.prefix)
    try:
        with as_store_errors():
            found, account, schema = await client.hmget(key, ["partitions", "account", "schema"])
    except StoreError as error:
        fix = fix_for(
            error,
            NOPERM=f"allow all commands on keys with the prefix {settings.prefix} for this user",
            WRONGTYPE=FOREIGN_KEY_FIX,
        )
        return fail("setup", f"{key} can't be read: {error}", fix), None
    if found is None or schema is None:
        line = warn("setup", f"no keys with the prefix {settings.prefix} yet", "start a worker: conferral worker")
        return line, Keys(settings.prefix, settings.partitions)
    try:
        partitions = read_count(key, found, schema)
    except ContradictionError as error:
        return fail("setup", error.problem, error.fix), None
    if partitions != settings.partitions:
        why = f"CONFERRAL_PARTITIONS is {settings.partitions}, but Redis was set up with {partitions}"
        return fail("setup", why, f"set CONFERRAL_PARTITIONS={partitions}"), None
    if account not in (None, account_digest(settings.account_sid).encode()):
        return fail("setup", other_account(key), "set TWILIO_ACCOUNT_SID to it, or another CONFERRAL_PREFIX"), None
    found = f"prefix {settings.prefix}, {partitions} partitions, schema {SCHEMA_VERSION}"
    return ok("setup", found), Keys(settings.prefix, partitions)
