"""What the state machine decides in recorded worlds stays the same.

`python -m tests.simulation.test_records` records again.

A record has one line for each step of a simulated world: state and phase before and after, the effects in their order,
when timers fall due, and the reported statuses of commands. It has no names of our code, so it
outlives renamed functions and rows that moved. A change that decides something else records again and says why.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conferral.statemachine.step import Step
from conferral.worker.consumer import batch
from tests.simulation.__main__ import play
from tests.simulation.plan import Plan

FOLDER = Path(__file__).with_name("records")
SEEDS = range(101, 121)
#: `make test` plays this one, `make soak` the others.
ALWAYS = 101


def plan(seed: int) -> Plan:
    return Plan(seed=seed, sessions=30, arrivals_per_s=2.0, talk_s=15.0, talk_max_s=60.0, noise=2.0)


def line_of(step: Step, before: Any, now_ms: int) -> str:
    after = step.session
    effects = ",".join(f"{effect.kind}:{effect.target}" for effect in step.effects)
    dues = sorted("cancelled" if one.due_ms is None else f"{one.due_ms - now_ms}" for one in step.timers)
    reports = ",".join(report.status for report in step.reports)
    return (
        f"{before.id} {before.state or '-'}/{before.phase or '-'} -> {after.state}/{after.phase or '-'}"
        f" [{effects}] timers[{','.join(dues)}] commands[{reports}]"
    )


@contextmanager
def recorded() -> Iterator[list[str]]:
    """Notes each step that a worker decides while the context lasts."""
    lines: list[str] = []
    real = batch.step

    def noted(session: Any, event: Any, now_ms: int, *rest: Any) -> Step:
        step = real(session, event, now_ms, *rest)
        lines.append(line_of(step, session, now_ms))
        return step

    batch.step = noted
    try:
        yield lines
    finally:
        batch.step = real


def steps_of(seed: int) -> list[str]:
    with recorded() as lines:
        play(plan(seed))
    return lines


def file_of(seed: int) -> Path:
    return FOLDER / f"seed-{seed}.txt.gz"


@pytest.mark.parametrize(
    "seed", [seed if seed == ALWAYS else pytest.param(seed, marks=pytest.mark.soak) for seed in SEEDS]
)
def test_recorded_worlds_are_decided_as_before(seed: int) -> None:
    expected = gzip.decompress(file_of(seed).read_bytes()).decode().splitlines()
    found = steps_of(seed)
    different = [number for number, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]]
    if different:
        number = different[0]
        raise AssertionError(f"step {number} of seed {seed} was\n{expected[number]}\nand is\n{found[number]}")
    assert len(found) == len(expected)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for one in SEEDS:
        file_of(one).write_bytes(gzip.compress("\n".join(steps_of(one)).encode(), mtime=0))
