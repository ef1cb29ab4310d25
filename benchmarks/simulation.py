"""What do callers hear in the simulated world of docs/reliability.md?"""

import asyncio
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import active_children, get_context
from random import Random
from statistics import median

from redis.asyncio import Redis

from benchmarks.support import machine
from benchmarks.support.figures import Figures, percentile
from tests.simulation.__main__ import play
from tests.simulation.plan import CALM, Plan

#: One that no one chose follows: the first six hex digits of the commit's hash.
SEEDS = (31, 1032)
ARRIVALS_PER_S = 5.0
#: The most that any world may show, and the world without faults.
LIMITS_S = {"alone_p99_s": 17.0, "alone_longest_s": 45.0, "silent_p99_s": 5.0, "silent_longest_s": 33.0}
#: An agent at the gate has 5 s to press a key, and Twilio then fetches our next document.
CALM_ALONE_MAX_S = 5.5
#: The most that the median of the worlds with faults may be.
MEDIANS_MAX_S = {"alone_p99_s": 12.5, "silent_p99_s": 4.5, "silent_longest_s": 20.0}


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    sessions: int
    #: Sessions of the world without faults.
    calm_sessions: int


SIZES = {
    "full": Size(sessions=10_000, calm_sessions=1_000),
    "quick": Size(sessions=200, calm_sessions=100),
    "tiny": Size(sessions=10, calm_sessions=10),
}


async def measure(size: Size, _chance: Random, _redis_url: str, _redis: "Redis[bytes]") -> Figures:
    """Play each seed with faults, and the commit's without; several at once, since their time is virtual."""
    fresh = int(machine.commit()[:6], 16)
    plans = {
        f"seed_{number}": Plan(seed=seed, sessions=size.sessions, arrivals_per_s=ARRIVALS_PER_S)
        for number, seed in enumerate((*SEEDS, fresh))
    }
    calm = Plan(seed=fresh, sessions=size.calm_sessions, arrivals_per_s=ARRIVALS_PER_S)
    plans["calm"] = replace(calm, **CALM)
    figures, loop = Figures(), asyncio.get_running_loop()
    with ProcessPoolExecutor(
        max_workers=len(machine.ALLOWED_CORES) or None,  # by default one for each core to which this process is pinned
        mp_context=get_context("spawn"),
        initializer=machine.allow_cores,
        initargs=(machine.ALLOWED_CORES,),
    ) as pool:
        try:
            results = await asyncio.gather(*(loop.run_in_executor(pool, _play, *plan) for plan in plans.items()))
        finally:
            for process in active_children():  # or an interrupted pool would wait until their worlds end
                process.terminate()
    for played in results:
        figures.rounds |= played.rounds
        figures.problems += played.problems
    limits = {f"{name}.{kind}": most for name in plans for kind, most in LIMITS_S.items()}
    limits["calm.alone_longest_s"] = CALM_ALONE_MAX_S
    for name, most in limits.items():
        if (found := figures.rounds[name][0]) > most:
            figures.problems.append(f"{name} is {found:.1f} s, more than {most:g} s")
    for kind, most in MEDIANS_MAX_S.items():
        if (found := median(figures.rounds[f"seed_{number}.{kind}"][0] for number in range(3))) > most:
            figures.problems.append(f"the median of {kind} is {found:.1f} s, more than {most:g} s")
    return figures


def _play(name: str, plan: Plan) -> Figures:
    figures, run = Figures(), play(plan)
    figures.add(f"{name}.seed", plan.seed)
    figures.add(f"{name}.sessions", run.counts["sessions judged"])
    figures.add(f"{name}.call_hours", run.call_s / 3600)
    for kind, values_s in (("alone", run.lone_s), ("silent", run.silent_s), ("takeover", run.taken_over_s)):
        for share, unit in ((0.5, "p50_s"), (0.99, "p99_s"), (1.0, "longest_s")):
            figures.add(f"{name}.{kind}_{unit}", percentile(values_s, share))
    for what in ("stranded", "double dials", "sessions left"):
        figures.add(f"{name}.{what.replace(' ', '_')}", run.counts[what])
    figures.problems += [f"seed {plan.seed}: {problem}" for problem in (*run.problems, *run.exceptions)]
    return figures
