"""Start the measured processes, and query their resource usage."""

import asyncio
import json
import sys
import tempfile
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, Self

from benchmarks.machine import MEASURED_CORE, pin

REPOSITORY = Path(__file__).resolve().parents[1]
#: A process that doesn't answer for this long is stuck, in seconds.
PATIENCE_S = 30.0


class Child:
    """One process of `benchmarks.processes`, controlled by lines of JSON."""

    def __init__(self, kind: str, **order: Any) -> None:
        self._arguments = ["-m", "benchmarks.processes", kind, json.dumps(order)]

    async def __aenter__(self) -> Self:
        # Write the log as in production, but into a temporary file.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __aexit__
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, cwd=REPOSITORY, stdin=PIPE, stdout=PIPE, stderr=self._log
        )
        pin(self._process.pid, MEASURED_CORE)
        await self._line()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # signals it to stop
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._log.close()

    def check(self) -> None:
        """Verify that the process runs; otherwise, end the benchmark with the end of its log."""
        if self._process.returncode is not None:
            raise self._ended()

    def _ended(self) -> SystemExit:
        self._log.seek(0)
        last_words = self._log.read().decode(errors="replace")[-2000:]
        return SystemExit(f"a process of the benchmark has ended: {self._arguments}\n{last_words}")

    async def used(self) -> dict[str, Any]:
        """Return its usage so far: CPU seconds, and counters that depend on its kind."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"used\n")
        return await self._line()

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await self._process.stdout.readline()
        if not line:
            raise self._ended()
        found: dict[str, Any] = json.loads(line)
        return found
