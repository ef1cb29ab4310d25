"""Plays one seed and prints what it has shown: `python -m tests.simulation --seed 7 --sessions 500 --harsh`."""

import argparse
import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from tests.simulation import virtual_loop
from tests.simulation.plan import CALM, HARSH, Plan
from tests.simulation.queues.world import simulate
from tests.simulation.report import describe
from tests.simulation.run_result import Run
from tests.support.row_marks import marked, never_taken

#: Log events that mean a defect, or that something was lost.
MISTAKES = frozenset({
    "task_failed", "task_ended", "unexpected_error", "records_skipped", "writes_refused",
    "call_index_conflict",
})  # fmt: skip


def play(plan: Plan, *, trace: str = "") -> Run:
    """Plays a plan in a loop of its own; with `trace` every callback goes into that file."""
    complaints: list[str] = []
    with _complaints(complaints), marked() as taken:
        if not trace:
            run = virtual_loop.run(lambda one: simulate(one, plan))
        else:
            with Path(trace).open("w", encoding="utf-8") as file:

                def traced(one: virtual_loop.VirtualLoop) -> Any:
                    one.trace = lambda line: print(line, file=file)
                    return simulate(one, plan)

                run = virtual_loop.run(traced)
    run.rows_never_taken = never_taken(taken)
    run.exceptions += complaints
    return run


@contextmanager
def _complaints(found: list[str]) -> Iterator[None]:
    """Notes what the product logs as a mistake of its own; the millions of other lines are not even put together."""

    def note(_logger: Any, _level: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if line["event"] in MISTAKES:
            error = line.pop("exc_info", None)
            shown = "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
            found.append(f"logged: {line} {shown}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR), processors=[note])
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
    parser.add_argument("--rows", action="store_true", help="list the rows of the table that no session took")
    given = parser.parse_args(arguments)
    plan = Plan(seed=given.seed, sessions=given.sessions)
    plan = replace(plan, **(HARSH if given.harsh else CALM if given.calm else {}))
    run = play(plan.changed(given.set), trace=given.trace)
    sys.stdout.write(f"{describe(run)}\n")
    if given.rows:
        sys.stdout.writelines(f"  never taken: {row}\n" for row in run.rows_never_taken)
    return 1 if run.problems or run.exceptions else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
