"""The results file: the newest figures of each benchmark, and the runs that measured them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks.support.figures import Figures

PATH = Path(__file__).parents[1] / "results.json"
#: Significant digits kept; the spread is wider.
_DIGITS = 4


@dataclass(frozen=True)
class Figure:
    """One figure: a value for each round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The rounds' median."""
        return median(self.rounds)


@dataclass
class Results:
    """What `results.json` holds."""

    #: Date, commit, machine, versions, seed, and size of each run, by its date.
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: By benchmark: its run, how long it took in seconds, and its figures.
    benchmarks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path = PATH) -> Self:
        """Read the file; an absent one is empty."""
        found = json.loads(path.read_text("utf-8")) if path.exists() else {}
        return cls(found.get("runs", {}), found.get("benchmarks", {}))

    def add(self, benchmark: str, run: dict[str, Any], figures: Figures, took_s: float) -> None:
        """Replace a benchmark's figures; runs without figures are forgotten."""
        self.benchmarks[benchmark] = {
            "run": run["date"],
            "took_s": round(took_s),
            "figures": {name: [_rounded(value) for value in rounds] for name, rounds in figures.rounds.items()},
        }
        self.runs[run["date"]] = run
        needed = {one["run"] for one in self.benchmarks.values()}
        self.runs = {date: one for date, one in self.runs.items() if date in needed}

    def write(self, path: Path = PATH) -> None:
        """Write the file: one line for each figure, so that changes are readable."""
        path.write_text(_json({"runs": self.runs, "benchmarks": self.benchmarks}) + "\n", "utf-8")

    def figure(self, benchmark: str, name: str) -> Figure | None:
        """Return a figure; None if it was not measured."""
        rounds = self.benchmarks.get(benchmark, {}).get("figures", {}).get(name)
        return Figure(tuple(rounds)) if rounds else None

    def names(self, benchmark: str) -> Iterable[str]:
        """Return the names of a benchmark's figures."""
        return list(self.benchmarks.get(benchmark, {}).get("figures", {}))

    def run_of(self, benchmark: str) -> dict[str, Any]:
        """Return the run that measured a benchmark; empty if none has."""
        run: dict[str, Any] = self.runs.get(self.benchmarks.get(benchmark, {}).get("run", ""), {})
        return run


def _rounded(value: float) -> float:
    # Counts and seeds stay exact.
    return value if value == int(value) else float(f"{value:.{_DIGITS}g}")


def _json(value: Any, indent: str = "") -> str:
    """Return JSON in which only objects span lines."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    inner = indent + "  "
    lines = [f"{inner}{json.dumps(name)}: {_json(one, inner)}" for name, one in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
