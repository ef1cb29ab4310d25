"""Run all benchmarks, or the named ones: `python -m benchmarks webhooks worker latency silence neighbours`."""

import importlib
import os
import sys
import time
from pathlib import Path

from benchmarks import machine
from conferral.runtime import log

NAMES = ("webhooks", "worker", "latency", "silence", "neighbours")


def main(names: list[str]) -> int:
    """Print the machine, then each benchmark under its question."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; known: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for line in machine.describe():
        print(line)
    pinned = machine.pin(0, machine.OTHER_CORE)
    print("measured process on one core, load and Redis on another" if pinned else "processes run on any core")
    with Path(os.devnull).open("w") as nowhere:
        log.configure("json", stream=nowhere)  # for what runs in this process
        for name in names or NAMES:
            _run(name)
    return 0


def _run(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__ is not None
    began_s = time.monotonic()
    print(f"\n{name}: {module.__doc__.strip()}", flush=True)
    machine.run(module.report(module.Size()))
    print(f"  took {time.monotonic() - began_s:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
