"""The machine: its description, and CPU pinning of processes."""

import asyncio
import os
import platform
import subprocess
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from tests.support.redis_server import RedisServer, found_programs

#: The measured process has this core to itself; load generator, Redis, and fakes share the other one.
MEASURED_CORE, OTHER_CORE = 0, 1
#: Empty if the platform can't pin processes.
_ALLOWED_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
LIBRARIES = ("aiohttp", "redis", "hiredis", "orjson", "transitions", "structlog", "prometheus-client", "uvloop")

Result = TypeVar("Result")


def redis_program() -> Path:
    """Return the redis-server on PATH, else the one that `make` installed."""
    programs = found_programs()
    if not programs:
        raise SystemExit("no redis-server: run it by `make bench`, which fetches one")
    return programs.get("on-path") or programs["bundled"]


def redis_server() -> RedisServer:
    """Return a private Redis on a Unix socket, without persistence."""
    return RedisServer(redis_program())


def pin(process_id: int, core: int) -> bool:
    """Pin a process to one core, if the platform supports it and has two; 0 is this process."""
    if not {MEASURED_CORE, OTHER_CORE} <= _ALLOWED_CORES:
        return False
    os.sched_setaffinity(process_id, {core})
    return True


def describe() -> list[str]:
    """Describe the machine in a few lines."""
    shown = subprocess.run([redis_program(), "--version"], capture_output=True, text=True, check=True).stdout
    redis_version = next(word[2:] for word in shown.split() if word.startswith("v="))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    libraries = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    system = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    return [f"{system}, {python}, Redis {redis_version}", libraries]


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:  # uvloop, which some platforms lack
        return "absent"


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run on the same event loop implementation as the processes."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
