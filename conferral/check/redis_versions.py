"""Versions of Redis and Valkey: supported, patched, safe to restart."""

from dataclasses import dataclass
from typing import Any

from conferral.check.result import CheckResult, fail, ok, warn

VERSION_MIN = (6, 2)
#: First version that reports replication and consumer group lag.
VERSION_WITH_LAG = (7, 0)
#: The least patch level of each line without known vulnerabilities; other lines up to the newest get no patches.
#: Sources: the release notes of redis/redis and valkey-io/valkey, of August and September 2026 (CVE-2026-81934,
#: CVE-2026-62356, CVE-2026-56684, CVE-2026-63639); earlier ones, such as CVE-2025-49844, are fixed in all of these.
PATCHED = {
    "Redis": {(6, 2): 24, (7, 2): 16, (7, 4): 11, (8, 2): 10, (8, 4): 7, (8, 6): 7, (8, 8): 3, (8, 10): 2},
    "Valkey": {(7, 2): 14, (8, 0): 11, (8, 1): 10, (9, 0): 6, (9, 1): 2},
}
#: Lines of Valkey in which a restart no longer loses what scripts wrote, with the first patch level that has the fix.
#: Source: github.com/valkey-io/valkey/pull/3984
_VALKEY_LOADS_ALL = {(8, 1): 10, (9, 0): 6, (9, 1): 2}
#: The same for Redis: the bug came with the first version, and left with the second. Redis 6.2 was tried.
#: Source: github.com/redis/redis/pull/14545, in the release notes of 8.6
_REDIS_LOSES = ((7, 0), (8, 6))


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
        """Whether a restart replays scripts as the default user."""
        if self.product == "Redis":
            return _REDIS_LOSES[0] <= self.line < _REDIS_LOSES[1]
        newest = max(_VALKEY_LOADS_ALL)
        return self.line <= newest and not _reaches(self.numbers, _VALKEY_LOADS_ALL)


def _reaches(numbers: tuple[int, ...], least: dict[tuple[int, int], int]) -> bool:
    major, minor, *patch = (*numbers, 0, 0)[:3]
    return (major, minor) in least and patch >= [least[(major, minor)]]


def check_version(version: ServerVersion) -> CheckResult:
    """Check that a version is supported, and has no known vulnerabilities."""
    found = f"{version.product} {version.text or 'unknown'}"
    if version.line < VERSION_MIN:
        return fail("version", found, "use Redis 6.2 or newer, or Valkey")
    lacks_lag = version.line < VERSION_WITH_LAG
    if lacks_lag:
        found += " does not report consumer lag"
    patched = PATCHED[version.product]
    if version.line <= max(patched) and not _reaches(version.numbers, patched):
        known = f"{found}{' and' if lacks_lag else ''} has known vulnerabilities"
        return warn("version", known, f"{_update(version, patched)}, unless your distribution has patched it")
    return warn("version", found, "use 7.0 or newer") if lacks_lag else ok("version", found)


def _update(version: ServerVersion, patched: dict[tuple[int, int], int]) -> str:
    if version.line in patched:
        major, minor = version.line
        return f"update it to {major}.{minor}.{patched[(major, minor)]} or newer"
    lines = ", ".join(f"{major}.{minor}.{patch}" for (major, minor), patch in patched.items())
    return f"its line gets no patches: update it to one of {lines}"
