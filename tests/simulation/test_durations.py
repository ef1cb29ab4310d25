"""What outcomes report in seconds is what the model of Twilio saw."""

from collections.abc import Mapping
from typing import Any

import pytest

from conferral.storage.codecs.text_codec import from_iso
from tests.simulation.__main__ import play
from tests.simulation.durations import deviations
from tests.simulation.plan import CALM, Plan
from tests.simulation.report import describe
from tests.simulation.world_settings import world_settings

#: How late callbacks come at most, seconds, in any order, and twice; none is lost.
PROMPT_S, LATE_S = 0.2, 5.0


def delayed(most_s: float) -> dict[str, Any]:
    """A calm world whose callbacks come late."""
    late = {"callback_delay_s": (0.0, most_s), "callback_duplication": 0.2, "rest_latency_s": (0.02, 0.1)}
    return CALM | late


#: Summed over legs, each of which may deviate.
SUMS = frozenset({"participant", "held", "alone"})


def check_parts(outcome: Mapping[str, str], legs: int) -> None:
    """The parts of a session or transfer are none of them negative or longer than all of it."""
    length_s = (from_iso(outcome["ended_at"]) - from_iso(outcome["started_at"])) / 1000 + 0.001
    part = {name: float(value) for name, value in outcome.items() if name.endswith("_s") and value}
    assert all(value >= 0 for value in part.values()), outcome
    whole = [value for name, value in part.items() if name not in ("participant_s", "held_s")]
    assert max(whole, default=0.0) <= length_s, outcome
    assert part.get("bridged_s", 0.0) + part.get("conference_s", 0.0) <= length_s, outcome
    assert part.get("participant_s", 0.0) <= legs * length_s, outcome
    assert part.get("held_s", 0.0) <= part.get("participant_s", 0.0) + 0.001, outcome


def check_world(plan: Plan, limit_s: float) -> None:
    """Every duration deviates by at most `limit_s`; a sum by as much for each leg or span."""
    run = play(plan)
    assert not run.problems, describe(run)
    assert len(run.compared) >= plan.sessions
    for outcome, measured in run.compared:
        legs = len(measured.calls)
        check_parts(outcome, legs)
        for one in deviations(outcome, measured):
            most = max(one.spans, legs if one.name in SUMS else 1)
            assert one.by_s <= limit_s * most, (plan.seed, one, outcome)


#: How long a takeover lasts at most where Redis fails as well, seconds.
TAKEOVER_S = 5.0
#: Seeds of worlds, and how many call in each: a few in every run, since these are the only whole worlds that it plays.
WORLDS = pytest.mark.parametrize(
    "seed, sessions",
    [(31, 20), pytest.param(32, 100, marks=pytest.mark.soak), pytest.param(33, 100, marks=pytest.mark.soak)],
)


@WORLDS
@pytest.mark.parametrize("late_s, limit_s", [(PROMPT_S, 1.0), (LATE_S, 1.0 + LATE_S)])
def test_durations_are_exact_within_a_second_or_as_much_as_callbacks_are_late(
    seed: int, sessions: int, late_s: float, limit_s: float
) -> None:
    check_world(Plan(seed=seed, sessions=sessions, arrivals_per_s=2.0, **delayed(late_s)), limit_s)


@WORLDS
def test_durations_are_exact_within_a_sweep_interval_where_callbacks_and_workers_were_lost(
    seed: int, sessions: int
) -> None:
    """And within a takeover, since a worker may be killed just before it sweeps."""
    plan = Plan(seed=seed, sessions=sessions, arrivals_per_s=2.0)
    check_world(plan, world_settings(plan, "https://conferral.example.com").sweep_interval_s + TAKEOVER_S)
