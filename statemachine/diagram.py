"""Shows the transition table: a page of tables for readers, a diagram in Mermaid, and a drawing in SVG.

Everything is worked out from the table; only places on the drawing are fixed by hand. A transition that has no place
yet is an error, so that the drawing can't leave one out.
"""

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import NamedTuple

from statemachine.events import COMMANDS, EVENTS, FACTS, OUTCOMES, TIMERS, Event
from statemachine.states import State
from statemachine.table import IGNORED, TABLE, Row

Edge = tuple[State, State]


class Box(NamedTuple):
    """Where a state stands on the drawing: its centre, in user units."""

    x: int
    y: int


class Line(NamedTuple):
    """How an edge runs on the drawing, and where its label begins."""

    path: str
    x: int
    y: int
    #: `start`, `middle` or `end`, as SVG calls it.
    anchor: str = "middle"


WIDTH, HEIGHT = 960, 430
BOX_WIDTH, BOX_HEIGHT = 150, 52
LINE_HEIGHT = 16

#: The whole layout. Whoever adds a transition between two states gives it its place here.
BOXES: dict[State, Box] = {
    State.BRIDGED: Box(115, 110),
    State.CONVERTING: Box(480, 110),
    State.CONFERENCED: Box(845, 110),
    State.ENDED: Box(480, 370),
    State.TRANSFERRING: Box(845, 370),
}
LINES: dict[Edge, Line] = {
    (State.BRIDGED, State.CONVERTING): Line("M190 100 H405", 297, 73),
    (State.CONVERTING, State.BRIDGED): Line("M405 122 H190", 297, 143),
    (State.CONVERTING, State.CONFERENCED): Line("M555 110 H770", 662, 83),
    (State.BRIDGED, State.ENDED): Line("M115 136 V340 Q115 370 145 370 H405", 128, 224, "start"),
    (State.CONVERTING, State.ENDED): Line("M480 136 V344", 493, 188, "start"),
    (State.CONFERENCED, State.ENDED): Line("M805 136 V286 Q805 316 775 316 H590 Q560 316 548 344", 792, 180, "end"),
}
START = "M115 40 V84"


#: On an edge, what people ask for stands before what happens.
_ORDER = {event: place for place, event in enumerate((*COMMANDS, *FACTS, *OUTCOMES, *TIMERS))}


def moves() -> dict[Edge, tuple[str, ...]]:
    """Names of the events that lead from one state into another."""
    found: dict[Edge, set[type[Event]]] = {}
    for row in TABLE:
        if row.target is not None and row.target is not row.source:
            found.setdefault((row.source, row.target), set()).add(row.event)
    return {
        edge: tuple(event.name for event in sorted(events, key=_ORDER.__getitem__)) for edge, events in found.items()
    }


def mermaid() -> str:
    """The diagram as Mermaid draws it."""
    lines = ["stateDiagram-v2", "    direction LR", f"    [*] --> {State.BRIDGED}"]
    lines += [f"    {source} --> {target} : {'<br/>'.join(names)}" for (source, target), names in moves().items()]
    lines += [f"    {state}" for state in State if not _touched(state)]
    lines.append(f"    {State.ENDED} --> [*]")
    return "\n".join(lines) + "\n"


def svg() -> str:
    """The drawing: it follows the reader's light or dark theme and names every part for screen readers.

    Raises:
        ValueError: the table has a transition for which `LINES` has no place, or the reverse.
    """
    edges = moves()
    if edges.keys() != LINES.keys():
        strange = ", ".join(f"{source} to {target}" for source, target in sorted(edges.keys() ^ LINES.keys()))
        raise ValueError(f"statemachine/diagram.py, LINES: give a place to, or take away: {strange}")
    drawn = [_drawn_edge(edge, names) for edge, names in edges.items()]
    boxes = [_drawn_box(state, box) for state, box in BOXES.items()]
    return _SVG.format(width=WIDTH, height=HEIGHT, start=START, edges="\n".join(drawn), boxes="\n".join(boxes))


