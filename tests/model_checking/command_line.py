"""Explores every flow: `make explore`.

What it shows of a flow: places seen, moves made, and how many unusual things there are in the runs that it searched
at when it was left: a fault, a hang-up, a command, or a move out of the usual order. All runs with fewer were seen.

Examples:
  python -m tests.model_checking                                  every flow, one fault, for a minute each
  python -m tests.model_checking --flow warm --minutes 10         one flow
  python -m tests.model_checking --faults 0 --hang-ups 2          people alone, two of whom may hang up
  python -m tests.model_checking --only lose,crash                only faults of these kinds
  python -m tests.model_checking --flow warm --story found.txt    what a story has led to, played again
"""

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tests.model_checking.configuration import left_of
from tests.model_checking.flows import ALL, FLOWS
from tests.model_checking.moves import FAULTS
from tests.model_checking.search import Bounds, Exploration, Explored
from tests.model_checking.silent_log import quietly
from tests.model_checking.traces import describe, moment, replay, steps_of


@dataclass(frozen=True, slots=True)
class Listing:
    """What came of one flow, to be shown."""

    seen: Explored
    stories: tuple[tuple[str, ...], ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Explores what is asked for; returns 1 when a law is broken."""
    asked = _parser().parse_args(arguments)
    names = asked.flow.split(",") if asked.flow else [flow.name for flow in ALL]
    unknown = [name for name in names if name not in FLOWS]
    if unknown:
        sys.stderr.write(f"no such flow: {', '.join(unknown)}; there are: {', '.join(FLOWS)}\n")
        return 2
    if asked.list:
        sys.stdout.writelines(f"{name:18}{FLOWS[name].about}\n" for name in names)
        return 0
    bounds = Bounds(
        left=left_of(asked.faults, asked.commands, asked.hang_ups, asked.together),
        faults=tuple(asked.only.split(",")) if asked.only else FAULTS,
        seconds_max=asked.minutes * 60,
        findings_max=asked.findings,
    )
    if asked.story:
        return _play(names[0], bounds, Path(asked.story).read_text("utf-8").splitlines())
    return _explore(names, bounds, asked.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.model_checking", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flow", default="", help="names of flows, separated by commas; all by default")
    parser.add_argument("--minutes", type=float, default=1.0, help="most time for each flow")
    parser.add_argument("--faults", type=int, default=1, help="faults in one run (count)")
    parser.add_argument("--commands", type=int, default=1, help="commands in one run beside the first (count)")
    parser.add_argument("--hang-ups", type=int, default=1, help="people who hang up in one run (count)")
    parser.add_argument("--together", type=int, default=2, help="of these three at most so many in one run (count)")
    parser.add_argument("--only", default="", help=f"kinds of faults, separated by commas: {', '.join(FAULTS)}")
    parser.add_argument("--findings", type=int, default=1, help="broken laws after which a flow is left (count)")
    parser.add_argument("--jobs", type=int, default=2, help="flows at the same time (count)")
    parser.add_argument("--story", default="", help="a file with a story that was told, to be played again")
    parser.add_argument("--list", action="store_true", help="only tell which flows there are")
    return parser


def _explore(names: Sequence[str], bounds: Bounds, jobs: int) -> int:
    sys.stdout.write(
        f"in one run: {bounds.left.faults} faults ({', '.join(bounds.faults)}), {bounds.left.commands} commands, "
        f"{bounds.left.hang_ups} hang-ups, of these {bounds.left.together} together\n\n"
        f"{'flow':18}{'places':>10}{'moves':>11}{'unusual':>8}{'seconds':>9}{'moves/s':>9}  exhausted\n"
    )
    found = 0
    context = multiprocessing.get_context("spawn")  # nothing is shared with the parent
    with ProcessPoolExecutor(min(jobs, len(names)), context, max_tasks_per_child=1) as pool:
        for reported in pool.map(_explored, [(name, bounds) for name in names]):
            _show(reported)
            found += len(reported.stories)
    sys.stdout.write(f"\n{found or 'no'} broken laws\n")
    return 1 if found else 0


def _explored(task: tuple[str, Bounds]) -> Listing:
    quietly()
    name, bounds = task
    with Exploration(FLOWS[name], bounds) as exploration:
        seen = exploration.explore()
        stories = tuple(tuple(describe(exploration, finding)) for finding in seen.findings)
    return Listing(replace(seen, findings=[]), stories)


def _show(reported: Listing) -> None:
    seen = reported.seen
    how = "yes" if seen.is_exhausted else "no: a law is broken" if reported.stories else "no: cut at the limit"
    speed = seen.moves / max(seen.seconds, 0.001)
    sys.stdout.write(
        f"{seen.flow:18}{seen.places:>10,}{seen.moves:>11,}{seen.unusual:>8}{seen.seconds:>9.1f}{speed:>9,.0f}  {how}\n"
    )
    for story in reported.stories:
        sys.stdout.write("\n" + "\n".join(story) + "\n\n")
    sys.stdout.flush()


def _play(name: str, bounds: Bounds, story: Sequence[str]) -> int:
    quietly()
    with Exploration(FLOWS[name], bounds) as exploration:
        places, broken = replay(exploration, story)
        for step, place in zip(["at first", *steps_of(story)], places, strict=False):
            sys.stdout.write(f"{step}\n      {moment(exploration.system, place)}\n")
    sys.stdout.write(f"{broken or 'no law is broken'}\n")
    return 1 if broken else 0
