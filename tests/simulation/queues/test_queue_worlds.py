"""A team's callers wait in order, none is forgotten, and no agent is rung for two: through all that goes wrong."""

from typing import Any

import pytest

from tests.simulation.__main__ import play
from tests.simulation.plan import CALM, Plan
from tests.simulation.report import describe

#: What goes wrong: workers die and stand still, so that two offer for a moment, and answers are lost.
FAULTS = {
    "worker_killed_every_s": 40.0, "worker_paused_every_s": 60.0, "webhooks_killed_every_s": 60.0,
    "callback_loss": 0.05, "callback_duplication": 0.1, "callback_delay_s": (0.0, 1.0), "lone_sweeps": 3,
    "silent_max_s": 90.0,
}  # fmt: skip
AWAY = FAULTS | {"redis_restarted_every_s": 200.0, "redis_away_s": (30.0, 30.0)}


def stands(plan: Plan) -> None:
    run = play(plan)
    assert run.counts["offers"] > plan.sessions / 4, "hardly anyone waited"
    assert run.counts["callers in a queue at once"] > plan.agents / 2
    assert not run.problems + run.exceptions, describe(run)


@pytest.mark.soak
def test_a_small_team_without_faults() -> None:
    """Agents reject and miss calls, their browsers crash, and callers hang up."""
    stands(Plan(seed=1, sessions=24, agents=4, arrivals_per_s=0.5, talk_s=25.0, **CALM | {"noise": 0.0}))


@pytest.mark.soak
def test_an_agent_alone_whose_browser_crashes() -> None:
    """Who waits then goes on after a minute."""
    stands(Plan(seed=1, sessions=24, agents=1, arrivals_per_s=0.05, talk_s=15.0, **CALM | {"noise": 0.0}))


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    "seed, changes",
    [(1, CALM), (1, FAULTS), (2, FAULTS), (3, AWAY)],
    ids=["calm", "faults-1", "faults-2", "redis-away"],
)
def test_a_large_team(seed: int, changes: dict[str, Any]) -> None:
    stands(Plan(seed=seed, sessions=300, agents=30, arrivals_per_s=0.9, **changes | {"noise": 0.0}))
