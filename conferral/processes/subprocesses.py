"""Child processes of the demo and of tests: supervised, and ended with it."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from conferral.cli import output
from conferral.operations.errors import CommandNotDoneError

#: Where they listen.
HOST = "127.0.0.1"
#: Timeout for a whole startup, which takes one or two seconds, a minute on a busy machine.
START_S = 90.0
STOP_S = 10.0
POLL_EVERY_S = 0.05
#: Delay before a dead worker restarts, so that the takeover becomes visible, in seconds.
RESTART_AFTER_S = 10.0
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
    #: Whether it restarts when it exits; the exit of any other process ends the demo.
    is_restarted: bool

    @property
    def has_ended(self) -> bool:
        """Whether it has exited."""
        return self.process.poll() is not None

    async def has_logged(self, text: str) -> bool:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for child in reversed(self._processes):
            if not child.has_ended:
                child.process.kill()
                child.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(
        self, name: str, command: Sequence[str | Path], variables: Mapping[str, str], *, is_restarted: bool = False
    ) -> Subprocess:
        """Start a process in the folder, with its own log."""
        log = self.folder / f"{name}.log"

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
                    process_group=0,
                )

        child = Subprocess(name, open_process(), log, open_process, is_restarted)
        self._processes.append(child)
        return child

    @property
    def workers(self) -> list[Subprocess]:
        """Return the processes that are restarted when they exit."""
        return [child for child in self._processes if child.is_restarted]

    async def workers_run(self) -> bool:
        """Whether no worker is dead."""
        return not any(worker.has_ended for worker in self.workers)

    async def wait_for_death(self) -> None:
        """Wait for an exit that ends the demo; raise CommandNotDoneError."""
        while True:
            for child in self._processes:
                if child.has_ended and not child.is_restarted:
                    raise child.death_report()
            await asyncio.sleep(POLL_EVERY_S)

    async def restart_workers(self) -> None:
        """Restart workers that exit, until canceled."""
        async with asyncio.TaskGroup() as group:
            for worker in self.workers:
                group.create_task(_keep_running(worker))

    async def stop(self) -> None:
        """Terminate all, Redis last: the others still write to it."""
        for some in (self._processes[1:], self._processes[:1]):
            for child in some:
                if not child.has_ended:
                    child.process.terminate()
            await poll_until(partial(_all_ended, some), STOP_S)


async def _all_ended(children: Sequence[Subprocess]) -> bool:
    return all(child.has_ended for child in children)


async def _keep_running(worker: Subprocess) -> None:
    """Restart a worker each time it ends, after a pause."""
    while True:
        while not worker.has_ended:  # noqa: ASYNC110  # a process's exit sets no event
            await asyncio.sleep(POLL_EVERY_S)
        code = worker.process.returncode or 0
        how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"exited with code {code}"
        output.print_folded(
            f"{worker.name} (process {worker.process.pid}) {how}; the other worker takes over. "
            f"{worker.name} restarts in {RESTART_AFTER_S:g} s.",
            2,
        )
        await asyncio.sleep(RESTART_AFTER_S)
        worker.process = worker.start()
        output.print_folded(f"{worker.name} runs again (process {worker.process.pid}).", 2)


def process_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return a process's complete environment."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **variables}


async def poll_until(condition: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
    """Poll until a condition holds; False on timeout.

    The condition must limit its own time.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while not await condition():
        if loop.time() >= deadline_s:
            return False
        await asyncio.sleep(POLL_EVERY_S)
    return True


async def cancel_all(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
