"""Statistics: medians, percentiles, tables."""

from collections.abc import Sequence
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: always a measured value."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def ratio(values: Sequence[float], floors: Sequence[float]) -> str:
    """Return the median of the rounds' ratios, with minimum and maximum."""
    ratios = [value / floor for value, floor in zip(values, floors, strict=True)]
    return f"{median(ratios):.2f} (rounds {min(ratios):.2f} to {max(ratios):.2f})"


def milliseconds(values_s: Sequence[float]) -> list[str]:
    """Return count, median, 95th and 99th percentile, and maximum, in milliseconds."""
    shown = [percentile(values_s, share) * 1000 for share in (0.5, 0.95, 0.99, 1.0)]
    return [f"{len(values_s):,}", *(f"{value:.2f}" for value in shown)]


MILLISECONDS = ["n", "p50 ms", "p95 ms", "p99 ms", "max ms"]


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with the first column aligned left and the figures right."""
    table = [[title, *header], *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  " + "  ".join(cells))
