"""The report as a self-contained HTML page, with plots by pygal."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from conferral.outcomes.report import Table, period_line, report_notes, tables, totals
from conferral.runtime.web.pages import SHARED_FOLDER

#: Destinations in the plot (count), and the length of a label (characters).
_PLOTTED_MAX, _LABEL_MAX = 10, 18

_STATIC = Path(__file__).parent / "static"
_PAGE = (_STATIC / "report.html").read_text(encoding="utf-8")
_STYLES = (SHARED_FOLDER / "colors.css", SHARED_FOLDER / "tokens.css", _STATIC / "report.css")
_STYLE = "".join(path.read_text(encoding="utf-8") for path in _STYLES)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: The page's Content Security Policy: nothing but its own style sheet.
CONTENT_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"


def report_page(data: Mapping[str, Any]) -> str:
    """Return the page of a report's data."""
    plots = _plots(data)
    return _PAGE.format(
        policy=escape(CONTENT_POLICY),
        style=_STYLE,
        period=escape(period_line(data)),
        totals="".join(f'<p class="total">{_text(one)}</p>' for one in totals(data)),
        notes="".join(f'<p class="note">{escape(one)}</p>' for one in report_notes(data)),
        sections="\n".join(_section(one, plots.get(one.name, "")) for one in tables(data)),
    )


def _section(table: Table, plot: str) -> str:
    kinds = [' class="number"' if one.startswith(">") else "" for one in table.columns]
    heads = "".join(
        f'<th scope="col"{kind}>{escape(one.removeprefix(">"))}</th>'
        for kind, one in zip(kinds, table.columns, strict=True)
    )
    rows = "".join(
        f"<tr>{''.join(f'<td{kind}>{_text(one)}</td>' for kind, one in zip(kinds, row, strict=True))}</tr>"
        for row in table.rows
    )
    head = f'<section class="panel" id="{table.name}"><h2>{escape(table.title)}</h2>{plot}'
    scrolls = f'<div class="scroll" tabindex="0" role="region" aria-label="Table: {escape(table.title)}">'
    return f"{head}{scrolls}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>"


def _text(value: str) -> str:
    """Return text from outside as HTML; `bdi` keeps its direction to itself."""
    return f"<bdi>{escape(value)}</bdi>" if value else ""


def _plots(data: Mapping[str, Any]) -> dict[str, str]:
    """Return plots by the names of their tables."""
    rung, modes, durations = data["rung"][:_PLOTTED_MAX], data["transfers"], data["durations"]
    ranges = durations["transfer_answer"]["ranges_s"]
    series = {name: [one[name.replace(" ", "_")] for one in rung] for name in ("not answered", "answered")}
    series["otherwise"] = [one["rung"] - one["not_answered"] - one["answered"] for one in rung]
    results = {one: [counts.get(one, 0) for counts in modes.values()] for one in data["results"]}
    answers = {f"{kind}s": [*durations[f"{kind}_answer"]["ranges_s"].values()] for kind in ("transfer", "call")}
    return {
        "rung": _draw("Attempts by destination", [one["to"] for one in rung], series),
        "transfers": _draw("Transfers by mode and result", list(modes), results),
        "durations": _draw("Time to answer", [f"{one} s" for one in ranges], answers),
    }


def _draw(title: str, labels: Sequence[str], series: dict[str, list[int]]) -> str:
    """Return horizontal bars as SVG that the page's style sheet colors."""
    widest = max(map(sum, zip(*series.values(), strict=True)), default=0)
    if not widest:
        return ""
    import pygal  # takes a tenth of a second
    from pygal.style import Style

    classes = [f"is-{re.sub('[^a-z]', '-', name)}" for name in series]

    def strip_styles(root: Any) -> Any:
        """Keep pygal's drawing without its styles and scripts; name the series."""
        for node in root.iter():
            for inner in list(node):
                if inner.tag in ("defs", "desc", "title") or not isinstance(inner.tag, str):  # or a comment
                    node.remove(inner)
            node.attrib.pop("style", None)
            if number := re.search(r"\bcolor-([0-9]+)", node.get("class", "")):
                node.set("class", classes[int(number[1])])
        del root.attrib["id"]
        root.attrib.update(role="img", **{"aria-label": title})
        return root

    def fitting(value: float) -> str:
        """Return a bar's number if the bar has room for it."""
        text = f"{value:,.0f}"
        return text if value and value * 25 >= widest * len(text) else ""

    chart = pygal.HorizontalStackedBar(
        width=400, height=12 + 28 * len(labels), margin=4, spacing=8, js=(), show_legend=False, print_values=True,
        show_x_labels=False, formatter=fitting, disable_xml_declaration=True, style=Style(label_font_size=13),
    )  # fmt: skip
    # It draws upward.
    chart.x_labels = [one if len(one) <= _LABEL_MAX else f"{one[: _LABEL_MAX - 1]}…" for one in reversed(labels)]
    for name, values in series.items():
        chart.add(name, values[::-1])
    chart.add_xml_filter(strip_styles)
    keys = " ".join(
        f'<span class="key {kind}">{escape(name)}</span>' for name, kind in zip(series, classes, strict=True)
    )
    return f"<figure>{chart.render(is_unicode=True)}<figcaption>{keys}</figcaption></figure>"
