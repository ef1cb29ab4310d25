"""Draw line charts as SVG, readable in light and dark themes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: Size of one chart in pixels, and the space around its axes.
WIDTH, HEIGHT = 420, 310
LEFT, RIGHT, TOP, BOTTOM = 64, 36, 58, 52
_DASHES = ("none", "6 4", "2 3")


@dataclass(frozen=True)
class Point:
    """A median with its spread."""

    x: float
    y: float
    least: float
    most: float


@dataclass(frozen=True)
class Chart:
    """One pair of axes: x is logarithmic, y if `is_log`, else from zero."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[tuple[str, Sequence[Point]]]
    is_log: bool = False


def svg(title: str, about: str, charts: Sequence[Chart]) -> str:
    """Return charts side by side."""
    drawn = "\n".join(
        f'<g transform="translate({index * WIDTH} 0)">\n{_chart(chart)}\n</g>' for index, chart in enumerate(charts)
    )
    return _SVG.format(width=WIDTH * len(charts), height=HEIGHT, title=escape(title), about=escape(about), drawn=drawn)


def _chart(chart: Chart) -> str:
    points = [point for _, line in chart.lines for point in line]
    if not points:
        return _text(WIDTH / 2, HEIGHT / 2, f"{chart.title}: not measured yet", "middle")
    x_ticks = sorted({point.x for point in points})
    y_ticks = _ticks(max(point.most for point in points), min(point.least for point in points), is_log=chart.is_log)
    across = _Scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT, is_log=True)
    up = _Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP, is_log=chart.is_log)
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts = [
        _text(middle, 20, chart.title, "middle", ' font-weight="bold"'),
        _text(middle, HEIGHT - 10, chart.x_label, "middle"),
        _text(LEFT, TOP - 14, chart.y_label, "start"),
    ]
    for tick in y_ticks:
        y = up(tick)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, ' stroke-opacity="0.2"'))
        parts.append(_text(LEFT - 8, y + 4, _number(tick), "end"))
    parts += [_text(across(tick), HEIGHT - BOTTOM + 18, _number(tick), "middle") for tick in x_ticks]
    for number, (name, line) in enumerate(chart.lines):
        parts += _drawn(name, line, across, up, _DASHES[number % len(_DASHES)])
    return "\n".join(parts)


def _drawn(name: str, line: Sequence[Point], across: "_Scale", up: "_Scale", dash: str) -> list[str]:
    path = " ".join(f"{across(point.x):.1f},{up(point.y):.1f}" for point in line)
    parts = [
        f'<polyline points="{path}" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="{dash}"/>'
    ]
    for point in line:
        x = across(point.x)
        parts.append(_line(x, up(point.least), x, up(point.most), ""))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{up(point.y):.1f}" r="3"><title>{_number(point.y)} '
            f"({_number(point.least)} to {_number(point.most)})</title></circle>"
        )
    last = line[-1]
    return [*parts, _text(across(last.x), up(last.y) - 10, name, "end")]


class _Scale:
    def __init__(self, least: float, most: float, begin: float, end: float, *, is_log: bool) -> None:
        self._is_log = is_log
        self._least, self._most = self._moved(least), self._moved(most)
        self._begin, self._end = begin, end

    def _moved(self, value: float) -> float:
        return math.log10(max(value, 1e-9)) if self._is_log else value

    def __call__(self, value: float) -> float:
        share = (self._moved(value) - self._least) / ((self._most - self._least) or 1)
        return self._begin + share * (self._end - self._begin)


def _ticks(most: float, least: float, *, is_log: bool) -> list[float]:
    """Return 1, 2, 5 per decade, or multiples from zero, around the values."""
    steps = [step * 10.0**power for power in range(-3, 8) for step in (1, 2, 5)]
    if is_log:
        first = max(tick for tick in steps if tick <= max(least, steps[0]))
        last = min(tick for tick in steps if tick >= most)
        return [tick for tick in steps if first <= tick <= last]
    step = min(step for step in steps if most / step <= 5)
    return [step * number for number in range(math.ceil(most / step) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, more: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor"{more}/>'


_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" fill="currentColor" \
font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="12" \
aria-labelledby="plot-title plot-about">
<title id="plot-title">{title}</title>
<desc id="plot-about">{about}</desc>
<style>
svg {{ color: #1f2328 }}
@media (prefers-color-scheme: dark) {{ svg {{ color: #e6edf3 }} }}
</style>
{drawn}
</svg>
"""
