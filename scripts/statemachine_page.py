"""Generate docs/reference/statemachine.md and a page per state: the transition table."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from conferral.statemachine import table
from conferral.statemachine.events import COMMANDS, EFFECT_RESULTS, FACTS, TIMERS, Automatic, Event, Offer
from conferral.statemachine.policy import Policy
from conferral.statemachine.states import Opening, State, TransferStage
from conferral.statemachine.table import GROUPS, LIMITS, TABLE, UNSETTLED, Transition, unsettled
from conferral.statemachine.table.row import Stage, expand
from conferral.statemachine.table.stages import Limit
from conferral.statemachine.table.unsettled import ALONE, OTHERS, OVERHEARD, Unsettled

_PAUSES = {"alone": ALONE, "overheard": OVERHEARD, "others": OTHERS}
_GENERATED = "<!-- Generated from statemachine/table/ by `make docs`; changes by hand are lost. -->"
_HEAD = f"""\
{_GENERATED}
# The state machine

A session is one conversation, always in one of five states. This page and those it links are generated from the table
that the code runs; `statemachine/table/__init__.py` explains the table, with a consult as an example.

![The states and the events between them](statemachine.svg)

Brackets name guards of automatic rows, which need no event of their own.
"""
_STATES = """\
## States

| State | The session | Rows |
| --- | --- | --- |
"""
_STAGES = """\
## Stages

Stages divide `transferring`. Each names what the transfer waits for. After its limit, the last column follows. A stage
without a limit lasts until what it waits for has happened.

| Stage | Waits until | Limit | Then |
| --- | --- | --- | --- |
"""
_RELEVANCE = """\
## What comes too late

Before the rows of an event are tried, `statemachine/relevance.py` ignores what comes too late, or is about no call of
the session. If no row of a state names an event, a fact is out of date (`ignore_late`), while the answer to a request,
or a timer, has no further effect (`log_only`).

"""
_GROUPS = """\
## Groups of automatic rows

Automatic rows are tried after every event that was decided, from the first group to the last, and from the top again
after each that is taken, until none holds.

| Group | What its rows may assume |
| --- | --- |
"""
_UNSETTLED = """\
## When Twilio is asked

{theory}

`alone` pauses are {alone} s, `overheard` ones {overheard} s, the others {others} s; then {last} s.

