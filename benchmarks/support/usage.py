"""What a measured process reports about itself. Uses the standard library only: the peers' environments have no more.

Each line on standard input is a request, answered with one line of JSON; end of file stops the process.
"""

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PAGE_BYTES = resource.getpagesize()


class Usage:
    """CPU seconds, memory, collector pauses, and the moments of the first read and the last result."""

    def __init__(self) -> None:
        self.counters: dict[str, Any] = {}
        self._requests: dict[str, Callable[[float], None]] = {"mark": lambda _value: self._mark()}
        self._collection_began_s = 0.0
        self._longest_pause_s = 0.0
        gc.callbacks.append(self._note_collection)

    def _mark(self) -> None:
        self.counters.clear()
        self._longest_pause_s = 0.0

    def _note_collection(self, phase: str, _info: dict[str, int]) -> None:
        now_s = time.monotonic()
        if phase == "start":
            self._collection_began_s = now_s
        else:
            self._longest_pause_s = max(self._longest_pause_s, now_s - self._collection_began_s)

    def handle(self, request: str, work: Callable[[float], None]) -> None:
        """Also take the request `REQUEST VALUE`."""
        self._requests[request] = work

    def note_read(self) -> None:
        """Note that work was read; only the first time after a mark counts."""
        self.counters.setdefault("first_read", _moment())

    def note_result(self) -> None:
        """Note that a result was committed; the last time counts."""
        self.counters["last_commit"] = _moment()
        self.counters["commits"] = self.counters.get("commits", 0) + 1

    def serve(self, stop: asyncio.Event) -> None:
        """Answer requests in the running loop, and say that the process is ready."""
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._answer, stop)
        self._print()

    def _answer(self, stop: asyncio.Event) -> None:
        lines = os.read(sys.stdin.fileno(), 1024).decode()
        if not lines:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            stop.set()
            return
        name, _, value = lines.strip().partition(" ")
        if name in self._requests:
            self._requests[name](float(value or 0))
        self._print()

    def _print(self) -> None:
        found = {
            "cpu_s": time.process_time(),
            "memory_bytes": _memory_bytes(),
            "longest_pause_s": self._longest_pause_s,
            **self.counters,
        }
        print(json.dumps(found), flush=True)


def _moment() -> dict[str, float]:
    return {"s": time.monotonic(), "cpu_s": time.process_time()}


def _memory_bytes() -> int:
    """Return the resident memory: now on Linux, elsewhere its maximum so far."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * _PAGE_BYTES
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
