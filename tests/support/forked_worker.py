"""Real worker processes that start at once: forked from one that has imported everything."""

import json
import os
import signal
import sys
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

from tests.support import worker_process
from tests.support.fair_time import forget_process, watch_process
from tests.support.local_system import LocalSystem
from tests.support.process_reports import watched
from tests.support.worker_process import order_of

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.worker_process"])


class ForkedWorker:
    """Starts the process and watches it; ends it when the test is over.

    Args:
        system: The test's own world.
        folder: For its log, and for the file that arms it.
        name: What the test calls it.
        order: See `order_of`.
    """

    def __init__(self, system: LocalSystem, folder: Path, name: str, **order: Any) -> None:
        self.arm_file = folder / f"{name}.armed"
        self.log_file = folder / f"{name}.log"
        whole = order_of(system.settings, arm_file=self.arm_file, **order)
        self._process = _CONTEXT.Process(target=_run, args=(json.dumps(whole), str(self.log_file)), daemon=True)
        self._process.start()
        watch_process(self._process.pid)
        self._watching = ExitStack()
        self._name = f"worker {name} in {folder}"

    def __enter__(self) -> Self:
        self._watching.enter_context(watched(self._name, lambda: self._process.exitcode, self.text))
        return self

    def __exit__(self, *_exc: object) -> None:
        self._watching.close()
        forget_process(self._process.pid)
        self._process.kill()
        self._process.join()
        self._process.close()

    def arm(self) -> None:
        """From now on it dies when it comes to its step."""
        self.arm_file.touch()

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def was_killed(self) -> bool:
        return self.exit_code == -signal.SIGKILL

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.exitcode

    def text(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""


def _run(order: str, log_file: str) -> None:
    with Path(log_file).open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.exit(worker_process.run(json.loads(order)))
