"""Connections to Redis break at every point of every long-lived task, with whatever error the library may raise.

The points are found, not listed: each place from which a worker or the webhooks ask Redis fails once for each of some
errors, while calls come in, are steered and end.
"""

import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.__main__ import play
from tests.simulation.plan import CALM, Plan
from tests.simulation.redis_network import Network
from tests.simulation.report import describe
from tests.support.strange_errors import ANY_ERRORS

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = tuple(f"{ROOT / 'conferral' / package}/" for package in ("worker", "webhooks", "storage", "telephony"))
#: How often each place fails (count).
TIMES = 3
#: What is at fault is what was sent, or Redis's own refusal: no connection has broken.
ERRORS = [make for name, make in ANY_ERRORS.items() if name not in ("DataError", "RedisError")]
#: The files of a worker's long-lived tasks, each of which asks Redis.
TASKS = {"ownership.py", "partition.py", "process.py", "router.py", "sweeper.py"}


class Breaks:
    """Raises at each place that it has not raised at often enough."""

    def __init__(self) -> None:
        self.places: Counter[tuple[str, ...]] = Counter()
        self.errors: Iterator[Any] = cycle(ERRORS)
        self.files: set[str] = set()

    def __call__(self) -> None:
        place: list[str] = []
        frame = inspect.currentframe()
        while frame is not None:
            if frame.f_code.co_filename.startswith(OURS):
                place.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
                self.files.add(Path(frame.f_code.co_filename).name)
            frame = frame.f_back
        key = tuple(place)
        self.places[key] += 1
        # Not twice in a row: what is repeated at once would find nothing but broken connections.
        if self.places[key] % 3 == 2 and self.places[key] < 3 * TIMES:
            error = next(self.errors)()
            raise error


def test_any_error_at_any_point_counts_as_redis_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    breaks, make = Breaks(), Network.client

    def client(self: Network, process: Any, *, blocking: bool = False) -> Any:
        made = make(self, process, blocking=blocking)
        if process is not None:
            made.breaks = breaks
        return made

    monkeypatch.setattr(Network, "client", client)
    plan = replace(Plan(seed=5, sessions=12, arrivals_per_s=1.0, talk_s=15.0, talk_max_s=40.0), **CALM)
    run = play(plan)
    assert not run.exceptions, describe(run)
    assert not run.problems, describe(run)
    assert len(breaks.places) > 40
    assert breaks.files >= TASKS, TASKS - breaks.files
