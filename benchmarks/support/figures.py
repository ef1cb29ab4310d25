"""Figures: one value per round for each name; and the results file, which keeps the newest of each benchmark."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import sub, truediv
from pathlib import Path
from statistics import median
from typing import Any, Self

PATH = Path(__file__).parents[1] / "results.json"


class Figures:
    """The figures of one benchmark.

    A name ends with its unit: `cpu_us`, `p99_ms`, `events_per_s`, `bytes`, `percent`, `times` (a ratio), `count`.
    """

    def __init__(self) -> None:
        self.rounds: dict[str, list[float]] = {}
        #: What must not have happened, in words.
        self.problems: list[str] = []

    def add(self, name: str, value: float) -> None:
        """Add one round's value."""
        self.rounds.setdefault(name, []).append(value)

    def add_percentiles(self, name: str, values_s: Sequence[float], unit: str = "ms") -> None:
        """Add one round's median and 99th percentile of durations."""
        for share, shown in ((0.5, "p50"), (0.99, "p99")):
            self.add(f"{name}{shown}_{unit}", percentile(values_s, share) * (1000 if unit == "ms" else 1))

    def add_ratio(self, name: str, value: str, base: str) -> None:
        """Add each round's ratio of two figures of that round."""
        self._combine(name, truediv, value, base)

    def add_difference(self, name: str, value: str, base: str) -> None:
        """Add each round's difference of two figures of that round."""
        self._combine(name, sub, value, base)

    def _combine(self, name: str, combine: Callable[[float, float], float], value: str, base: str) -> None:
        pairs = zip(self.rounds[value], self.rounds[base], strict=True)
        self.rounds[name] = [combine(one, other) for one, other in pairs]

    def lines(self) -> list[str]:
        """Return a table: name, median, and the rounds' minimum and maximum."""
        width = max((len(name) for name in self.rounds), default=0)
        return [
            f"{name.ljust(width)}  {shown(median(rounds)):>10}  (rounds {shown(min(rounds))} to {shown(max(rounds))})"
            for name, rounds in self.rounds.items()
        ]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: always a measured value; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))] if ordered else 0.0


def shown(value: float) -> str:
    """Return a number with three significant digits, or as an integer with separators."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@dataclass
class Results:
    """What `results.json` holds: for each benchmark its run (commit, date, machine), and its figures."""

    benchmarks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path = PATH) -> Self:
        """Read the file; an absent one is empty."""
        return cls(json.loads(path.read_text("utf-8")) if path.exists() else {})

    def add(self, benchmark: str, run: dict[str, Any], figures: Figures) -> None:
        """Replace a benchmark's figures, with four significant digits: the spread is wider."""
        rounds = {
            # Counts and seeds stay exact.
            name: [value if value == int(value) else float(f"{value:.4g}") for value in values]
            for name, values in figures.rounds.items()
        }
        self.benchmarks[benchmark] = {"run": run, "figures": rounds}

    def write(self, path: Path = PATH) -> None:
        """Write the file: one line for each figure, so that changes are readable."""
        path.write_text(_json(self.benchmarks) + "\n", "utf-8")

    def rounds(self, benchmark: str, name: str) -> list[float]:
        """Return a figure's values; none if it was not measured."""
        return list(self.benchmarks.get(benchmark, {}).get("figures", {}).get(name, []))

    def run_of(self, benchmark: str) -> dict[str, Any]:
        """Return the run that measured a benchmark; empty if none has."""
        return dict(self.benchmarks.get(benchmark, {}).get("run", {}))


def _json(value: Any, indent: str = "") -> str:
    """Return JSON in which only objects span lines."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    inner = indent + "  "
    lines = [f"{inner}{json.dumps(name)}: {_json(one, inner)}" for name, one in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
