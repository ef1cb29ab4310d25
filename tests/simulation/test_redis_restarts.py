"""Redis restarts again and again, and may lose its last second: every dial is sent, and none twice."""

import pytest

from tests.simulation.__main__ import play
from tests.simulation.plan import CALM, Plan
from tests.simulation.report import describe

WORLD = CALM | {"noise": 0.0, "rest_latency_s": (0.02, 0.3)}


@pytest.mark.parametrize(
    ("restarts", "every_s", "seed"),
    [
        pytest.param("redis_restarted_every_s", 15.0, 91),
        pytest.param("redis_restarted_every_s", 60.0, 92, marks=pytest.mark.soak),
        pytest.param("redis_loses_writes_every_s", 15.0, 93, marks=pytest.mark.soak),
        pytest.param("redis_loses_writes_every_s", 60.0, 94, marks=pytest.mark.soak),
    ],
)
def test_restarts_cost_no_dial_and_repeat_none(restarts: str, every_s: float, seed: int) -> None:
    """Calls come in at all moments of the minute after a restart."""
    plan = Plan(seed=seed, sessions=16, arrivals_per_s=4.5 / every_s, **WORLD | {restarts: every_s})
    run = play(plan)
    assert run.counts["Redis restarted"] + run.counts["Redis lost writes"] > 3
    assert not run.problems + run.exceptions, describe(run)
    assert run.counts["dials given up unsent"] == run.counts["double dials"] == 0
