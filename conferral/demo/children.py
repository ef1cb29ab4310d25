"""The demo's processes: started in a group of their own, watched, and ended whatever happens."""

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

from conferral.demo import guard
from conferral.demo.waiting import until
from conferral.errors import NotDoneError

#: How long a process may take to stop when asked, seconds.
STOP_S = 10.0
#: How often is looked whether one has died, seconds.
LOOK_EVERY_S = 0.05
#: Lines of a log that are shown when its process dies (count).
LINES_SHOWN = 8
ERROR_LINES_SHOWN = 40
#: A unix socket's path may be about 100 bytes long; temporary folders can be deep.
FOLDER_BYTES_MAX = 80
#: What of our environment the processes get; nothing else, so that nobody's settings or secrets reach the demo.
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(slots=True)
class Child:
    """One process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    #: Starts the process once more.
    open: Callable[[], subprocess.Popen[bytes]]
    #: It may end: whoever starts it looks after it for now.
    on_trial: bool = False
    #: It is started again when it ends.
    is_kept: bool = False

    def start_again(self) -> None:
        """Start the process again; its log goes on."""
        self.process = self.open()

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self.process.poll() is not None

    def has_said(self, words: str) -> bool:
        """Whether something stands in its log."""
        return words in self.log.read_text(errors="replace")

    def obituary(self) -> NotDoneError:
        """That it has ended, and what its log says of it: the first error and what follows, else the last lines."""
        reason = f"{self.name} has ended by itself (exit code {self.process.poll()}); from the end of its log:"
        lines = self.log.read_text(errors="replace").splitlines()
        errors = [number for number, line in enumerate(lines) if "[error" in line or "Traceback" in line]
        shown = lines[errors[0] :][:ERROR_LINES_SHOWN] if errors else lines[-LINES_SHOWN:]
        return NotDoneError(reason, details=tuple(shown))


class Children:
    """A folder and the processes that live in it; both are gone afterwards."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="conferral-demo-"))
        if len(os.fsencode(self.folder)) > FOLDER_BYTES_MAX:
            self.folder.rmdir()
            self.folder = Path(tempfile.mkdtemp(prefix="conferral-demo-", dir="/tmp"))
        self._children: list[Child] = []
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._guard = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", guard.__name__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment({}),
            process_group=0,
        )
        return self

    def __exit__(self, *_error: object) -> None:
        for child in reversed(self._children):
            if not child.has_ended:
                child.process.kill()
                child.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._guard is not None:
            self._guard.communicate(guard.DONE)

    def start(self, name: str, command: Sequence[str | Path], variables: Mapping[str, str]) -> Child:
        """Starts a process in the folder, with a log of its own; it is on trial until its `on_trial` is taken back."""
        assert self._guard is not None
        group = self._guard.pid
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
                    env=environment(variables),
                    # Ctrl-C reaches the demo alone, which then stops these in order.
                    process_group=group,
                )

        child = Child(name, open_process(), log, open_process, on_trial=True)
        self._children.append(child)
        return child

    @property
    def kept(self) -> list[Child]:
        """Those that are started again when they end."""
        return [child for child in self._children if child.is_kept]

    async def dismiss(self, dismissed: Sequence[Child]) -> None:
        """Ends processes that are not needed after all."""
        await _stop(dismissed)
        self._children = [child for child in self._children if child not in dismissed]

    async def until_one_dies(self) -> None:
        """Waits until a process ends that should not.

        Raises:
            NotDoneError: which one, and the end of its log.
        """
        while True:
            for child in self._children:
                if child.has_ended and not (child.on_trial or child.is_kept):
                    raise child.obituary()
            await asyncio.sleep(LOOK_EVERY_S)

    async def stop(self) -> None:
        """Asks all to stop, Redis last: the others still write to it. `__exit__` kills what has not stopped."""
        await _stop(self._children[1:])
        await _stop(self._children[:1])


async def _stop(children: Sequence[Child]) -> None:
    for child in children:
        if not child.has_ended:
            child.process.terminate()

    async def stopped() -> bool:
        return all(child.has_ended for child in children)

    await until(stopped, STOP_S)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a process."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **variables}
