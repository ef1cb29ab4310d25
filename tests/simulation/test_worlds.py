"""Whole worlds in virtual time: nobody stranded, nobody dialled twice, nothing left."""

import sys

import pytest

from tests.simulation.__main__ import play
from tests.simulation.plan import CALM, HARSH, Plan
from tests.simulation.report import describe


def stands(plan: Plan) -> None:
    """Plays a plan; what it has shown is printed, and all of it when something was wrong."""
    run = play(plan)
    shown = describe(run)
    sys.stderr.write(f"\n{shown}\n")
    assert run.counts["sessions judged"] >= plan.sessions * 0.8, "hardly anybody has called"
    assert not run.problems, shown
    assert not run.exceptions, shown


def test_a_hundred_sessions() -> None:
    stands(Plan(seed=11, sessions=100, arrivals_per_s=3.0, talk_s=20.0, talk_max_s=90.0))


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_a_thousand_sessions_where_nothing_goes_wrong() -> None:
    stands(Plan(seed=21, sessions=1_000, arrivals_per_s=5.0, noise=2.0, **CALM))


@pytest.mark.soak
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("seed", [31, 32])
def test_ten_thousand_sessions(seed: int) -> None:
    stands(Plan(seed=seed, sessions=10_000, arrivals_per_s=5.0))


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", range(41, 51))
def test_harsher_worlds(seed: int) -> None:
    stands(Plan(seed=seed, sessions=200, arrivals_per_s=2.0, **HARSH))


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", range(61, 67))
def test_worlds_in_which_redis_forgets_its_last_second(seed: int) -> None:
    stands(Plan(seed=seed, sessions=200, arrivals_per_s=2.0, redis_rewound_every_s=60.0))
