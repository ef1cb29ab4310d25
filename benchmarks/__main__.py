"""Run benchmarks: `python -m benchmarks worker latency --size quick --write`; by default, those of `make bench`."""

import argparse
import asyncio
import importlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from benchmarks import promises
from benchmarks.support import calls, machine
from benchmarks.support.figures import Figures, Results
from conferral.runtime import log

#: In the order in which they run. Those that take longer have their own targets.
NAMES = (
    "start",
    "worker",
    "latency",
    "ingest",
    "redis_cpu",
    "replica",
    "replica_lag",
    "silence",
    "transfer",
    "memory",
    "idle",
    "desks",
    "takeover",
)
LONG = ("simulation", "endurance")
SIZES = ("full", "quick", "tiny")
#: For all of them together, in seconds.
LIMIT_S = 900.0


def main(arguments: Sequence[str]) -> int:
    """Measure, print each benchmark under its question, judge, and write the results if wanted."""
    given = _arguments(arguments)
    # SIGTERM ends the measured programs, too, as Ctrl-C does; a shell ignores SIGINT for its background jobs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    run = {
        "commit": machine.commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": given.size,
        "seed": given.seed or random.SystemRandom().randrange(1, 2**31),
        **machine.describe(),
    }
    for name in ("commit", "machine", "versions", "load_before", "seed"):
        print(f"{name}: {run[name]}")
    if not machine.pin_load():
        print("programs run on any core: there are not two, or the system can't pin them")
    results, done, failed = Results.read(), [], []
    until_s = time.monotonic() + LIMIT_S
    with Path(os.devnull).open("w") as nowhere, machine.pinned_redis() as redis_url:
        log.configure("json", stream=nowhere, process="benchmarks")  # for the local Twilio in this process
        for name in given.names or NAMES:
            limit_s = None if name in LONG else until_s - time.monotonic()
            figures = asyncio.run(measured(name, redis_url, given.size, run["seed"], limit_s))
            failed += [f"{name}: {problem}" for problem in figures.problems]
            if figures.rounds:
                results.add(name, run, figures)
                done.append(name)
    for promise in promises.PROMISES:
        if promise.benchmark in done:
            print(promise.verdict(results))
            failed += [] if promise.is_kept(results) or given.size != "full" else [promise.verdict(results)]
    if given.write:
        results.write()
        subprocess.run([sys.executable, "scripts/generate_docs.py"], cwd=machine.REPOSITORY, check=True)
    print("\n".join(["", *(f"FAILED {problem}" for problem in failed)]))
    return 1 if failed else 0


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = (*NAMES, *LONG)
    names = f"any of {', '.join(known)}; by default, all but the last {len(LONG)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--size", choices=SIZES, default="full", help="how much to measure")
    parser.add_argument("--seed", type=int, default=0, help="random seed; by default, a new one")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results.json and the pages made from it")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"no benchmark {', '.join(unknown)}; known: {', '.join(known)}")
    return given


async def measured(name: str, redis_url: str, size: str, seed: int, limit_s: float | None) -> Figures:
    """Run one benchmark, and print its figures; one that fails does not end the others."""
    module: Any = importlib.import_module(f"benchmarks.{name}")
    began_s = time.monotonic()
    print(f"\n{name}: {module.__doc__.strip()}", flush=True)
    figures = Figures()
    redis = Redis.from_url(redis_url, socket_timeout=calls.PATIENCE_S)
    try:
        await redis.flushall()
        async with asyncio.timeout(limit_s):
            figures = await module.measure(module.SIZES[size], random.Random(seed), redis_url, redis)
    except (TimeoutError, RedisError, SystemExit) as error:
        figures.problems.append(str(error) or f"waited in vain, or longer than {LIMIT_S:.0f} s for all")
    finally:
        await redis.aclose()
    for line in figures.lines():
        print(f"  {line}")
    print(f"  took {time.monotonic() - began_s:.0f} s", flush=True)
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