_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title about">
<title id="title">The states of a session and the events that lead from one to the other</title>
<desc id="about">Generated from statemachine/table.py. The same stands as text in docs/statemachine.md.</desc>
<style>
svg {{ color: #1f2328; font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }}
@media (prefers-color-scheme: dark) {{ svg {{ color: #e6edf3 }} }}
text {{ fill: currentColor }}
.state {{ font-weight: 600; font-size: 16px }}
.box {{ fill: currentColor; fill-opacity: .06; stroke: currentColor; stroke-width: 1.5 }}
.apart {{ stroke-dasharray: 5 4; fill-opacity: 0 }}
.edge {{ fill: none; stroke: currentColor; stroke-width: 1.5; marker-end: url(#head) }}
.small {{ font-size: 11px; opacity: .75 }}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">\
<path d="M0 0 L8 4 L0 8 z" fill="currentColor"/></marker></defs>
<g><title>A session begins with an inbound call</title><path class="edge" d="{start}"/>\
<text x="115" y="30" text-anchor="middle">inbound call</text></g>
{edges}
{boxes}
</svg>
"""


def _drawn_edge(edge: Edge, names: tuple[str, ...]) -> str:
    source, target = edge
    line = LINES[edge]
    rows = (
        f'<tspan x="{line.x}" y="{line.y + index * LINE_HEIGHT}">{escape(name)}</tspan>'
        for index, name in enumerate(names)
    )
    title = f"From {source} to {target}: {', '.join(names)}"
    return (
        f'<g><title>{escape(title)}</title><path class="edge" d="{line.path}"/>'
        f'<text text-anchor="{line.anchor}">{"".join(rows)}</text></g>'
    )


def _drawn_box(state: State, box: Box) -> str:
    apart = "" if _touched(state) else " apart"
    x, y = box.x - BOX_WIDTH // 2, box.y - BOX_HEIGHT // 2
    note = _ignored_whole(state)
    small = f'<text class="small" x="{box.x}" y="{box.y + 18}" text-anchor="middle">not yet used</text>' if note else ""
    return (
        f"<g><title>{escape(f'{state}: {note}' if note else state.value)}</title>"
        f'<rect class="box{apart}" x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="10"/>'
        f'<text class="state" x="{box.x}" y="{box.y + (0 if note else 6)}" text-anchor="middle">{state}</text>'
        f"{small}</g>"
    )


# ---- the page ----------------------------------------------------------------------------------------------------


def page(meanings: Mapping[State, str]) -> str:
    """The table for readers, in Markdown.

    Args:
        meanings: What each state means, a sentence each.
    """
    parts = [_HEAD, "```mermaid\n" + mermaid() + "```\n", _LEGEND]
    parts += [_section(state, meanings[state]) for state in State]
    parts.append(_events())
    return "\n".join(parts)


_HEAD = """\
<!-- Generated from statemachine/table.py by `make docs`; changes by hand are lost. -->
# The state machine

A session is one conversation. It is always in one of five states. What happens to it is an event; the table below says
what follows. The same table drives the code: there is no second copy of it.

![The states and the events between them](statemachine.svg)

As text, for Mermaid:
"""

_LEGEND = """\
How to read the tables:

- Rows of one event are tried from top to bottom. The first whose condition holds is taken.
- *Goes to* names the next state; "stays" means that the state does not change.
- An event that a state ignores is still written to the session's log, with the reason, and `version` grows by one.
- Whether an event was seen before is decided before the table is asked: a repetition is `stale` in every state.
"""


def _section(state: State, meaning: str) -> str:
    whole = _ignored_whole(state)
    lines = [f"## {state}", "", meaning, ""]
    if whole:
        return "\n".join([*lines, f"No event does anything here: {whole}.", ""])
    lines += ["| Event | When | Goes to | What follows |", "| --- | --- | --- | --- |"]
    rows = [row for row in TABLE if row.source is state]
    for row in rows:
        alone = sum(other.event is row.event for other in rows) == 1
        target = "stays" if row.target is None else f"**{row.target}**"
        lines.append(f"| `{row.event.name}` | {_when(row, alone=alone)} | {target} | {_cell(_summary(row.action))} |")
    ignored = [
        f"| {', '.join(f'`{event.name}`' for event in entry.events)} | {_cell(entry.reason)} |"
        for entry in IGNORED
        if state in entry.states
    ]
    if ignored:
        lines += ["", f"Ignored while {state}:", "", "| Event | Why nothing happens |", "| --- | --- |", *ignored]
    return "\n".join([*lines, ""])


def _events() -> str:
    groups: tuple[tuple[str, Iterable[type[Event]]], ...] = (
        ("Facts from Twilio", FACTS),
        ("What came of effects", OUTCOMES),
        ("Timers", TIMERS),
        ("Commands", COMMANDS),
    )
    lines = ["## The events", ""]
    for title, events in groups:
        lines += [f"### {title}", "", "| Event | What it says |", "| --- | --- |"]
        lines += [f"| `{event.name}` | {_cell(_summary(event))} |" for event in events]
        lines.append("")
    return "\n".join(lines)


def _when(row: Row, *, alone: bool) -> str:
    if row.guard is None:
        return "always" if alone else "otherwise"
    return _cell(re.sub(r"^Whether ", "", _summary(row.guard)).rstrip("."))


def _summary(thing: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((thing.__doc__ or "").strip().split("\n\n", 1)[0].split())


def _cell(text: str) -> str:
    """Text that stays inside one cell: TwiML's angle brackets are shown, not taken for HTML."""
    plain = re.sub(r"(`[^`]*`)|[<>]", lambda found: found[1] or escape(found[0]), text)
    return plain.replace("|", "\\|")


def _touched(state: State) -> bool:
    return any(state in edge for edge in moves())


def _ignored_whole(state: State) -> str:
    """Why a state ignores every event; empty when it does not."""
    for entry in IGNORED:
        if state in entry.states and set(entry.events) == set(EVENTS):
            return entry.reason
    return ""
