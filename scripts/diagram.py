"""Diagram of the transition table, as SVG; only its layout is by hand."""

from html import escape
from typing import NamedTuple

from conferral.statemachine.events import COMMANDS, EFFECT_RESULTS, FACTS, TIMERS, Automatic
from conferral.statemachine.states import State
from conferral.statemachine.table import TABLE, Transition

Edge = tuple[State, State]


class Box(NamedTuple):
    """Center of a state's box, in user units."""

    x: int
    y: int


class Line(NamedTuple):
    """Path of an edge, and where its label begins."""

    path: str
    x: int
    y: int
    #: SVG's `text-anchor`.
    anchor: str = "middle"


WIDTH, HEIGHT = 1110, 680
BOX_WIDTH, BOX_HEIGHT = 150, 52
LINE_HEIGHT = 16

#: The whole layout. Give every new transition between two states its place here.
BOXES: dict[State, Box] = {
    State.BRIDGED: Box(190, 360),
    State.CONVERTING: Box(500, 100),
    State.TRANSFERRING: Box(500, 360),
    State.CONFERENCED: Box(875, 360),
    State.ENDED: Box(500, 630),
}
LINES: dict[Edge, Line] = {
    (State.BRIDGED, State.CONVERTING): Line("M175 334 V116 Q175 88 203 88 H425", 165, 64, "end"),
    (State.CONVERTING, State.BRIDGED): Line("M425 112 H229 Q201 112 201 140 V334", 300, 132),
    (State.BRIDGED, State.TRANSFERRING): Line("M265 375 H425", 366, 264),
    (State.TRANSFERRING, State.BRIDGED): Line("M425 383 H265", 345, 394),
    (State.BRIDGED, State.ENDED): Line("M190 386 V600 Q190 630 220 630 H425", 177, 434, "end"),
    (State.BRIDGED, State.CONFERENCED): Line("M245 334 V206 Q245 178 273 178 H802 Q830 178 830 206 V334", 372, 196),
    (State.CONVERTING, State.TRANSFERRING): Line("M500 126 V334", 513, 141, "start"),
    (State.CONVERTING, State.CONFERENCED): Line("M575 112 H847 Q875 112 875 140 V334", 740, 132),
    (State.CONVERTING, State.ENDED): Line(
        "M575 88 H1062 Q1090 88 1090 116 V614 Q1090 642 1062 642 H575", 1077, 136, "end"
    ),
    (State.CONFERENCED, State.TRANSFERRING): Line("M800 370 H575", 687, 192),
    (State.TRANSFERRING, State.CONFERENCED): Line("M575 382 H800", 687, 396),
    (State.TRANSFERRING, State.ENDED): Line("M500 386 V604", 490, 425, "end"),
    (State.CONFERENCED, State.BRIDGED): Line("M830 386 V530 Q830 558 802 558 H258 Q230 558 230 530 V386", 680, 550),
    (State.CONFERENCED, State.ENDED): Line("M875 386 V590 Q875 618 847 618 H575", 888, 434, "start"),
}
START = Line("M50 360 H115", 50, 322, "start")
#: Sort key: on an edge, commands come before facts, effect outcomes, and timers.
_ORDER = {event: place for place, event in enumerate((*COMMANDS, *FACTS, *EFFECT_RESULTS, *TIMERS))}


def edge_labels() -> dict[Edge, tuple[str, ...]]:
    """Return each edge's labels: event names, and automatic rows' guards."""
    found: dict[Edge, dict[str, int]] = {}
    for row in TABLE:
        if row.target is not None and row.target is not row.source:
            found.setdefault((row.source, row.target), {})[label(row)] = _ORDER.get(row.event, len(_ORDER))
    return {edge: tuple(sorted(names, key=names.__getitem__)) for edge, names in found.items()}


def label(row: Transition) -> str:
    """Return a row's event name; for an automatic row, its guards in brackets."""
    return f"[{', '.join(one.__name__ for one in row.guards)}]" if row.event is Automatic else row.event.name


def svg() -> str:
    """Return the drawing, in the reader's light or dark theme.

    It names every part for screen readers.
    """
    edges = edge_labels()
    if edges.keys() != LINES.keys():
        strange = ", ".join(f"{source} to {target}" for source, target in sorted(edges.keys() ^ LINES.keys()))
        raise ValueError(f"scripts/diagram.py, LINES: give a place to, or take away: {strange}")
    drawn = [
        _draw_edge(LINES[edge], "-".join(edge), f"From {edge[0]} to {edge[1]}: {', '.join(names)}", names)
        for edge, names in edges.items()
    ]
    return _SVG.format(
        width=WIDTH,
        height=HEIGHT,
        style=_STYLE,
        start=_draw_edge(START, "start", "A session begins", ("inbound call", "or call")),
        edges="\n".join(drawn),
        boxes="\n".join(_draw_box(state, box) for state, box in BOXES.items()),
    )


_STYLE = """\
<style>
svg { color: #1f2328 }
@media (prefers-color-scheme: dark) { svg { color: #e6edf3 } }
</style>
"""
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" fill="currentColor" \
font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13" \
aria-labelledby="diagram-title diagram-about">
<title id="diagram-title">The states of a session and the events that lead from one to the other</title>
<desc id="diagram-about">Generated from statemachine/table/. docs/reference/statemachine.md has the same as text.</desc>
{style}<defs><marker id="diagram-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" \
orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="currentColor"/></marker></defs>
{start}
{edges}
{boxes}
</svg>
"""


def _draw_edge(line: Line, edge_id: str, title: str, labels: tuple[str, ...]) -> str:
    rows = (
        f'<tspan x="{line.x}" y="{line.y + index * LINE_HEIGHT}">{escape(label)}</tspan>'
        for index, label in enumerate(labels)
    )
    return (
        f'<g id="edge-{edge_id}" class="edge"><title>{escape(title)}</title>'
        f'<path d="{line.path}" fill="none" stroke="currentColor" stroke-width="1.5" marker-end="url(#diagram-head)"/>'
        # Invisible, but wide enough to hover over, which shows the title.
        f'<path class="reach" d="{line.path}" fill="none" stroke-width="16" pointer-events="stroke"/>'
        f'<text text-anchor="{line.anchor}">{"".join(rows)}</text></g>'
    )


def _draw_box(state: State, box: Box) -> str:
    x, y = box.x - BOX_WIDTH // 2, box.y - BOX_HEIGHT // 2
    return (
        f'<g id="state-{state}" class="state"><title>{state}</title>'
        f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="10" fill-opacity=".06" '
        f'stroke="currentColor" stroke-width="1.5"/>'
        f'<text x="{box.x}" y="{box.y + 6}" text-anchor="middle" font-weight="600" font-size="16">{state}</text></g>'
    )
