"""Generate docs/statemachine.md: the transition table and diagrams."""

import re
from collections.abc import Iterable, Mapping
from html import escape
from itertools import product

from conferral.statemachine.diagram import edge_labels, label
from conferral.statemachine.events import COMMANDS, FACTS, OUTCOMES, TIMERS, Automatic, Event
from conferral.statemachine.policy import Policy
from conferral.statemachine.states import Opening, State, TransferStage
from conferral.statemachine.table import IGNORED, LIMITS, TABLE, Transition
from conferral.statemachine.table.row import Stage


def statemachine_page(meanings: Mapping[State, str], stages: Mapping[str, str]) -> str:
    """Return the page; `stages` say what each stage waits for."""
    parts = [_HEAD, "```mermaid\n" + _mermaid() + "```\n", _LEGEND]
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


def _mermaid() -> str:
    lines = ["stateDiagram-v2", "    direction LR", f"    [*] --> {State.BRIDGED}"]
    lines += [f"    {source} --> {target} : {'<br/>'.join(names)}" for (source, target), names in edge_labels().items()]
    lines.append(f"    {State.ENDED} --> [*]")
    return "\n".join(lines) + "\n"


def _stages_mermaid() -> str:
    found: dict[tuple[str, str], dict[str, None]] = {}
    for row in TABLE:
        if row.next_stages or (row.stages and row.target):
            sources = row.stages or ("any stage" if row.source is State.TRANSFERRING else row.source,)
            for source, target in product(sources, row.next_stages or (row.target or "",)):
                found.setdefault((_id(source), _id(target)), {})[label(row)] = None
    lines = (f"    {source} --> {target} : {'<br/>'.join(names)}" for (source, target), names in found.items())
    return "\n".join(["stateDiagram-v2", *lines]) + "\n"


def _id(node: str) -> str:
    return re.sub("[- ]", "_", f"opening {node.name.lower()}" if isinstance(node, Opening) else node)


def _section(state: State, meaning: str) -> str:
    lines = [f"## {state}", "", meaning, ""]
    lines += ["| Event | When | Goes to | Result |", "| --- | --- | --- | --- |"]
    rows = [row for row in TABLE if row.source is state and row.event is not Automatic]
    for row in rows:
        alone = sum(other.event is row.event for other in rows) == 1
        when = _when(row) or ("always" if alone else "otherwise")
        lines.append(f"| `{row.event.name}` | {when} | {_target(row)} | {_follows(row)} |")
    if automatic := [row for row in TABLE if row.event is Automatic and row.source is state]:
        lines += ["", f"While {state}:", "", "| As soon as | Goes to | Result |", "| --- | --- | --- |"]
    lines += [f"| {_when(row)} | {_target(row)} | {_follows(row)} |" for row in automatic]
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
    lines += ["```mermaid", _stages_mermaid() + "```", "", "| Stage | Waits until | At most |", "| --- | --- | --- |"]
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
    """Escape what would leave a table cell, such as TwiML's brackets."""
    plain = re.sub(r"(`[^`]*`)|[<>]", lambda found: found[1] or escape(found[0]), text)
    return plain.replace("|", "\\|")
