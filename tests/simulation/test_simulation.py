"""Whole worlds in virtual time: no one stranded, no one dialed twice, nothing left."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.simulation.__main__ import play
from tests.simulation.plan import CALM, HARSH, Plan
from tests.simulation.report import describe, figures

Tell = Callable[[str], None]


def stands(plan: Plan, tell_figure: Tell) -> None:
    """Plays a plan; its figures are printed at the end, and all of it if something was wrong."""
    run = play(plan)
    for number, line in enumerate(figures(run)):
        tell_figure(f"{number}. {line}")
    assert run.counts["sessions judged"] >= plan.sessions * 0.8, "hardly anybody has called"
    assert not run.problems, describe(run)
    assert not run.exceptions, describe(run)


def test_forty_sessions(tell_figure: Tell) -> None:
    stands(Plan(seed=11, sessions=40, arrivals_per_s=3.0, talk_s=15.0, talk_max_s=60.0), tell_figure)


def test_odd_answers_leave_no_command_without_an_outcome(tell_figure: Tell) -> None:
    stands(replace(Plan(seed=71, sessions=15, arrivals_per_s=1.0, talk_s=20.0, talk_max_s=60.0, rest_odd=0.05,
                        noise=2.0), **CALM | {"callback_loss": 0.2}), tell_figure)  # fmt: skip


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [81, 82, 83])
def test_worlds_with_odd_answers(seed: int, tell_figure: Tell) -> None:
    stands(Plan(seed=seed, sessions=200, arrivals_per_s=2.0, rest_odd=0.05, noise=2.0), tell_figure)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_a_thousand_sessions_where_nothing_goes_wrong(tell_figure: Tell) -> None:
    stands(replace(Plan(seed=21, sessions=1_000, arrivals_per_s=5.0, noise=2.0), **CALM), tell_figure)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_ten_thousand_sessions(tell_figure: Tell) -> None:
    stands(Plan(seed=31, sessions=10_000, arrivals_per_s=5.0, rest_odd=0.01), tell_figure)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [41, 42, 43])
def test_harsher_worlds(seed: int, tell_figure: Tell) -> None:
    stands(replace(Plan(seed=seed, sessions=200, arrivals_per_s=2.0), **HARSH), tell_figure)  # type: ignore[arg-type]


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [61, 62, 63])
def test_worlds_in_which_redis_forgets_its_last_second(seed: int, tell_figure: Tell) -> None:
    stands(Plan(seed=seed, sessions=200, arrivals_per_s=2.0, redis_rewound_every_s=60.0), tell_figure)
