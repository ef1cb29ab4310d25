"""What a run has shown, in words."""

from benchmarks.support.figures import percentile
from conferral.statemachine.table import TABLE
from tests.simulation.run_result import Run


def repeat_command(run: Run) -> str:
    """How the run is played again."""
    settings = " ".join(f"--set {setting}" for setting in run.plan.settings())
    system = f' WORLD="{settings}"' if settings else ""
    return f"make simulate SEED={run.plan.seed} SESSIONS={run.plan.sessions}{system}"


def describe(run: Run) -> str:
    """The figures of a run, and what was wrong."""
    counts = run.counts
    lines = [
        (
            f"seed {run.plan.seed}: {counts['sessions judged']} sessions, {run.virtual_s / 3600:.2f} h of virtual "
            f"time, {run.call_s / 3600:.1f} h of calls, {run.real_s:.1f} s real"
        ),
        (
            f"log entries {counts['log entries']}, commits {counts['commits']}, "
            f"callbacks of the loop {counts['callbacks of the loop']}"
        ),
        ", ".join(
            f"{name}: {counts[name]}" for name in ("stranded", "double dials", "sessions left", "results not judged")
        ),
        _spread("alone for (s)", run.lone_s) + f"; {run.lone_max_s:.0f} at most",
        _spread("in company, in silence for (s)", run.silent_s) + f"; {run.plan.silent_max_s:.0f} at most",
        _spread("partitions taken over after (s)", run.taken_over_s),
        _spread("and where something else went wrong meanwhile (s)", run.taken_over_disturbed_s),
        "a slot within 1 s: "
        + ", ".join(f"{one} {run.slots_in_time(one, 1.0):.1%}" for one in ("change", "read", "background-read")),
        f"nothing left {run.ending_s:.0f} s after the last caller hung up",
        f"rows of the table taken: {len(TABLE) - len(run.rows_never_taken)} of {len(TABLE)}",
    ]
    lines += [f"  {name}: {count}" for name, count in sorted(counts.items())]
    lines += [f"EXCEPTION {words}" for words in run.exceptions[:20]]
    lines += [f"PROBLEM {problem}" for problem in run.problems[:40]]
    if run.problems or run.exceptions:
        lines += [*run.stories, f"{len(run.problems)} problems; repeat with: {repeat_command(run)}"]
    return "\n".join(lines)


def figures(run: Run) -> list[str]:
    """What a run has shown, in a few lines."""
    shown = describe(run).splitlines()[:10]
    faults = (
        "callbacks", "callbacks lost", "callbacks doubled", "rest GET", "rest POST", "workers killed", "workers paused",
        "webhooks killed", "Redis restarted", "Redis lost writes", "innocent entries put aside",
        "sessions decided again",
    )  # fmt: skip
    return [*shown, ", ".join(f"{name}: {run.counts[name]}" for name in faults if run.counts[name])]


def _spread(name: str, values: list[float]) -> str:
    shares = ", ".join(f"p{share * 100:g} {percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99, 0.999))
    return f"{name}: {shares}, longest {values[-1] if values else 0.0:.1f} (of {len(values)})"