| In | What | Due | Again | Why |
| --- | --- | --- | --- | --- |
"""
_ROWS = """\
Under each event, the first row that holds is taken: `STAGE, PHASE, GUARD: ACTIONS -> TARGET`, without what does not
decide, and `else` if nothing does. Without a target, the state stays. Names are those of
the code; [reasons](reasons.md#why-a-command-is-rejected) has what `refuse` says.

"""


def statemachine_page(meanings: Mapping[State, str], stages: Mapping[str, str]) -> str:
    """Return the page; `stages` say what each stage waits for."""
    states = "".join(f"| `{state}` | {_cell(meanings[state])} | [rows]({_link(state)}) |\n" for state in State)
    parts = [
        _HEAD, f"## Terms\n\n{_paragraph('Terms')}", f"{_STATES}{states}", _ROWS + _STAGES + "".join(_stages(stages)),
        _RELEVANCE.rstrip("\n") + "\n",
        _GROUPS + "".join(f"| {group.name} | {_cell(group.assumes)} |\n" for group in GROUPS),
        _unsettled(),
        f"## What the table does not show\n\n{_paragraph('What the table does not show')}",
    ]  # fmt: skip
    return "\n".join(parts)


def _paragraph(title: str) -> str:
    """Return the paragraph of the table's docstring that follows a title."""
    return (table.__doc__ or "").partition(f"\n{title}:\n\n")[2].partition("\n\n")[0] + "\n"


def state_page(state: State, meaning: str) -> str:
    """Return the page with the rows of one state."""
    parts = [f"{_GENERATED}\n# Rows of `{state}`\n", f"{_cell(meaning)} [How to read this](statemachine.md).\n"]
    groups: tuple[tuple[str, Iterable[type[Event]]], ...] = (
        ("Facts from Twilio", FACTS),
        ("Effect results and reads", EFFECT_RESULTS),
        ("Timers", TIMERS),
        ("Commands", (*COMMANDS, Offer)),
    )
    for title, events in groups:
        if found := _rows(state, events, TABLE):
            parts.append(f"## {title}\n\n```text\n{found}```\n")
    automatic = {group.name: _rows(state, (Automatic,), (*expand(group.rows),)) for group in GROUPS}
    parts += [f"## Automatic rows: {name}\n\n```text\n{found}```\n" for name, found in automatic.items() if found]
    return "\n".join(parts)


def _link(state: State) -> str:
    return f"state-{state}.md"


def _rows(state: State, events: Iterable[type[Event]], table: Sequence[Transition]) -> str:
    """Return the rows of these events, once for all events with the same rows."""
    names_by_rows: dict[str, list[str]] = {}
    for event in events:
        rows = [f"    {_row(row)}\n" for row in table if row.source is state and row.event is event]
        if rows:
            names_by_rows.setdefault("".join(rows), []).append(event.name)
    return "".join(f"{', '.join(names)}\n{rows}" for rows, names in names_by_rows.items())


def _row(row: Transition) -> str:
    conditions = ["|".join(map(_name, row.stages)), "|".join(sorted(row.phases)), *map(_function, row.guards)]
    target = row.target or ""
    if row.next_stage is not None:
        target = _name(row.next_stage)
    result = filter(None, (", ".join(map(_function, row.actions)), f"-> {target}" if target else ""))
    return f"{', '.join(filter(None, conditions)) or 'else'}: {' '.join(result)}"


def _function(function: Callable[..., object]) -> str:
    """Return a guard's or action's name, with arguments."""
    if function.__name__ == "refuse":
        return "refuse"
    if "<locals>" in function.__qualname__:  # its docstring names what it was made with
        return f"{function.__name__}({', '.join(re.findall('`(.+?)`', function.__doc__ or ''))})"
    return function.__name__


def _name(stage: Stage) -> str:
    return f"opening-{stage.name.lower()}" if isinstance(stage, Opening) else str(stage)


def _stages(meanings: Mapping[str, str]) -> Iterable[str]:
    for stage in TransferStage:
        limits = [one for one in LIMITS if one.stage is stage]
        columns = (_each(limits, lambda one: _time(one.timeout)), _each(limits, _actions))
        yield f"| {' | '.join((f'`{stage}`', _cell(meanings[stage.name].rstrip('.')), *columns))} |\n"


def _unsettled() -> str:
    """Return what a read of Twilio may settle, and the theory above it."""
    policy = Policy()
    pauses = {
        name: ", ".join(f"{one * policy.read_pause_ms / 1000:g}" for one in units) for name, units in _PAUSES.items()
    }
    theory = (unsettled.__doc__ or "").partition("\n\n")[2].rstrip("\n")
    head = _UNSETTLED.format(theory=theory, last=f"{policy.reread_interval_ms / 1000:g}", **pauses)
    return head + "".join(f"| {' | '.join(_unsettled_cells(row))} |\n" for row in UNSETTLED)


def _unsettled_cells(row: Unsettled) -> Iterable[str]:
    yield ", ".join((*(f"`{state}`" for state in State if state in row.source), *sorted(row.phases or ())))
    yield f"`{row.name}`"
    yield _time(row.due) if row.due else "at once"
    name = next(name for name, pauses in _PAUSES.items() if row.again is pauses)
    yield name if row.again is OTHERS else f"`{name}`"
    yield _cell(row.why)


def _each(rows: Sequence[Limit], words: Callable[[Limit], str]) -> str:
    """Return what all of a stage share, or each with its phases."""
    found = [words(one) for one in rows]
    if len({*found}) <= 1:
        return "".join(found[:1])
    return "; ".join(f"{text} ({', '.join(sorted(one.phases or ()))})" for one, text in zip(rows, found, strict=True))


def _actions(limit: Limit) -> str:
    actions = limit.actions if isinstance(limit.actions, tuple) else (limit.actions,)
    return " ".join(_cell(_summary(one)) for one in actions)


def _time(timeout: str) -> str:
    return f"{getattr(Policy(), timeout) / 1000:g} s"


def _summary(thing: object) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join((thing.__doc__ or "").strip().partition("\n\n")[0].split())


def _cell(text: str) -> str:
    """Escape what would leave a table cell, such as TwiML's brackets."""
    plain = re.sub(r"(`[^`]*`)|[<>]", lambda found: found[1] or escape(found[0]), text)
    return plain.replace("|", "\\|")
