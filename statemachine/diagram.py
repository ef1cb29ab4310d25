"""Diagram of the transition table: a page of tables, a Mermaid diagram, and an SVG drawing.

Everything is derived from the table except the layout of the drawing. A transition without a place in the layout is an
error, so the drawing can't omit one.
"""

import re
from collections.abc import Iterable, Mapping
from html import escape
from itertools import product
from typing import NamedTuple

from conferral.statemachine.events import COMMANDS, FACTS, OUTCOMES, TIMERS, Automatic, Event
from conferral.statemachine.policy import Policy
from conferral.statemachine.states import Opening, State, TransferStage
from conferral.statemachine.table import AUTOMATIC_ROWS, IGNORED, LIMITS, TABLE, Transition
from conferral.statemachine.table.row import Stage

Edge = tuple[State, State]


class Box(NamedTuple):
    """Center of a state's box on the drawing, in user units."""

    x: int
    y: int


class Line(NamedTuple):
    """Path of an edge on the drawing, and where its label begins."""

    path: str
    x: int
    y: int
    #: SVG's `text-anchor`: `start`, `middle`, or `end`.
    anchor: str = "middle"


WIDTH, HEIGHT = 1110, 650
BOX_WIDTH, BOX_HEIGHT = 150, 52
LINE_HEIGHT = 16

#: The whole layout. Give every new transition between two states its place here.
BOXES: dict[State, Box] = {
    State.BRIDGED: Box(190, 330),
    State.CONVERTING: Box(500, 100),
    State.TRANSFERRING: Box(500, 330),
    State.CONFERENCED: Box(875, 330),
    State.ENDED: Box(500, 600),
}
LINES: dict[Edge, Line] = {
    (State.BRIDGED, State.CONVERTING): Line("M175 304 V116 Q175 88 203 88 H425", 165, 112, "end"),
    (State.CONVERTING, State.BRIDGED): Line("M425 112 H229 Q201 112 201 140 V304", 300, 132),
    (State.BRIDGED, State.TRANSFERRING): Line("M265 319 H425", 345, 263),
    (State.TRANSFERRING, State.BRIDGED): Line("M425 341 H265", 345, 359),
    (State.BRIDGED, State.ENDED): Line("M190 356 V570 Q190 600 220 600 H425", 177, 404, "end"),
    (State.BRIDGED, State.CONFERENCED): Line("M245 304 V193 Q245 165 273 165 H802 Q830 165 830 193 V304", 372, 185),
    (State.CONVERTING, State.TRANSFERRING): Line("M500 126 V304", 513, 182, "start"),
    (State.CONVERTING, State.CONFERENCED): Line("M575 112 H847 Q875 112 875 140 V304", 720, 132),
    (State.CONVERTING, State.ENDED): Line(
        "M575 88 H1062 Q1090 88 1090 116 V584 Q1090 612 1062 612 H575", 1077, 176, "end"
    ),
    (State.CONFERENCED, State.TRANSFERRING): Line("M800 319 H575", 687, 230),
    (State.TRANSFERRING, State.CONFERENCED): Line("M575 341 H800", 687, 361),
    (State.TRANSFERRING, State.ENDED): Line("M500 356 V574", 490, 390, "end"),
    (State.CONFERENCED, State.BRIDGED): Line("M830 356 V492 Q830 520 802 520 H258 Q230 520 230 492 V356", 680, 512),
    (State.CONFERENCED, State.ENDED): Line("M875 356 V560 Q875 588 847 588 H575", 888, 404, "start"),
}
START = Line("M50 330 H115", 50, 292, "start")


#: Sort key: on an edge, commands come before facts, effect outcomes, and timers.
_ORDER = {event: place for place, event in enumerate((*COMMANDS, *FACTS, *OUTCOMES, *TIMERS))}


def moves() -> dict[Edge, tuple[str, ...]]:
    """Return the labels of each edge: event names, and in brackets the guards of automatic rows.

    The brackets are UML's notation for a guard.
    """
    found: dict[Edge, dict[str, int]] = {}
    for row in TABLE:
        if row.target is not None and row.target is not row.source:
            found.setdefault((row.source, row.target), {})[_name_of(row)] = _ORDER.get(row.event, len(_ORDER))
    return {edge: tuple(sorted(names, key=names.__getitem__)) for edge, names in found.items()}


def _name_of(row: Transition) -> str:
    return f"[{row.guard.__name__}]" if row.event is Automatic and row.guard is not None else row.event.name


