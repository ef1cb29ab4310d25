"""Fill the refusals of docs/commands.md, and describe commands as tools."""

import json
import re

from page_parts import ROOT, words

from conferral.commands.parser import schema_of
from conferral.statemachine.events import COMMANDS
from conferral.statemachine.table import ROWS, TABLE

_BLOCK = re.compile(r"(<!-- refusals -->\n).*?(<!-- /refusals -->)", re.DOTALL)
#: So many commands or fewer are named as exceptions.
_FEW = 5


def filled(page: str) -> str:
    """Return a page with the current refusals."""
    text = (ROOT / page).read_text("utf-8")
    return _BLOCK.sub(lambda found: f"{found[1]}{_table()}\n{found[2]}", text)


def tools() -> str:
    """Return the commands as tools for language models, in JSON."""
    # A model must not choose ids, and some providers refuse a schema's `if`.
    schemas = {command.name: schema_of(command, without=("type", "id", "by")) for command in COMMANDS}
    found = [
        {
            "name": name,
            "description": schema["description"],
            "parameters": {key: schema[key] for key in ("type", "properties", "required", "additionalProperties")},
        }
        for name, schema in schemas.items()
    ]
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


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
    others = [command.name for command in COMMANDS if command not in events]
    if len(others) <= _FEW:
        return f"all except {words(others)}"
    return words(command.name for command in COMMANDS if command in events)
