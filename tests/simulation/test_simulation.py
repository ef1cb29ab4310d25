"""Whole worlds in virtual time: no one stranded, no one dialed twice, nothing left."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.simulation.__main__ import play
from tests.simulation.plan import CALM, HARSH, Plan
from tests.simulation.report import describe, figures

Report = Callable[[str], None]


def stands(plan: Plan, report_figure: Report) -> None:
    """Plays a plan; its figures are printed at the end, and all of it if something was wrong."""
    run = play(plan)
    for number, line in enumerate(figures(run)):
        report_figure(f"{number}. {line}")
    assert run.counts["sessions judged"] >= plan.sessions * 0.8, "hardly anybody has called"
    assert not run.problems, describe(run)
    assert not run.exceptions, describe(run)


def test_forty_sessions(report_figure: Report) -> None:
    stands(Plan(seed=11, sessions=40, arrivals_per_s=3.0, talk_s=15.0, talk_max_s=60.0), report_figure)


def test_odd_answers_leave_no_command_without_an_outcome(report_figure: Report) -> None:
    stands(replace(Plan(seed=71, sessions=15, arrivals_per_s=1.0, talk_s=20.0, talk_max_s=60.0, rest_odd=0.05,
                        noise=2.0), **CALM | {"callback_loss": 0.2}), report_figure)  # fmt: skip


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [81, 82, 83])
def test_worlds_with_odd_answers(seed: int, report_figure: Report) -> None:
    stands(Plan(seed=seed, sessions=200, arrivals_per_s=2.0, rest_odd=0.05, noise=2.0), report_figure)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_a_thousand_sessions_where_nothing_goes_wrong(report_figure: Report) -> None:
    stands(replace(Plan(seed=21, sessions=1_000, arrivals_per_s=5.0, noise=2.0), **CALM), report_figure)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_ten_thousand_sessions(report_figure: Report) -> None:
    stands(Plan(seed=31, sessions=10_000, arrivals_per_s=5.0, rest_odd=0.01), report_figure)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [41, 42, 43])
def test_harsher_worlds(seed: int, report_figure: Report) -> None:
    stands(replace(Plan(seed=seed, sessions=200, arrivals_per_s=2.0), **HARSH), report_figure)  # type: ignore[arg-type]


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [61, 62, 63])
def test_worlds_in_which_redis_forgets_its_last_second(seed: int, report_figure: Report) -> None:
    stands(Plan(seed=seed, sessions=200, arrivals_per_s=2.0, redis_rolled_back_every_s=60.0), report_figure)
