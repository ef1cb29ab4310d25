"""Run benchmarks: `python -m benchmarks worker latency --size quick --write`; by default, those of `make bench`."""

import argparse
import importlib
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.support import machine
from benchmarks.support.results import Results
from conferral.runtime import log
from conferral.runtime.clock import SystemClock
from conferral.storage.codecs.timestamps import to_iso

#: In the order in which they run. Those that take longer have their own targets.
NAMES = (
    "worker",
    "webhooks",
    "latency",
    "busy",
    "silence",
    "calls",
    "idle",
    "parties",
    "sessions",
    "takeover",
    "neighbors",
)
LONG = ("simulation", "endurance", "pauses")
SIZES = ("full", "quick", "tiny")


def main(arguments: Sequence[str]) -> int:
    """Measure, print each benchmark under its question, and write the results if wanted."""
    given = _arguments(arguments)
    # SIGTERM ends the measured processes, too, as Ctrl-C does; a shell ignores SIGINT for its background jobs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    run = _describe(given)
    pinned = machine.pin_load()
    print("measured process on one core, load and Redis on another" if pinned else "processes run on any core")
    failed = []
    with Path(os.devnull).open("w") as nowhere:
        log.configure("json", stream=nowhere, process="benchmarks")  # for what runs in this process
        for name in given.names or NAMES:
            failed += _run(name, run, given)
    for problem in failed:
        print(f"FAILED {problem}")
    return 1 if failed else 0


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = f"any of {', '.join((*NAMES, *LONG))}; by default, all but the last {len(LONG)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--size", choices=SIZES, default="full", help="how much to measure")
    parser.add_argument("--seed", type=int, default=0, help="random seed; by default, a new one")
    parser.add_argument("--write", action="store_true", help="write the figures to benchmarks/results.json")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in (*NAMES, *LONG)]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; known: {', '.join((*NAMES, *LONG))}")
    return given


def _describe(given: argparse.Namespace) -> dict[str, Any]:
    found = machine.describe()
    for part in found.values():
        print(", ".join(f"{name} {value}" for name, value in part.items()))
    return {
        "date": to_iso(SystemClock().wall_ms()),
        "commit": machine.commit(),
        "size": given.size,
        "seed": given.seed or random.SystemRandom().randrange(1, 2**31),
        # What else the machine did: on two idle cores, it is near zero.
        "load_before": [round(load, 2) for load in os.getloadavg()],
        **found,
    }


def _run(name: str, run: dict[str, Any], given: argparse.Namespace) -> list[str]:
    """Run one benchmark; return what must not have happened."""
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__ is not None
    began_s = time.monotonic()
    print(f"\n{name}: {module.__doc__.strip()}", flush=True)
    figures = machine.run(module.measure(module.SIZES[given.size], random.Random(run["seed"])))
    took_s = time.monotonic() - began_s
    for line in figures.lines():
        print(f"  {line}")
    print(f"  took {took_s:.0f} s", flush=True)
    if given.write:
        results = Results.read()
        results.add(name, run, figures, took_s)
        results.write()
    return [f"{name}: {problem}" for problem in figures.problems]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
