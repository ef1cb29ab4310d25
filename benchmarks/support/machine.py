"""The machine: its description, and the cores and the scheduling of processes."""

import asyncio
import os
import platform
import subprocess
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from tests.support.redis_server import found_programs

#: The measured process has this core to itself; load generator, Redis, and fakes share the other one.
MEASURED_CORE, OTHER_CORE = 0, 1
#: Empty if the platform can't pin processes.
ALLOWED_CORES = frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ())
REPOSITORY = Path(__file__).resolve().parents[2]
#: Task queues to compare with, and their environments, which `make bench` creates.
PEERS = ("taskiq", "arq")
PEER_PROGRAMS = Path(sys.prefix) / "peers"
LIBRARIES = (
    "aiohttp", "redis", "hiredis", "orjson", "msgspec", "twilio", "transitions", "structlog", "prometheus-client",
    "uvloop",
)  # fmt: skip

Result = TypeVar("Result")


def redis_program() -> Path:
    """Return the redis-server on PATH, else the one that `make` installed."""
    programs = found_programs()
    if not programs:
        raise SystemExit("no redis-server: run it by `make bench`, which fetches one")
    return programs.get("on-path") or programs["bundled"]


def pin(process_id: int, core: int) -> bool:
    """Pin a process to one core, if the platform supports it and has two."""
    if not {MEASURED_CORE, OTHER_CORE} <= ALLOWED_CORES:
        return False
    os.sched_setaffinity(process_id, {core})
    os.sched_setscheduler(process_id, os.SCHED_OTHER, os.sched_param(0))
    return True


def pin_load() -> bool:
    """Pin this process, the load generator, to its core; there, let Redis go first, as if it had a machine of its own.

    Otherwise, the load interrupts Redis in the middle of a script, whose duration Redis then overstates.

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


def describe() -> dict[str, dict[str, str]]:
    """Describe the machine, and the versions of the programs and libraries."""
    shown = subprocess.run([redis_program(), "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "machine": {
            "cores": str(os.cpu_count()),
            "processor": _processor(),
            "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
            "system": platform.system(),
        },
        "versions": {
            platform.python_implementation(): platform.python_version(),
            "Redis": next(word[2:] for word in shown.split() if word.startswith("v=")),
            **{name: _version(name) for name in LIBRARIES},
            **{name: _peer_version(name) for name in PEERS},
        },
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({platform.machine()})" if names else platform.machine()


def commit() -> str:
    """Return the commit that is checked out, and whether files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return ran.stdout.strip() or "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:  # uvloop, which some platforms lack
        return "absent"


def _peer_version(name: str) -> str:
    found = [path.name for path in (PEER_PROGRAMS / name).glob(f"lib/*/site-packages/{name}-*.dist-info")]
    return found[0].removeprefix(f"{name}-").removesuffix(".dist-info") if found else "absent"


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run on the same event loop implementation as the processes."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
