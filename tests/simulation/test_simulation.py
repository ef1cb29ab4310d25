"""Whole worlds in virtual time: no one stranded, no one dialed twice, nothing left."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.simulation.__main__ import play
from tests.simulation.plan import CALM, HARSH, Plan
from tests.simulation.report import describe, figures

Report = Callable[[str], None]
#: What a run counts of each fault, and the plan's rate of it.
FAULTS = {
    "callbacks lost": "callback_loss",
    "callbacks doubled": "callback_duplication",
    "rest 429": "rest_429",
    "rest 500-before": "rest_500_before",
    "rest 500-after": "rest_500_after",
    "rest cut-before": "rest_cut_before",
    "rest cut-after": "rest_cut_after",
    "workers killed": "worker_killed_every_s",
}


#: The share of sessions whose result need not be judged in worlds without lost callbacks.
NOT_JUDGED_MAX = 0.01


def stands(plan: Plan, report_figure: Report) -> None:
    """Plays a plan; its figures are printed at the end, and all of it if something was wrong."""
    run = play(plan)
    for number, line in enumerate(figures(run)):
        report_figure(f"{number}. {line}")
    assert run.counts["sessions judged"] >= plan.sessions * 0.8, "hardly anybody has called"
    assert not [name for name, rate in FAULTS.items() if getattr(plan, rate) and not run.counts[name]], "all went well"
    if not plan.callback_loss:
        assert run.counts["results not judged"] <= NOT_JUDGED_MAX * run.counts["sessions judged"], describe(run)
    assert not run.problems, describe(run)
    assert not run.exceptions, describe(run)


def worlds(name: str, seeds: range, changes: dict[str, Any]) -> list[Any]:
    """Worlds of 200 sessions, or of as many as the changes say."""
    usual = {"sessions": 200, "arrivals_per_s": 2.0}
    return [pytest.param(Plan(**usual | changes | {"seed": seed}), id=f"{name}-{seed}") for seed in seeds]


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    "plan",
    [
        *worlds("odd-answers", range(81, 84), {"rest_odd": 0.05, "noise": 2.0}),
        *worlds("odd-answers-alone", range(71, 72), CALM | {"rest_odd": 0.05, "noise": 2.0, "callback_loss": 0.2}),
        *worlds("nothing-goes-wrong", range(21, 22), {"sessions": 1_000, "arrivals_per_s": 5.0, "noise": 2.0} | CALM),
        *worlds("harsh", range(41, 44), HARSH),
        *worlds("queues", range(91, 93), {"queues": 1.0, "desks": 1.0}),
        *worlds("redis-forgets-its-last-second", range(61, 64), {"redis_loses_writes_every_s": 60.0}),
    ],
)
def test_larger_worlds(plan: Plan, report_figure: Report) -> None:
    stands(plan, report_figure)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_ten_thousand_sessions(report_figure: Report) -> None:
    stands(Plan(seed=31, sessions=10_000, arrivals_per_s=5.0, rest_odd=0.01), report_figure)
