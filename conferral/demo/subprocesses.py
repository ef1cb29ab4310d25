"""The demo's processes: supervised, in one group, always terminated."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from conferral.demo import watchdog
from conferral.demo.polling import poll_until
from conferral.errors import CommandNotDoneError

STOP_S = 10.0
POLL_EVERY_S = 0.05
LOG_LINES_MAX = 8
ERROR_LINES_MAX = 40
#: A Unix socket's path is limited to about 100 bytes, and temporary folders can be deep.
FOLDER_BYTES_MAX = 80
#: Environment variables that the processes inherit. No others, so that no user settings or secrets reach the demo.
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(slots=True)
class Subprocess:
    """One process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    start: Callable[[], subprocess.Popen[bytes]]
    #: Whether it may exit: its starter handles that for now.
    is_starting: bool = False
    is_restarted: bool = False

    def restart(self) -> None:
        """Start the process again, appending to its log."""
        self.process = self.start()

    @property
    def has_ended(self) -> bool:
        """Whether it has exited."""
        return self.process.poll() is not None

    def has_logged(self, text: str) -> bool:
        """Whether its log contains a text."""
        return text in self.log.read_text(errors="replace")

    def death_report(self) -> CommandNotDoneError:
        """Return an error with the log from its first error on, or its end."""
        reason = f"{self.name} exited unexpectedly (exit code {self.process.poll()}); from the end of its log:"
        lines = self.log.read_text(errors="replace").splitlines()
        errors = [number for number, line in enumerate(lines) if "[error" in line or "Traceback" in line]
        shown = lines[errors[0] :][:ERROR_LINES_MAX] if errors else lines[-LOG_LINES_MAX:]
        return CommandNotDoneError(reason, details=tuple(shown))


class Subprocesses:
    """A folder and the processes in it; both are removed at exit."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="conferral-demo-"))
        if len(os.fsencode(self.folder)) > FOLDER_BYTES_MAX:
            self.folder.rmdir()
            self.folder = Path(tempfile.mkdtemp(prefix="conferral-demo-", dir="/tmp"))
        self._processes: list[Subprocess] = []
        self._watchdog: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._watchdog = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", watchdog.__name__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=process_environment({}),
            process_group=0,
        )
        return self

    def __exit__(self, *_error: object) -> None:
        for child in reversed(self._processes):
            if not child.has_ended:
                child.process.kill()
                child.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._watchdog is not None:
            self._watchdog.communicate(watchdog.DONE)

    def start(self, name: str, command: Sequence[str | Path], variables: Mapping[str, str]) -> Subprocess:
        """Start a process in the folder, with its own log."""
        assert self._watchdog is not None
        group = self._watchdog.pid
        log = self.folder / f"{name}.log"
        log.unlink(missing_ok=True)

        def open_process() -> subprocess.Popen[bytes]:
            with log.open("ab") as target:
                return subprocess.Popen(  # noqa: S603
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=target,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env=process_environment(variables),
                    # Ctrl-C reaches only the demo, which then stops these in order.
                    process_group=group,
                )

        child = Subprocess(name, open_process(), log, open_process, is_starting=True)
        self._processes.append(child)
        return child

    @property
    def restarted(self) -> list[Subprocess]:
        """Return the processes that are restarted when they exit."""
        return [child for child in self._processes if child.is_restarted]

    async def stop_some(self, dismissed: Sequence[Subprocess]) -> None:
        """Stop processes that aren't needed after all."""
        await _terminate(dismissed)
        self._processes = [child for child in self._processes if child not in dismissed]

    async def wait_for_death(self) -> None:
        """Wait for an unexpected exit; raise CommandNotDoneError with the log."""
        while True:
            for child in self._processes:
                if child.has_ended and not (child.is_starting or child.is_restarted):
                    raise child.death_report()
            await asyncio.sleep(POLL_EVERY_S)

    async def stop(self) -> None:
        """Terminate all, Redis last: the others still write to it."""
        await _terminate(self._processes[1:])
        await _terminate(self._processes[:1])


async def _terminate(children: Sequence[Subprocess]) -> None:
    for child in children:
        if not child.has_ended:
            child.process.terminate()

    async def stopped() -> bool:
        return all(child.has_ended for child in children)

    await poll_until(stopped, STOP_S)


def process_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return a process's complete environment."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **variables}
