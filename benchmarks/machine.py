"""The machine: what it is, and which process runs on which of its cores."""

import asyncio
import os
import platform
import subprocess
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from tests.support.redis_server import RedisServer, found_programs

#: The process that is measured has this core to itself; load, Redis and fakes share the other one.
MEASURED_CORE, OTHER_CORE = 0, 1
#: Empty where processes can't be kept on a core.
_ALLOWED_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
LIBRARIES = ("aiohttp", "redis", "hiredis", "orjson", "transitions", "structlog", "prometheus-client", "uvloop")

Result = TypeVar("Result")


def redis_program() -> Path:
    """The redis-server on PATH, else the one that `make` has fetched."""
    programs = found_programs()
    if not programs:
        raise SystemExit("no redis-server: run it by `make bench`, which fetches one")
    return programs.get("on-path") or programs["bundled"]


def redis_server() -> RedisServer:
    """A Redis of our own, on a unix socket, without persistence."""
    return RedisServer(redis_program())


def pin(process_id: int, core: int) -> bool:
    """Keeps a process on one core, where the system can do that and has two; 0 is this process itself."""
    if not {MEASURED_CORE, OTHER_CORE} <= _ALLOWED_CORES:
        return False
    os.sched_setaffinity(process_id, {core})
    return True


def describe() -> list[str]:
    """What has been measured on, in a few lines."""
    shown = subprocess.run([redis_program(), "--version"], capture_output=True, text=True, check=True).stdout
    redis_version = next(word[2:] for word in shown.split() if word.startswith("v="))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    libraries = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    system = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    return [f"{system}, {python}, Redis {redis_version}", libraries]


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:  # uvloop, which not every platform has
        return "absent"


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Runs on the event loop that the processes use too."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
