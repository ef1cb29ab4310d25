"""Fill marked blocks of pages from `benchmarks/results.json`.

A block is what stands between `<!-- figures: NAME -->` and `<!-- /figures -->`. Figures appear nowhere else.
"""

import re
from collections.abc import Callable
from statistics import median
from typing import Any

from page_parts import ROOT, page, prose, table

from benchmarks.promises import PROMISES, Promise
from benchmarks.support.figures import Results
from benchmarks.support.figures import shown as number

BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n)(.*?)(<!-- /figures -->)", re.DOTALL)
UNMEASURED = "not measured yet"
#: Load of the machine before a run, above which durations can't be trusted.
QUIET_LOAD = 0.5
#: The calls in whose number the capacity of Redis is given: duration in seconds, and events of each (count).
CALL_S, CALL_EVENTS = 300, 20


def filled(name: str) -> str:
    """Return a page with its blocks as the results file has them now."""
    results = Results.read()
    return BLOCK.sub(lambda at: f"{at[1]}{BLOCKS[at[2]](results)}\n{at[4]}", (ROOT / name).read_text("utf-8"))


def runs_page() -> str:
    """Return the page of the runs that the figures are of."""
    intro = prose("The commits and machines of the figures in [performance](../performance.md).")
    return page("benchmarks/results.json", "# Runs\n", intro, _when(Results.read()))


def _caveats(run: dict[str, Any]) -> str:
    found = "" if run["size"] == "full" else " **A short run, to be repeated in full.**"
    if run["load_before"] > QUIET_LOAD:
        found += f" **The machine also did other work (load {run['load_before']}), so durations are longer.**"
    return found


def _when(results: Results) -> str:
    names: dict[str, list[str]] = {}
    runs = {}
    for name, one in results.benchmarks.items():
        run = one["run"]
        names.setdefault(run["date"], []).append(name)
        runs[run["date"]] = run
    lines = [
        f"- Commit `{run['commit']}`, {date[:10]}, seed {run['seed']}: {', '.join(names[date])}.{_caveats(run)}"
        for date, run in sorted(runs.items())
    ]
    # One line for each machine.
    for run in runs.values():
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        lines.append(f"- {run['machine']}; {versions}.")
    return "\n".join(dict.fromkeys(lines)) or f"- {UNMEASURED}"


def _measured(results: Results, promise: Promise) -> str:
    value = promise.value(results)
    if value is None:
        return UNMEASURED
    rounds = promise.rounds(results)
    found = f"{number(value)} {promise.unit}".strip().replace(" %", "%")
    least, most = number(min(rounds)), number(max(rounds))
    shown = found if least == most else f"{found} ({least} to {most})"
    return shown if promise.is_kept(results) else f"{shown} **missed**"


def _figures(results: Results) -> str:
    rows = []
    for promise in PROMISES:
        others = {label: promise.value(results, figure) for label, figure in promise.others}
        compared = ", ".join(f"{label}: {number(value)}" for label, value in others.items() if value is not None)
        rows.append((promise.label, promise.bound, _measured(results, promise), compared))
    return table(("Figure", "Promise", "Median of the rounds (least to most)", "For comparison"), rows).rstrip()


def _readme(results: Results) -> str:
    rows = []
    for label, benchmark, figure in (
        ("Silence that Conferral adds to a conversion", "silence", "added."),
        ("Command published to REST request sent, idle", "latency", "command_"),
    ):
        p50, p99 = (results.rounds(benchmark, f"{figure}{share}_ms") for share in ("p50", "p99"))
        shown = f"{number(median(p50))} ms median, {number(median(p99))} ms p99" if p50 and p99 else UNMEASURED
        rows.append((label, shown))
    run = results.run_of("latency")
    when = f"`make bench` at commit `{run['commit']}`, {run['machine']}.{_caveats(run)}" if run else UNMEASURED
    return f"{when} Run it on your own hardware.\n\n{table(('Measurement', 'Result'), rows)}".rstrip()


def _endurance(results: Results) -> str:
    measured = results.benchmarks.get("endurance", {}).get("figures", {})
    found = {name: median(rounds) for name, rounds in measured.items()}
    if not found:
        return f"A worker killed under a steady load: {UNMEASURED}."
    growth = {name: number(found[f"{name}_growth_times"]) for name in ("cpu_us", "workers_bytes", "redis_bytes")}
    return (
        f"{found['sessions_count']:,.0f} live sessions, {number(found['events_per_s'])} events per second, one of two "
        f"workers killed in the middle: in the last third, an event cost {growth['cpu_us']} times as much CPU as in "
        f"the first, workers used {growth['workers_bytes']} times as much memory, and Redis {growth['redis_bytes']} "
        f"times. Dead letters: {found['dead_letters_count']:.0f}."
    )


def _redis(results: Results) -> str:
    """What one primary carries, at half a core."""
    if not (rounds := results.rounds("redis_cpu", "live_event_us")):
        return f"A live event: {UNMEASURED}."
    event_us = median(rounds)
    events_per_s = 0.5e6 / event_us
    return (
        f"Half a core of Redis carries {events_per_s:,.0f} events a second, at {number(event_us)} µs for a live one: "
        f"{events_per_s * CALL_S / CALL_EVENTS:,.0f} calls at once, if each lasts {CALL_S // 60} minutes and has "
        f"{CALL_EVENTS} events."
    )


def _simulation(results: Results) -> str:
    run = results.run_of("simulation")
    if not run:
        return UNMEASURED
    rows = []
    for world in ("seed_0", "seed_1", "seed_2", "calm"):

        def value(figure: str, world: str = world) -> str:
            return number(median(results.rounds("simulation", f"{world}.{figure}")))

        seed = f"{median(results.rounds('simulation', f'{world}.seed')):.0f}"
        rows.append((
            f"{seed}, no faults" if world == "calm" else seed,
            f"{value('sessions')}, {value('call_hours')} h",
            ", ".join(value(what) for what in ("stranded", "double_dials", "sessions_left")),
            *(", ".join(f"{value(f'{kind}_{share}_s')} s" for share in ("p50", "p99", "longest"))
              for kind in ("alone", "silent", "takeover")),
        ))  # fmt: skip
    head = ("Seed", "Sessions, call hours", "Stranded, dialed twice, left over", "Alone: 50%, 99%, longest",
            "In silence with others: 50%, 99%, longest", "Takeover: 50%, 99%, longest")  # fmt: skip
    return f"Commit `{run['commit']}`, {run['date'][:10]}.\n\n{table(head, rows)}".rstrip()


BLOCKS: dict[str, Callable[[Results], str]] = {
    "readme": _readme,
    "figures": _figures,
    "endurance": _endurance,
    "redis": _redis,
    "simulation": _simulation,
}
