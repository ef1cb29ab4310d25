"""The report as a self-contained HTML page, with plots by pygal."""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from html import escape
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from conferral.operations import wording
from conferral.operations.outcome_report import OutcomeReport, Table, period_line, report_notes, tables, totals
from conferral.runtime.web.pages import SHARED_FOLDER

#: What installs pygal.
PLOTS_HINT = "pip install 'conferral[report]'"
#: Destinations in the plot (count).
_PLOTTED_MAX = 10
#: Length of a plot's labels (characters).
_LABEL_MAX = 18
#: Upper bounds of the bars of times to answer, in seconds.
_ANSWER_BOUNDS_S = (5, 10, 15, 20, 30, 60)

_STYLE = "".join(
    path.read_text() for path in (SHARED_FOLDER / "tokens.css", Path(__file__).parent / "static" / "report.css")
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: The page's Content Security Policy: nothing but its own style sheet.
CONTENT_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>Report: Conferral</title>
<style>{style}</style>
</head>
<body>
<main>
{links}<h1>Calls and transfers</h1>
<p class="muted">{period}</p>
<p class="totals">{totals}</p>
{notes}
<div class="sections">
{sections}
</div>
</main>
</body>
</html>
"""


def has_plots() -> bool:
    """Whether the library that draws the plots is installed."""
    return find_spec("pygal") is not None


def report_page(report: OutcomeReport, *, full: bool, links: str = "") -> str:
    """Return the page's document; without pygal, it has no plots.

    Args:
        full: Whether phone numbers are shown in full.
        links: HTML above the heading.
    """
    notes = report_notes(report) + ([] if has_plots() else [f"For plots: {PLOTS_HINT}"])
    return _PAGE.format(
        policy=escape(CONTENT_POLICY),
        style=_STYLE,
        links=links,
        period=escape(period_line(report)),
        totals=_text(totals(report, full=full)),
        notes="".join(f'<p class="note">{escape(one)}</p>' for one in notes),
        sections="\n".join(_section(one, report, full=full) for one in tables(report, full=full)),
    )


def _section(table: Table, report: OutcomeReport, *, full: bool) -> str:
    head = f'<section class="panel"><h2>{escape(table.title)}</h2>'
    if not table.rows:
        return f'{head}<p class="muted">None.</p></section>'
    plot = _PLOTS[table.name](report, full) if table.name in _PLOTS and has_plots() else ""
    kinds = [' class="number"' if one.startswith(">") else "" for one in table.columns]
    cells = zip(kinds, (one.removeprefix(">") for one in table.columns), strict=True)
    heads = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in cells)
    rows = "".join(
        f"<tr>{''.join(f'<td{kind}>{_text(value)}</td>' for kind, value in zip(kinds, row, strict=True))}</tr>"
        for row in table.rows
    )
    scrolls = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
    return f"{head}{plot}{scrolls}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>"


def _text(value: str) -> str:
    """Return text from outside as HTML; `bdi` keeps its direction to itself."""
    return f"<bdi>{escape(value)}</bdi>" if value else ""


def _rung_plot(report: OutcomeReport, full: bool) -> str:
    rung = report.worst()[:_PLOTTED_MAX][::-1]  # pygal draws upward
    series = {
        "not answered": [one.not_answered for _, one in rung],
        "answered": [one.results["answered"] for _, one in rung],
        "otherwise": [sum(one.otherwise.values()) for _, one in rung],
    }
    return _draw("Attempts by destination", [wording.display_address(to, full=full) for to, _ in rung], series)


def _transfers_plot(report: OutcomeReport, _full: bool) -> str:
    modes = sorted({mode for mode, _ in report.transfers}, reverse=True)
    series = {result: [report.transfers[mode, result] for mode in modes] for result in report.results()}
    return _draw("Transfers by mode and result", modes, series)


def _answer_plot(report: OutcomeReport, _full: bool) -> str:
    bounds = (0, *_ANSWER_BOUNDS_S, float("inf"))
    ranges = list(pairwise(bounds))[::-1]
    labels = [f"{low} to {high} s" if high < float("inf") else f"over {low} s" for low, high in ranges]
    series = {
        name: [sum(low <= value < high for value in report.durations[key]) for low, high in ranges]
        for name, key in (("transfers", "transfer_answer"), ("calls", "call_answer"))
    }
    return _draw("Time to answer", labels, series)


#: By a table's name: draws the plot above it.
_PLOTS: dict[str, Callable[[OutcomeReport, bool], str]] = {
    "rung": _rung_plot,
    "transfers": _transfers_plot,
    "durations": _answer_plot,
}


def _draw(title: str, labels: Sequence[str], series: dict[str, list[int]]) -> str:
    """Return horizontal bars as SVG that the page's style sheet colors."""
    widest = max(map(sum, zip(*series.values(), strict=True)))
    if not widest:
        return ""
    import pygal  # an extra
    from pygal.style import Style

    names = list(series)

    def bare(root: Any) -> Any:
        """Keep the drawing, without styles and scripts; name the series."""
        for node in root.iter():
            for inner in list(node):
                if inner.tag in ("defs", "desc", "title") or not isinstance(inner.tag, str):  # or a comment
                    node.remove(inner)
            node.attrib.pop("style", None)
            if number := re.search(r"\bcolor-([0-9]+)", node.get("class", "")):
                node.set("class", _css_class(names[int(number[1])]))
        del root.attrib["id"]
        root.set("role", "img")
        root.set("aria-label", title)
        return root

    chart = pygal.HorizontalStackedBar(
        width=400, height=40 + 28 * len(labels), margin=4, margin_right=24, spacing=8, js=(), show_legend=False,
        max_scale=5, print_values=True, disable_xml_declaration=True, style=Style(label_font_size=13),
    )  # fmt: skip
    chart.x_labels = [one if len(one) <= _LABEL_MAX else f"{one[: _LABEL_MAX - 1]}…" for one in labels]

    def fitting(value: float) -> str:
        """Return a bar's number if the bar has room for it."""
        text = f"{value:,.0f}"
        return text if value and value * 25 >= widest * len(text) else ""

    chart.value_formatter = "{:,.0f}".format
    for name, values in series.items():
        chart.add(name, values, formatter=fitting)
    chart.add_xml_filter(bare)
    keys = " ".join(f'<span class="key {_css_class(name)}">{escape(name)}</span>' for name in names)
    return f"<figure>{chart.render(is_unicode=True)}<figcaption>{keys}</figcaption></figure>"


def _css_class(name: str) -> str:
    return f"is-{re.sub('[^a-z]', '-', name)}"
