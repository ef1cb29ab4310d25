"""Fill marked blocks of pages from `benchmarks/results.json`.

A block is what stands between `<!-- figures: NAME -->` and `<!-- /figures -->`. Figures appear nowhere else.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plots
import sizing

from benchmarks.support.figures import shown as number
from benchmarks.support.results import Figure, Results

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n)(.*?)(<!-- /figures -->)", re.DOTALL)
UNMEASURED = "not measured yet"
#: Load of the machine before a run, above which durations can't be trusted.
QUIET_LOAD = 0.5


def filled(name: str) -> str:
    """Return a page with its blocks as the results file has them now."""
    results = Results.read()

    def fill(match: re.Match[str]) -> str:
        text = BLOCKS[match[2]](results)
        # What a block shows stays until it is measured in full.
        return match[0] if text is None else f"{match[1]}{text}\n{match[4]}"

    return BLOCK.sub(fill, (ROOT / name).read_text("utf-8"))


def _spread(figure: Figure | None, unit: str, factor: float = 1.0) -> str:
    if figure is None:
        return UNMEASURED
    least, most = min(figure.rounds) * factor, max(figure.rounds) * factor
    shown = f"{number(figure.median * factor)} {unit}".strip()
    return shown if number(least) == number(most) else f"{shown} ({number(least)} to {number(most)})"


def _median(figure: Figure | None, unit: str, factor: float = 1.0) -> str:
    return UNMEASURED if figure is None else f"{number(figure.median * factor)} {unit}"


def _when(results: Results) -> str:
    lines = []
    for date, run in sorted(results.runs.items()):
        of_run = {name: one for name, one in results.benchmarks.items() if one["run"] == date}
        names = ", ".join(f"{name} ({one['took_s']} s)" for name, one in of_run.items())
        when = f"{date[:16].replace('T', ' ')} UTC"
        lines.append(f"- {when}, commit `{run['commit']}`, seed {run['seed']}: {names}.{_caveats(run)}")
    # One line for each machine, in the order of the runs.
    return "\n".join([*lines, *dict.fromkeys(map(_machine, results.runs.values()))]) or f"- {UNMEASURED}"


def _machine(run: dict[str, Any]) -> str:
    machine = run["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return f"- {machine['cores']} cores, {machine['processor']}, {machine['memory']}, {machine['system']}; {versions}."


def _caveats(run: dict[str, Any]) -> str:
    load = float(run["load_before"][0])
    found = "" if run["size"] == "full" else " **A short run, to be repeated in full.**"
    if load > QUIET_LOAD:
        found += f" **The machine also did other work (load {load:.1f}), so durations are longer than when idle.**"
    return found


def _readme(results: Results) -> str:
    run = results.run_of("latency")
    if not run:
        return UNMEASURED
    versions = run["versions"]
    when = f"`make bench` on {run['date'][:10]}, {run['machine']['cores']} cores, CPython {versions['CPython']}, "
    rows = []
    for name, benchmark, figure in (
        ("Silence during a conversion, against the local Twilio", "silence", "system.customer"),
        ("Command published to REST request sent, idle system", "latency", "worker"),
    ):
        p50, p99 = (results.figure(benchmark, f"{figure}.{share}_ms") for share in ("p50", "p99"))
        rows.append([name, f"{_median(p50, 'ms')} median, {_median(p99, 'ms')} p99"])
    head = f"{when}Redis {versions['Redis']}.{_caveats(run)} Run it on your own hardware."
    return f"{head}\n\n{sizing.table(['Measurement', 'Result'], rows)}"


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure, and figures to compare it with."""

    label: str
    benchmark: str
    figure: str
    unit: str
    others: Sequence[tuple[str, str]] = ()
    factor: float = 1.0

    def cells(self, results: Results) -> list[str]:
        """Return its cells."""
        shown = _spread(results.figure(self.benchmark, self.figure), self.unit, self.factor)
        others = (f"{name}: {_median(results.figure(self.benchmark, one), self.unit)}" for name, one in self.others)
        return [self.label, shown, ", ".join(others)]


