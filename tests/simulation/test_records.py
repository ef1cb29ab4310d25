"""What the state machine decides in a recorded world stays the same.

`python -m tests.simulation.test_records` records again.

A record has one line for each step of a simulated world: state and phase before and after, the effects in their order,
when timers fall due, and the reported statuses of commands. It has no names of our code, so it
outlives renamed functions and rows that moved. A change that decides something else records again and says why.

A second record has what the effects ask for and what changed in the session.
"""

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from conferral.statemachine.step import Step
from conferral.storage.codecs import session_codec
from conferral.worker.consumer import batch
from tests.simulation.__main__ import play
from tests.simulation.plan import Plan
from tests.simulation.report import describe

FOLDER = Path(__file__).with_name("records")
# The world was recorded without limits.
PLAN = Plan(
    seed=101,
    sessions=30,
    arrivals_per_s=2.0,
    talk_s=15.0,
    talk_max_s=60.0,
    noise=2.0,
    hold_limit_s=0,
    dials_per_session=0,
)


def line_of(step: Step, before: Any, now_ms: int) -> str:
    after = step.session
    effects = ",".join(f"{effect.kind}:{effect.target}" for effect in step.effects)
    dues = sorted("cancelled" if one.due_ms is None else f"{one.due_ms - now_ms}" for one in step.timers)
    reports = ",".join(report.status for report in step.reports)
    return (
        f"{before.id} {before.state or '-'}/{before.phase or '-'} -> {after.state}/{after.phase or '-'}"
        f" [{effects}] timers[{','.join(dues)}] commands[{reports}]"
    )


#: Left out of effects, and of what changed: what a line has already, and what changes with each entry. No limit
#: uses the place of a dial.
LEFT_OUT = {
    "effect_id", "session_id", "read_version", "timers", "version", "facts_version", "updated_at", "seen", "call_token",
    "history", "place",
}  # fmt: skip
#: An effect's id, which follows from the entry that was decided.
EFFECT_ID = re.compile(r"\b[0-9a-f]{20}\b")


def details_of(step: Step, before: Any, _now_ms: int) -> str:
    asked = [
        f"{effect.kind}.{one.name}={value}"
        for effect in step.effects
        for one in fields(effect)
        if one.name not in LEFT_OUT and (value := getattr(effect, one.name)) not in ("", None)
    ]
    old, new = session_codec.encode(before), session_codec.encode(step.session)
    changed = sorted(name for name in {**old, **new} if old.get(name) != new.get(name) and name not in LEFT_OUT)
    return EFFECT_ID.sub("ID", " ".join([before.id, *asked, *(f"{name}={new.get(name)}" for name in changed)]))


@contextmanager
def recorded(describe: Callable[[Step, Any, int], str] = line_of) -> Iterator[list[str]]:
    """Notes each step that a worker decides while the context lasts."""
    lines: list[str] = []
    real = batch.step

    def noted(session: Any, event: Any, now_ms: int, *rest: Any) -> Step:
        step = real(session, event, now_ms, *rest)
        lines.append(describe(step, session, now_ms))
        return step

    batch.step = noted
    try:
        yield lines
    finally:
        batch.step = real


def record_world() -> dict[Path, list[str]]:
    """The lines of both records, by file, of a world in which no law was broken."""
    with recorded() as lines, recorded(details_of) as details:
        run = play(PLAN)
    assert not run.problems, describe(run)
    assert not run.exceptions, describe(run)
    return {FOLDER / "steps.txt.gz": lines, FOLDER / "details.txt.gz": details}


def test_a_recorded_world_is_decided_as_before() -> None:
    for file, found in record_world().items():
        compare(file, found)


def compare(file: Path, found: list[str]) -> None:
    expected = gzip.decompress(file.read_bytes()).decode().splitlines()
    different = [number for number, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]]
    if different:
        number = different[0]
        raise AssertionError(f"step {number} of {file.name} was\n{expected[number]}\nand is\n{found[number]}")
    assert len(found) == len(expected)


if __name__ == "__main__":
    for file, lines in record_world().items():
        file.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
