"""The machine: its description, its cores, the commit, and a Redis of the benchmarks' own."""

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.support.redis_server import RedisServer, found_programs

#: The measured programs have this core to themselves; load generator, Redis, and the local Twilio share the other one.
MEASURED_CORE, OTHER_CORE = 0, 1
#: Empty if the platform can't pin processes.
ALLOWED_CORES = frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ())
REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARIES = ("aiohttp", "redis", "hiredis", "twilio", "uvloop")


def redis_program() -> Path:
    """Return the redis-server on PATH, else the one that `make` installed."""
    programs = found_programs()
    if not programs:
        raise SystemExit("no redis-server: run it by `make bench`, which fetches one")
    return programs.get("on-path") or programs["bundled"]


@contextmanager
def pinned_redis() -> Iterator[str]:
    """Run a private Redis without persistence on the load's core; yield its URL."""
    with RedisServer(redis_program()) as redis:
        assert redis.process is not None
        pin(redis.process.pid, OTHER_CORE)
        yield redis.url


def pin(process_id: int, core: int) -> bool:
    """Pin a process to one core, if the platform supports it and has two."""
    if not {MEASURED_CORE, OTHER_CORE} <= ALLOWED_CORES:
        return False
    os.sched_setaffinity(process_id, {core})
    os.sched_setscheduler(process_id, os.SCHED_OTHER, os.sched_param(0))
    return True


def pin_load() -> bool:
    """Pin this process, the load, to its core; let Redis go first there, as if it had a machine of its own.

    Source: sched(7), SCHED_BATCH; the processes that this one starts inherit it, until `pin`.
    """
    is_pinned = pin(0, OTHER_CORE)
    if is_pinned:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    return is_pinned


def allow_cores(cores: frozenset[int]) -> None:
    """Let this process, which inherited its parent's pin, use these cores; do nothing without any."""
    if cores:
        os.sched_setaffinity(0, cores)


def describe() -> dict[str, Any]:
    """Describe the machine, what else it does, and the versions."""
    shown = subprocess.run([redis_program(), "--version"], capture_output=True, text=True, check=True).stdout
    redis = next(word[2:] for word in shown.split() if word.startswith("v="))
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "machine": f"{os.cpu_count()} cores, {names[0] if names else platform.machine()}, {platform.system()}",
        "versions": {
            platform.python_implementation(): platform.python_version(),
            "Redis": redis,
            **{name: version(name) for name in LIBRARIES},
        },
        "load_before": round(os.getloadavg()[0], 2),
    }


def commit() -> str:
    """Return the commit that is checked out, and `+` if files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return ran.stdout.strip() or "unknown"
