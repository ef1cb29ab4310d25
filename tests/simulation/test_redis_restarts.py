"""Redis restarts again and again, and may lose its last second: every dial is sent, and none twice."""

import pytest

from tests.simulation.__main__ import play
from tests.simulation.plan import CALM, Plan
from tests.simulation.report import describe

WORLD = CALM | {"noise": 0.0, "rest_latency_s": (0.02, 0.3)}


@pytest.mark.parametrize(
    ("restarts", "seed"),
    [
        pytest.param("redis_restarted_every_s", 91),
        pytest.param("redis_restarted_every_s", 92, marks=pytest.mark.soak),
        pytest.param("redis_rolled_back_every_s", 93, marks=pytest.mark.soak),
        pytest.param("redis_rolled_back_every_s", 94, marks=pytest.mark.soak),
    ],
)
def test_restarts_cost_no_dial_and_repeat_none(restarts: str, seed: int) -> None:
    plan = Plan(seed=seed, sessions=16, arrivals_per_s=0.3, **WORLD | {restarts: 15.0})
    run = play(plan)
    assert run.counts["Redis restarted"] + run.counts["Redis rolled back"] > 3
    assert not run.problems + run.exceptions, describe(run)
    assert run.counts["dials given up unsent"] == run.counts["double dials"] == 0
