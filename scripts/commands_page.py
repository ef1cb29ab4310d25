"""Fill the table of refusals in docs/commands.md from the transition table."""

import re

from page_parts import ROOT

from conferral.statemachine.events import COMMANDS
from conferral.statemachine.table import ROWS, TABLE, Refuse
from conferral.statemachine.table.row import refusal

_BLOCK = re.compile(r"(<!-- refusals -->\n).*?(<!-- /refusals -->)", re.DOTALL)
_OF_SESSIONS = frozenset(command for command in COMMANDS if command.name != "call")


def filled(page: str) -> str:
    """Return a page with the current refusals."""
    text = (ROOT / page).read_text("utf-8")
    return _BLOCK.sub(lambda found: f"{found[1]}{_table()}\n{found[2]}", text)


def _table() -> str:
    lines = ["| `reason` | Commands |", "| --- | --- |"]
    for reason in dict.fromkeys(row.reason for row in ROWS if isinstance(row, Refuse)):
        events = {one.event for one in TABLE if refusal(reason) in one.actions}
        shown = f"`{reason}`" if isinstance(reason, str) else (reason.__doc__ or "").strip().rstrip(".")
        lines.append(f"| {shown} | {_commands(events)} |")
    return "\n".join(lines)


def _commands(events: set[type]) -> str:
    if events == _OF_SESSIONS:
        return "all except `call`"
    return ", ".join(f"`{command.name}`" for command in COMMANDS if command in events)