_CPU, _MS, _KB, _TIMES = "µs of CPU", "ms", "KB", "times"
ROWS = (
    Row("Worker: an event of a bridged call", "worker", "ordinary.cpu_us", _CPU, (
        ("taskiq", "taskiq.cpu_us"), ("arq", "arq.cpu_us"), ("only reading and removing it", "reader.cpu_us"),
    )),
    Row("The same, on one core", "worker", "ordinary.core_events_per_s", "events/s"),
    Row("taskiq's CPU for an event, against the worker's", "worker", "ordinary.against_taskiq_times", _TIMES),
    Row("Worker: a conference's callback (join, speech, mute, hold, leave)", "worker", "conference.cpu_us", _CPU),
    Row("Webhooks: a callback", "webhooks", "webhooks.cpu_us", _CPU, (("aiohttp that answers 204", "bare.cpu_us"),)),
    Row("aiohttp's CPU for a request, against webhooks' for a callback", "webhooks", "webhooks.of_bare_cpu_times",
        _TIMES),
    Row("Webhooks: p99 at 80 % of its highest rate", "webhooks", "webhooks.loaded_p99_ms", _MS, (
        ("aiohttp at 80 % of its own", "bare.loaded_p99_ms"),
    )),
    *(Row(f"Command published to REST request sent, idle: {share}", "latency", f"worker.{share}_ms", _MS, (
        ("only reading and sending", f"relay.{share}_ms"), ("taskiq", f"taskiq.{share}_ms"), ("arq", f"arq.{share}_ms"),
    )) for share in ("p50", "p99")),
    *(Row(f"Silence during a conversion: {share}", "silence", f"system.customer.{share}_ms", _MS, (
        ("documents prepared in advance", f"prepared.customer.{share}_ms"),
    )) for share in ("p50", "p99")),
    *(Row(f"Silence that Conferral adds: {share}", "silence", f"added.customer.{share}_ms", _MS)
      for share in ("p50", "p99")),
    Row("Redis: commit of an event of a bridged call", "worker", "ordinary.redis_us", _CPU),
    Row("Redis: ingest of a callback", "webhooks", "webhooks.redis_us", _CPU),
    *(Row(f"Redis: longest script, {calls}", benchmark, f"{name}longest_script_ms", _MS, (
        ("99 % of scripts", f"{name}script_p99_ms"),
    )) for calls, benchmark, name in (
        ("bridged calls", "worker", "ordinary."),
        ("100 parties and a long log", "parties", ""),
    )),
    Row("Redis: memory of a live session", "sessions", "redis_bytes", _KB, factor=1e-3),
    Row("Worker: memory of a live session", "sessions", "worker_bytes", _KB, factor=1e-3),
    Row("Live sessions while both were measured", "sessions", "sessions_count", "sessions"),
    Row("Worker: longest pause of the garbage collector", "sessions", "collector_pause_ms", _MS),
    Row("Worker: idle", "idle", "worker.percent", "% of a core", (
        ("taskiq", "taskiq.percent"), ("arq", "arq.percent"),
    )),
    Row("Worker: memory without sessions", "idle", "worker.memory_bytes", "MB", factor=1e-6),
    Row("Webhooks: memory, with the worker's code loaded, too", "webhooks", "webhooks.memory_bytes", "MB", factor=1e-6),
    Row("An event in a session of 100 parties, against one of two", "parties", "many_to_two_cpu_us_times", _TIMES),
    Row("The same, the session's first after a takeover", "parties", "many_to_two_load_us_times", _TIMES),
    Row("Callback to commit while another session sends 200 speaker events a second, against none: p50", "neighbors",
        "noisy_to_quiet_p50_times", _TIMES),
)  # fmt: skip


def _figures(results: Results) -> str:
    commit, ingest = results.figure("worker", "ordinary.redis_us"), results.figure("webhooks", "webhooks.redis_us")
    shown = f"{number(commit.median + ingest.median)} {_CPU}" if commit and ingest else UNMEASURED
    redis = ["Redis: an event of a bridged call, from ingest to commit", shown, "its commit and its ingest together"]
    rows = [*(row.cells(results) for row in ROWS), redis, *_takeovers(results)]
    return sizing.table(["Figure", "Median of the rounds (least to most)", "For comparison"], rows)


def _takeovers(results: Results) -> list[list[str]]:
    rows = []
    for sessions in _numbers(results, "takeover", "live"):
        p50, p99 = (results.figure("takeover", f"live_{sessions}.{share}_s") for share in ("p50", "p99"))
        kills = results.figure("takeover", f"live_{sessions}.takeover_s")
        count = len(kills.rounds) if kills else 0
        rows.append([f"Takeover after `kill -9`, {sessions:,} live sessions",
                     f"p50 {_median(p50, 's')}, p99 {_median(p99, 's')}", f"{count} kills"])  # fmt: skip
    return rows


def _numbers(results: Results, benchmark: str, prefix: str) -> list[int]:
    matches = (re.match(rf"{prefix}_(\d+)\.", name) for name in results.names(benchmark))
    return sorted({int(match[1]) for match in matches if match})


def _points(results: Results, benchmark: str, prefix: str, figure: str, x: str = "") -> list[plots.Point]:
    """Return points, by the number in a figure's name, or by figure `x`."""
    found = []
    for value in _numbers(results, benchmark, prefix):
        one, across = (results.figure(benchmark, f"{prefix}_{value}.{name}") for name in (figure, x or figure))
        if one is not None and across is not None:
            found.append(plots.Point(across.median if x else value, one.median, min(one.rounds), max(one.rounds)))
    return found


