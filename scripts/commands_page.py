"""Fill the table of refusals in docs/commands.md from the transition table."""

import re

from page_parts import ROOT

from conferral.statemachine.events import COMMANDS
from conferral.statemachine.table import ROWS, TABLE

_BLOCK = re.compile(r"(<!-- refusals -->\n).*?(<!-- /refusals -->)", re.DOTALL)
_OF_SESSIONS = frozenset(command for command in COMMANDS if command.name != "call")


def filled(page: str) -> str:
    """Return a page with the current refusals."""
    text = (ROOT / page).read_text("utf-8")
    return _BLOCK.sub(lambda found: f"{found[1]}{_table()}\n{found[2]}", text)


def _table() -> str:
    lines = ["| `reason` | Commands |", "| --- | --- |"]
    actions = [row.actions for row in ROWS if not isinstance(row.actions, tuple)]
    for refusal in dict.fromkeys(action for action in actions if action.__name__ == "refuse"):
        events = {one.event for one in TABLE if refusal in one.actions}
        shown = (refusal.__doc__ or "").removeprefix("Refuse: ").strip().rstrip(".")
        shown = re.sub('^"(.*)"$', r"`\1`", shown)
        lines.append(f"| {shown} | {_commands(events)} |")
    return "\n".join(lines)


def _commands(events: set[type]) -> str:
    if events == _OF_SESSIONS:
        return "all except `call`"
    return ", ".join(f"`{command.name}`" for command in COMMANDS if command in events)
