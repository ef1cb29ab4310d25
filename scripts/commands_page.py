"""Fill the tables of commands and reasons, and describe commands as tools."""

import json
import re
from typing import Any

import reasons_page
from page_parts import ROOT, words

from conferral.commands.parser import CommandField, fields_of, own_fields
from conferral.statemachine.events import COMMANDS
from conferral.statemachine.table import ROWS, TABLE

_BLOCK = re.compile(r"(<!-- ([a-z-]+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)
#: Parts of a pattern that not every provider's engine has: lookaround and the like, and escapes of characters.
_NOT_EVERYWHERE = re.compile(r"\(\?|\\u")
#: So many commands or fewer are named as exceptions.
_FEW = 5


def filled(page: str) -> str:
    """Return a page with its current tables."""
    text = (ROOT / page).read_text("utf-8")
    return _BLOCK.sub(lambda found: f"{found[1]}{_TABLES[found[2]]()}\n{found[3]}", text)


def tools() -> str:
    """Return the commands as tools for language models, in JSON.

    Providers take only a part of JSON Schema: no `if`, no empty word in an `enum`. The worker checks everything.
    """
    found = []
    for command in COMMANDS:
        session, *_ = fields_of(command)  # of the other common fields, such as ids, a model must choose none
        fields = (session, *own_fields(command))
        parameters = {
            "type": "object",
            "properties": {one.name: _tool_field(one) for one in fields},
            "required": [one.name for one in fields if one.is_required],
            "additionalProperties": False,
        }
        found.append({"name": command.name, "description": command.description(), "parameters": parameters})
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def _tool_field(described: CommandField) -> dict[str, Any]:
    """Return a field's schema: one type, and no pattern that some engine lacks."""
    schema, text = dict(described.value.schema), described.description
    schema = dict(schema.get("anyOf", [schema])[0])  # the others are its forms as text
    if _NOT_EVERYWHERE.search(schema.get("pattern", "")):
        del schema["pattern"]
        text = f"{text}; {described.value.rule}"
    return {**schema, "description": text}


def reasons() -> str:
    """Return the page of reasons."""
    return reasons_page.reasons_page(_refusals_table())


def _refusals_table() -> str:
    lines = ["| `reason` | Commands |", "| --- | --- |"]
    actions = [row.actions for row in ROWS if not isinstance(row.actions, tuple)]
    for refusal in dict.fromkeys(action for action in actions if action.__name__ == "refuse"):
        events = {one.event for one in TABLE if refusal in one.actions}
        if not events & {*COMMANDS}:
            continue  # no user sends it
        shown = (refusal.__doc__ or "").removeprefix("Refuse: ").strip().rstrip(".")
        shown = re.sub('^"(.*)"$', r"`\1`", shown)
        lines.append(f"| {shown} | {_commands(events)} |")
    return "\n".join(lines)


def _commands(events: set[type]) -> str:
    others = [command.name for command in COMMANDS if command not in events]
    if len(others) <= _FEW:
        return f"all except {words(others)}"
    return words(command.name for command in COMMANDS if command in events)


def _commands_table() -> str:
    lines = ["| Command | Does | Done when | Confirmed in |", "| --- | --- | --- | --- |"]
    for command in COMMANDS:
        does = command.description().partition("\n")[0].rstrip(".")
        pending = f"{command.pending_s} s" if command.pending_s else ""
        lines.append(f"| `{command.name}` | {does[0].lower()}{does[1:]} | {command.done_when} | {pending} |")
    return "\n".join(lines)


_TABLES = {
    "commands": _commands_table,
}
