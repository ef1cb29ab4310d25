"""Start the measured processes, and query their resource usage."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

from benchmarks.support.machine import MEASURED_CORE, PEER_PROGRAMS, REPOSITORY, pin

#: A process that doesn't answer for this long is stuck, in seconds.
PATIENCE_S = 60.0


class Child:
    """One process of `benchmarks.support.processes`, or of a peer, controlled by lines on its standard input."""

    def __init__(self, kind: str, *, peer: str = "", core: int = MEASURED_CORE, **order: Any) -> None:
        """Bind the process's parameters.

        Args:
            kind: What it runs.
            peer: Name of the peer; empty for Conferral and its floors.
            core: The core that it is pinned to.
            order: Parameters of that kind.
        """
        module = f"benchmarks.peers.{peer}_peer" if peer else "benchmarks.support.processes"
        program = PEER_PROGRAMS / peer / "bin" / "python" if peer else Path(sys.executable)
        if not program.exists():
            raise SystemExit(f"{peer} is not installed: run `make bench`, which does that")
        self._command = [str(program), "-m", module, kind, json.dumps(order)]
        self._core = core
        self._stop_s = 1.0 if peer else PATIENCE_S  # a task queue may not end by itself

    async def __aenter__(self) -> Self:
        # Write the log as in production, but into a temporary file.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __aexit__
        self._process = await asyncio.create_subprocess_exec(
            *self._command, cwd=REPOSITORY, stdin=PIPE, stdout=PIPE, stderr=self._log
        )
        async with AsyncExitStack() as unless_ready:
            unless_ready.push_async_callback(self.kill)
            pin(self._process.pid, self._core)
            await self._line()
            unless_ready.pop_all()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # signals it to stop
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._stop_s):
                    await self._process.wait()
        finally:
            await self.kill()
            self._log.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def kill(self) -> None:
        """Kill it as `kill -9` does, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Stop the process by SIGSTOP meanwhile."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def check(self) -> None:
        """Verify that the process runs; otherwise, end the benchmark with the end of its log."""
        if self._process.returncode is not None:
            raise self._ended()

    def _ended(self) -> SystemExit:
        last_words = self.log()[-2000:]
        return SystemExit(f"a process of the benchmark has ended: {self._command}\n{last_words}")

    def log(self) -> str:
        """Return what it has logged so far."""
        size = os.fstat(self._log.fileno()).st_size
        # The process shares this file's position, so don't move it.
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    async def used(self, request: str = "used") -> dict[str, Any]:
        """Return its usage so far: CPU seconds, memory, and counters that depend on its kind.

        Args:
            request: `mark` resets the counters; some kinds know more.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{request}\n".encode())
        return await self._line()

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise self._ended() from None
        if not line:
            await self._process.wait()
            raise self._ended()
        found: dict[str, Any] = json.loads(line)
        return found
