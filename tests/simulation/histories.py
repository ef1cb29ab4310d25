"""Records histories for `tests/statemachine/test_histories.py`: `python -m tests.simulation.histories`.

Plays worlds, and keeps the few sessions that together show almost all that was seen in any: events in each state,
effects, changed fields, reasons, and what functions returned.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from conferral.statemachine.events import Event
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Session
from conferral.statemachine.step import Step
from conferral.storage.codecs import event_codec
from conferral.worker.partition import batch
from tests.simulation.__main__ import play
from tests.simulation.plan import HARSH, Plan
from tests.statemachine.histories import Decision, History, save

PLANS = (
    Plan(seed=101, sessions=250, arrivals_per_s=2.0, talk_s=15.0, talk_max_s=60.0, noise=2.0, hold_limit_s=0),
    Plan(seed=102, sessions=250, arrivals_per_s=2.0, talk_s=15.0, talk_max_s=60.0, noise=1.0),
    Plan(seed=103, sessions=250, arrivals_per_s=2.0, talk_s=20.0, talk_max_s=90.0, **HARSH),  # type: ignore[arg-type]
)
#: Of all histories together (count): each takes about 0.1 ms to check.
DECISIONS_MAX = 2_500


class Recorder:
    """What a worker decided, by session, as far as each decision follows from the one before."""

    def __init__(self) -> None:
        self.histories: dict[str, History] = {}
        self._befores: dict[str, list[Session]] = defaultdict(list)
        self._latest: dict[str, Session] = {}
        self._broken: set[str] = set()
        self.shapes: dict[str, list[set[str]]] = defaultdict(list)

    def note(self, before: Session, event: Event, now_ms: int, policy: Policy, taken: Step, returned: set[str]) -> None:
        """Add a decision; one that is made again replaces the first."""
        name, befores = event.session_id, self._befores[event.session_id]
        if name in self._broken:
            return
        if before != self._latest.get(name, Session(name)):
            again = next((at for at, one in enumerate(befores) if one == before), None)
            if again is None:
                self._broken.add(name)  # after a loss of Redis
                return
            del befores[again:], self.histories[name].decisions[again:], self.shapes[name][again:]
        history = self.histories.setdefault(name, History(name, policy))
        copied = event_codec.decode(event_codec.encode(event), event.entry_id)
        if copied != event or history.policy != policy:
            self._broken.add(name)
            return
        befores.append(before)
        history.decisions.append(Decision(now_ms, copied))
        self.shapes[name].append(_shapes(before, event, taken) | returned)
        if taken.session.version != before.version:
            self._latest[name] = taken.session


def _shapes(before: Session, event: Event, taken: Step) -> set[str]:
    """What a decision shows, as words that other decisions may share."""
    after, transfer = taken.session, before.transfer
    place = f"{event.name} {before.state}/{before.phase}/{transfer.stage if transfer else ''}"
    changed = (name for name in Session.__struct_fields__ if getattr(before, name) != getattr(after, name))
    return {
        f"{place} {taken.kind} {taken.reason}",
        f"{place} -> {after.state}/{after.phase}/{after.transfer.stage if after.transfer else ''}",
        *(f"{event.name} {effect.kind} {effect.party.partition('-')[0]} {effect.detail}" for effect in taken.effects),
        *(f"{event.name} {timer.timer} {timer.due_ms is None}" for timer in taken.timers),
        *(f"{event.name} {report.status} {report.reason}" for report in taken.reports),
        *(f"{event.name} {name}" for name in changed),
    }


@contextmanager
def returning() -> Iterator[set[str]]:
    """Collect where functions of the state machine return while the context lasts, and whether it is something."""
    returned: set[str] = set()

    def note(frame: FrameType, what: str, value: object) -> None:
        if what == "return" and "/statemachine/" in frame.f_code.co_filename:
            returned.add(f"{frame.f_code.co_qualname} {frame.f_lineno} {bool(value)}")

    sys.setprofile(note)
    try:
        yield returned
    finally:
        sys.setprofile(None)


@contextmanager
def recording() -> Iterator[Recorder]:
    """Note what workers decide while the context lasts."""
    recorder, real = Recorder(), batch.step

    def noted(before: Session, event: Event, now_ms: int, policy: Policy) -> Step:
        with returning() as returned:
            taken = real(before, event, now_ms, policy)
        recorder.note(before, event, now_ms, policy, taken, returned)
        return taken

    batch.step = noted
    try:
        yield recorder
    finally:
        batch.step = real


def choose(recorders: list[Recorder]) -> list[History]:
    """The histories that together show most, up to `DECISIONS_MAX`: each time the one that adds most for its length."""
    left = {
        (number, name): set().union(*shapes)
        for number, recorder in enumerate(recorders)
        for name, shapes in recorder.shapes.items()
    }
    chosen: list[History] = []
    seen: set[str] = set()

    def gain(one: tuple[int, str]) -> float:
        return len(left[one] - seen) / (5 + len(recorders[one[0]].histories[one[1]].decisions))

    while left and sum(len(one.decisions) for one in chosen) < DECISIONS_MAX:
        best = max(left, key=gain)
        if not left[best] - seen:
            break
        seen |= left.pop(best)
        chosen.append(recorders[best[0]].histories[best[1]])
    sys.stdout.write(f"{len(chosen)} histories, {sum(len(one.decisions) for one in chosen)} decisions, "
                     f"{len(seen)} of {len(seen.union(*left.values()))} shapes\n")  # fmt: skip
    return chosen


def main() -> None:
    """Play, choose, and save."""
    recorders: list[Any] = []
    for plan in PLANS:
        with recording() as recorder:
            run = play(plan)
        assert not run.problems and not run.exceptions, f"a world with seed {plan.seed} broke a law"  # noqa: PT018
        recorders.append(recorder)
    save(choose(recorders))


if __name__ == "__main__":
    main()
