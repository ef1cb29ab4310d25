"""Figures: one value per round for each name, their medians and spread."""

from collections.abc import Callable, Sequence
from operator import sub, truediv
from statistics import median


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

    def add_percentiles(self, name: str, values_s: Sequence[float]) -> None:
        """Add one round's median and 99th percentile of durations, in milliseconds."""
        for share, unit in ((0.5, "p50_ms"), (0.99, "p99_ms")):
            self.add(f"{name}.{unit}", percentile(values_s, share) * 1000)

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