def mermaid() -> str:
    """Return the diagram as Mermaid source."""
    lines = ["stateDiagram-v2", "    direction LR", f"    [*] --> {State.BRIDGED}"]
    lines += [f"    {source} --> {target} : {'<br/>'.join(names)}" for (source, target), names in moves().items()]
    lines.append(f"    {State.ENDED} --> [*]")
    return "\n".join(lines) + "\n"


def stages_mermaid() -> str:
    """Return the diagram of the stages as Mermaid source."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for row in TABLE:
        if row.next_stages or (row.stages and row.target):
            sources = row.stages or ("any stage" if row.source is State.TRANSFERRING else row.source,)
            for source, target in product(sources, row.next_stages or (row.target or "",)):
                found.setdefault((_id(source), _id(target)), {})[_name_of(row)] = None
    lines = (f"    {source} --> {target} : {'<br/>'.join(names)}" for (source, target), names in found.items())
    return "\n".join(["stateDiagram-v2", *lines]) + "\n"


def _id(node: str) -> str:
    return re.sub("[- ]", "_", f"opening {node.name.lower()}" if isinstance(node, Opening) else node)


def svg(*, is_standalone: bool = True) -> str:
    """Return the drawing. It follows the reader's light or dark theme and names every part for screen readers.

    States have ids such as `state-bridged`, edges such as `edge-bridged-converting`.

    Args:
        is_standalone: Whether the drawing brings its own colors. Otherwise it inherits those of the page that embeds
            it, whose policy may forbid inline styles.

    Raises:
        ValueError: a transition has no place in `LINES`, or a place in `LINES` has no transition.
    """
    edges = moves()
    if edges.keys() != LINES.keys():
        strange = ", ".join(f"{source} to {target}" for source, target in sorted(edges.keys() ^ LINES.keys()))
        raise ValueError(f"statemachine/diagram.py, LINES: give a place to, or take away: {strange}")
    drawn = [_draw_edge(edge, names) for edge, names in edges.items()]
    boxes = [_draw_box(state, box) for state, box in BOXES.items()]
    start = _line(START, "start", "A session begins", ("inbound call", "or call"))
    return _SVG.format(
        width=WIDTH,
        height=HEIGHT,
        style=_STYLE if is_standalone else "",
        start=start,
        edges="\n".join(drawn),
        boxes="\n".join(boxes),
    )


_STYLE = """\
<style>
svg { color: #1f2328 }
@media (prefers-color-scheme: dark) { svg { color: #e6edf3 } }
</style>
"""
# Everything else is an attribute: any style sheet can override it, and no content security policy forbids it.
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" fill="currentColor" \
font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13" \
aria-labelledby="diagram-title diagram-about">
<title id="diagram-title">The states of a session and the events that lead from one to the other</title>
<desc id="diagram-about">Generated from statemachine/table/. docs/statemachine.md has the same as text.</desc>
{style}<defs><marker id="diagram-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" \
orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="currentColor"/></marker></defs>
{start}
{edges}
{boxes}
</svg>
"""


def _draw_edge(edge: Edge, names: tuple[str, ...]) -> str:
    source, target = edge
    return _line(LINES[edge], f"{source}-{target}", f"From {source} to {target}: {', '.join(names)}", names)


def _line(line: Line, name: str, title: str, names: tuple[str, ...]) -> str:
    rows = (
        f'<tspan x="{line.x}" y="{line.y + index * LINE_HEIGHT}">{escape(name)}</tspan>'
        for index, name in enumerate(names)
    )
    return (
        f'<g id="edge-{name}" class="edge"><title>{escape(title)}</title>'
        f'<path d="{line.path}" fill="none" stroke="currentColor" stroke-width="1.5" marker-end="url(#diagram-head)"/>'
        # Invisible, but wide enough to hover over, which shows the title: the line itself is too thin.
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


# ---- the page ----------------------------------------------------------------------------------------------------


def page(meanings: Mapping[State, str], stages: Mapping[str, str]) -> str:
    """Return the table as a Markdown page.

    Args:
        meanings: What each state means, one sentence each.
        stages: What each stage of a transfer waits for, by the stage's name.
    """
    parts = [_HEAD, "```mermaid\n" + mermaid() + "```\n", _LEGEND]
    parts += [_section(state, meanings[state]) for state in State]
    parts += [_stages(stages), _events()]
    return "\n".join(parts)


_HEAD = """\
<!-- Generated from statemachine/table/ by `make docs`; changes by hand are lost. -->
# The state machine

A session is one conversation, always in one of five states. The tables below say what follows from each event. They are
generated from the table that the code runs.

![The states and the events between them](statemachine.svg)

As text, for Mermaid:
"""

_LEGEND = """\
How to read the tables:

- Rows of one event are tested from top to bottom. The first whose condition holds applies.
- *Goes to* names the next state; "stays" means that the state does not change.
- Rows under *as soon as* need no event of their own. They are tested after every processed event, from top to bottom,
  and again after each row that applied, until none holds. The diagram shows them in brackets.
- Stages divide `transferring`, and `conferenced` while a party waits for the first answer. A row that names stages
  applies only in them. A row that goes to a stage also goes to the stage's state, and starts its time limit.
- An event that a state ignores is still written to the session's log, with the reason, and `version` grows by one.
- Duplicates are detected before the table is used: a repeated event is `stale` in every state.
- In a bridge, the *parent* is the call whose `<Dial>` created the other call, the *child*. Twilio requests the
  `<Dial>`'s *action* when the `<Dial>` ends; the *document* is the TwiML that Conferral answers. The
  [glossary](glossary.md) has the other terms.
"""


def _section(state: State, meaning: str) -> str:
    lines = [f"## {state}", "", meaning, ""]
    lines += ["| Event | When | Goes to | Result |", "| --- | --- | --- | --- |"]
    rows = [row for row in TABLE if row.source is state and row.event is not Automatic]
    for row in rows:
        alone = sum(other.event is row.event for other in rows) == 1
        when = _when(row) or ("always" if alone else "otherwise")
        lines.append(f"| `{row.event.name}` | {when} | {_target(row)} | {_follows(row)} |")
    if AUTOMATIC_ROWS[state]:
        lines += ["", f"While {state}:", "", "| As soon as | Goes to | Result |", "| --- | --- | --- |"]
    lines += [f"| {_when(row)} | {_target(row)} | {_follows(row)} |" for row in AUTOMATIC_ROWS[state]]
    ignored = [
        f"| {', '.join(f'`{event.name}`' for event in entry.events)} | {_cell(entry.reason)} |"
        for entry in IGNORED
        if state in entry.states
    ]
    if ignored:
        lines += ["", f"Ignored while {state}:", "", "| Event | Why nothing happens |", "| --- | --- |", *ignored]
    return "\n".join([*lines, ""])


def _target(row: Transition) -> str:
    if row.next_stages:
        return " or ".join(map(_name, row.next_stages))
    return "stays" if row.target is None else f"**{row.target}**"


def _follows(row: Transition) -> str:
    return _cell(" ".join(map(_summary, row.actions)))


def _name(stage: Stage) -> str:
    return f"opening `{stage.name.lower()}`" if isinstance(stage, Opening) else f"`{stage}`"


def _stages(meanings: Mapping[str, str]) -> str:
    lines = ["## Stages", "", "The stages of a transfer, and the opening of a call that starts in a conference:", ""]
    lines += ["```mermaid", stages_mermaid() + "```", "", "| Stage | Waits until | At most |", "| --- | --- | --- |"]
    for stage in TransferStage:
        if stage in LIMITS or stage is TransferStage.TALKING:
            limit = LIMITS.get(stage, "")
            most = _summary(limit) if callable(limit) else f"`{limit}`" if limit else "no limit"
            most = re.sub(r"`(\w+)`", lambda found: f"{getattr(Policy(), found[1]) / 1000:g} s", most).rstrip(".")
            lines.append(f"| `{stage}` | {_cell(meanings[stage.name].rstrip('.'))} | {most} |")
    return "\n".join([*lines, ""])


def _events() -> str:
    groups: tuple[tuple[str, Iterable[type[Event]]], ...] = (
        ("Facts from Twilio", FACTS),
        ("Effect results", OUTCOMES),
        ("Timers", TIMERS),
        ("Commands", COMMANDS),
    )
    lines = ["## The events", ""]
    for title, events in groups:
        lines += [f"### {title}", "", "| Event | What it says |", "| --- | --- |"]
        lines += [f"| `{event.name}` | {_cell(_summary(event))} |" for event in events]
        lines.append("")
    return "\n".join(lines)


def _when(row: Transition) -> str:
    stages = f"in {', '.join(map(_name, row.stages))}" if row.stages else ""
    if row.guard is None:
        return stages
    guard = _cell(re.sub(r"^Whether ", "", _summary(row.guard)).rstrip("."))
    return f"{stages}: {guard}" if stages else guard


def _summary(thing: object) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join((thing.__doc__ or "").strip().partition("\n\n")[0].split())


def _cell(text: str) -> str:
    """Return text that stays inside one table cell: angle brackets of TwiML are escaped outside of code spans."""
    plain = re.sub(r"(`[^`]*`)|[<>]", lambda found: found[1] or escape(found[0]), text)
    return plain.replace("|", "\\|")
