"""Plays one seed and prints what it has shown: `python -m tests.simulation --seed 7 --sessions 500 [--harsh|--calm]`."""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import structlog

from tests.simulation import loop
from tests.simulation.plan import CALM, HARSH, Plan
from tests.simulation.report import describe
from tests.simulation.world import Run, simulate


def play(plan: Plan, *, trace: str = "") -> Run:
    """Plays a plan in a loop of its own; with `trace` every callback goes into that file."""
    with _without_log():
        if not trace:
            return loop.run(lambda one: simulate(one, plan))
        with Path(trace).open("w", encoding="utf-8") as file:

            def traced(one: loop.VirtualLoop) -> Any:
                one.trace = lambda line: print(line, file=file)
                return simulate(one, plan)

            return loop.run(traced)


@contextmanager
def _without_log() -> Iterator[None]:
    """A run of thousands of sessions logs millions of lines."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def main(arguments: Sequence[str]) -> int:
    """Plays and prints; 1 when something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--harsh", action="store_true")
    parser.add_argument("--calm", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another field of the plan")
    parser.add_argument("--trace", default="", help="a file for every callback")
    given = parser.parse_args(arguments)
    plan = Plan(seed=given.seed, sessions=given.sessions)
    plan = replace(plan, **(HARSH if given.harsh else CALM if given.calm else {}))
    kinds = {one.name: type(getattr(plan, one.name)) for one in fields(Plan)}
    for text in given.set:
        name, _, value = text.partition("=")
        plan = replace(plan, **{name: kinds[name](value)})
    run = play(plan, trace=given.trace)
    print(describe(run))
    return 1 if run.problems or run.exceptions else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
