"""The last lines of `make soak`: which commit ran on which servers, and what came of it."""

import platform
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.redis_server import found_programs

ROOT = Path(__file__).resolve().parents[2]
OUTCOMES = ("passed", "failed", "error", "skipped")
_STARTED = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    """Notes when the run began."""
    config.stash[_STARTED] = time.monotonic()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the summary of a run with `-m soak`; other runs end as usual."""
    if config.option.markexpr != "soak":
        return
    counts = ", ".join(f"{len(terminalreporter.stats.get(outcome, []))} {outcome}" for outcome in OUTCOMES)
    took_min = (time.monotonic() - config.stash[_STARTED]) / 60
    terminalreporter.section("soak")
    terminalreporter.write_line(
        f"commit {commit()}: {counts} in {took_min:.0f} min, Python {platform.python_version()}"
    )
    for name, program in found_programs().items():
        terminalreporter.write_line(f"{name}: {version(program)}")


def commit() -> str:
    """The commit that is checked out, and whether files differ from it."""
    ran = subprocess.run(
        ["git", "describe", "--always", "--dirty=, with uncommitted changes", "--abbrev=12", "--exclude=*"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ran.stdout.strip() or "unknown"


def version(program: Path | str) -> str:
    """What a server program says of itself."""
    ran = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)
    return ran.stdout.strip() or "unknown"