def cost_plot() -> str:
    """Return the plot of cost per event against live sessions and parties."""
    results = Results.read()
    by_parties = [
        ("in memory", _points(results, "parties", "parties", "cpu_us")),
        ("loaded first", _points(results, "parties", "parties", "load_us")),
    ]
    return plots.svg(
        "CPU time for an event, by live sessions and by parties of its session",
        "Generated from benchmarks/results.json. Vertical lines show the spread of the rounds.",
        [
            plots.Chart("By live sessions", "live sessions", "µs of CPU per event",
                        [("", _points(results, "sessions", "live", "cpu_us"))]),
            plots.Chart("By parties", "parties in the session", "µs of CPU per event", by_parties, is_log=True),
        ],
    )  # fmt: skip


def latency_plot() -> str:
    """Return the plot of command latency against load."""
    results = Results.read()
    lines = [(name, _points(results, "busy", "load", f"{name}_ms", "events_per_s")) for name in ("p50", "p99")]
    cost = [("", _points(results, "busy", "load", "cpu_us", "events_per_s"))]
    return plots.svg(
        "Time from a published command to its REST request, and CPU time for an event, by load of one worker",
        "Generated from benchmarks/results.json. Vertical lines show the spread of the rounds.",
        [
            plots.Chart("Command to REST request", "events per second", "ms", lines, is_log=True),
            plots.Chart("Cost of an event", "events per second", "µs of CPU per event", cost),
        ],
    )


def _latencies(results: Results) -> str:
    columns = (("events_per_s", ""), ("p50_ms", "ms"), ("p99_ms", "ms"), ("cpu_us", "µs"), ("cpu_percent", "%"))
    rows = [
        [f"{load} %", *(_spread(results.figure("busy", f"load_{load}.{name}"), unit) for name, unit in columns)]
        for load in _numbers(results, "busy", "load")
    ]
    header = ["Load", "Events per second", "Command to REST: p50", "p99", "CPU per event", "CPU of the worker"]
    return sizing.table(header, rows)


def _endurance(results: Results) -> str:
    get = results.figure
    rate, sessions = get("endurance", "events_per_s"), get("endurance", "sessions_count")
    cost, memory = get("endurance", "cpu_us_growth_times"), get("endurance", "workers_bytes_growth_times")
    redis, dead = get("endurance", "redis_bytes_growth_times"), get("endurance", "dead_letters_count")
    if not (rate and sessions and cost and memory and redis and dead):
        return f"- A worker killed under a steady load: {UNMEASURED}."
    return (
        f"- {sessions.median:,.0f} live sessions, {_median(rate, 'events per second')}, one of two workers killed in "
        f"the middle: in the last third, an event cost {_median(cost, 'times')} as much CPU as in the first, workers "
        f"used {_median(memory, 'times')} as much memory, and Redis {_median(redis, 'times')}. "
        f"Dead letters: {dead.median:.0f}."
    )


def _pauses(results: Results) -> str:
    get = results.figure
    duration, pauses = get("pauses", "duration_s"), get("pauses", "pauses_count")
    steps, takeovers = get("pauses", "clock_steps_count"), get("pauses", "false_takeovers_count")
    if not (duration and pauses and steps and takeovers):
        return f"- Paused workers and stepped clocks: {UNMEASURED}."
    return (
        f"- Three workers for {number(duration.median / 60)} minutes, {pauses.median:.0f} pauses of up to 2 s, "
        f"{steps.median:.0f} clock steps of up to 48 h: {takeovers.median:.0f} false takeovers."
    )


def _simulation(results: Results) -> str | None:
    if results.run_of("simulation").get("size") != "full":
        return None
    rows = []
    for world in ("seed_0", "seed_1", "seed_2", "calm"):

        def value(figure: str, world: str = world) -> str:
            found = results.figure("simulation", f"{world}.{figure}")
            return UNMEASURED if found is None else number(found.median)

        seed = results.figure("simulation", f"{world}.seed")
        rows.append([
            f"{seed.median:.0f}{', no faults' if world == 'calm' else ''}" if seed else UNMEASURED,
            f"{value('sessions')}, {value('call_hours')} h",
            ", ".join(value(what) for what in ("stranded", "double_dials", "sessions_left")),
            *(", ".join(f"{value(f'{kind}_{share}_s')} s" for share in ("p50", "p99", "longest"))
              for kind in ("alone", "silent", "takeover")),
        ])  # fmt: skip
    header = ["Seed", "Sessions, call hours", "Stranded, dialed twice, left over", "Alone: 50 %, 99 %, longest",
              "In silence with others: 50 %, 99 %, longest", "Takeover: 50 %, 99 %, longest"]  # fmt: skip
    return f"Measured on {results.run_of('simulation')['date'][:10]}.\n\n{sizing.table(header, rows)}"


BLOCKS: dict[str, Callable[[Results], str | None]] = {
    "when": _when,
    "readme": _readme,
    "figures": _figures,
    "latency": _latencies,
    "capacity": sizing.capacity,
    "scale": sizing.scale,
    "assumptions": sizing.assumptions,
    "twilio": sizing.twilio,
    "long_runs": lambda results: f"{_endurance(results)}\n{_pauses(results)}",
    "simulation": _simulation,
}
