"""Command parser: checks fields for every way to submit a command.

The stream's entries (all text), HTTP's JSON, the command line, and the Python client get the same messages. A message
says what is valid, and never repeats the input, which may be a phone number.
"""

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conferral.runtime.text import join_words
from conferral.statemachine.events.commands import COMMANDS_BY_NAME, Command
from conferral.storage.commands.command_descriptions import COMMON_FIELDS, CommandField, fields_of, own_fields
from conferral.storage.commands.field_values import Value as FieldValue

Value = str | bool | int


class BadCommandError(ValueError):
    """A command is invalid; the message explains the problem to its sender."""


@dataclass(frozen=True, slots=True)
class ParsedCommand:
    """A well-formed command; its session decides later whether to accept it."""

    event_type: type[Command]
    #: A session's id or the SID of one of its calls. For `call`, the new session's id; empty to generate one.
    session: str
    #: Empty to generate one.
    id: str = ""
    by: str = field(default="", repr=False)
    #: By attribute of the command's class; excluded from the repr, since they hold addresses.
    values: Mapping[str, Value] = field(default_factory=dict, repr=False)

    def event(self, session_id: str, command_id: str, published_at_ms: int) -> Command:
        """Return the event that the session decides."""
        common = {"session_id": session_id, "token": command_id, "occurred_at_ms": published_at_ms, "by": self.by}
        return self.event_type(**common, **self.values)  # type: ignore[arg-type]  # the fields' checks see to the types

    def entry(self) -> dict[str, str]:
        """Return an entry of the command stream: text, by field name."""
        common = {"type": self.event_type.name, "session": self.session, "id": self.id, "by": self.by}
        given = {one.name: self.values[one.attribute] for one in own_fields(self.event_type)
                 if one.attribute in self.values}  # fmt: skip
        texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
        return {name: text for name, text in (common | texts).items() if text}


def parse(fields: Mapping[str, Any]) -> ParsedCommand:
    """Check a command's fields, text or JSON; raise BadCommandError.

    In JSON, `confirm` may be a boolean and `timeout` a number. Empty text counts as absent.
    """
    command = _type_of(fields)
    session, *others = fields_of(command)
    values = _parse_fields(command, [session], fields)
    if unknown := fields.keys() - {"type", *(one.name for one in fields_of(command))}:
        takes = join_words(("session", *(one.name for one in own_fields(command)), "id"), "and")
        raise BadCommandError(f"{command.name} has no field {_safe_repr(min(unknown))}; it takes {takes}")
    if command.one_of and sum(fields.get(name) not in (None, "") for name in command.one_of) != 1:
        raise BadCommandError(f"{command.name} needs one of the fields {' and '.join(command.one_of)}, and not both")
    values |= _parse_fields(command, others, fields)
    session_id, command_id, by = (str(values.pop(one.attribute, "")) for one in COMMON_FIELDS)
    return ParsedCommand(command, session_id, command_id, by, values)


def _type_of(fields: Mapping[str, Any]) -> type[Command]:
    name = fields.get("type", "")
    known = f"one of: {', '.join(sorted(COMMANDS_BY_NAME))}"
    if name == "":
        raise BadCommandError(f'missing field "type" (the command); {known}')
    command = COMMANDS_BY_NAME.get(name) if isinstance(name, str) else None
    if command is None:
        raise BadCommandError(f"unknown type {_safe_repr(name)}; {known}")
    return command


def _parse_fields(
    command: type[Command], descriptions: Sequence[CommandField], fields: Mapping[str, Any]
) -> dict[str, Value]:
    """Return the given values of the described fields, by attribute."""
    values = {}
    for one in descriptions:
        given = fields.get(one.name, "")
        if given != "":
            try:
                values[one.attribute] = one.value.parse(given)
            except ValueError as error:
                raise BadCommandError(f"{one.name} {error}") from None
        elif one.is_required:
            raise BadCommandError(f'{command.name}: missing field "{one.name}" ({one.hint})')
    return values


def _safe_repr(given: object) -> str:
    """Return input that is safe to repeat: short, and never a number."""
    return repr(given) if isinstance(given, str) and re.fullmatch(r"[A-Za-z_-]{0,32}", given) else "(unprintable)"


def schema_of(command: type[Command], *, without: Collection[str] = (), needs_type: bool = True) -> dict[str, Any]:
    """Return a JSON Schema (2020-12) of what `parse` accepts.

    Fields `without` are given in another way, such as `session` in a path. `needs_type` if other commands are possible.
    """
    properties: dict[str, Any] = {"type": {"type": "string", "const": command.name}}
    properties |= {one.name: _field_schema(one) for one in fields_of(command)}
    needed = ["type"] if needs_type else []
    needed += [one.name for one in fields_of(command) if one.is_required]
    schema = {
        "title": command.__name__,
        "description": inspect.cleandoc(command.__doc__ or ""),
        "type": "object",
        "properties": {name: one for name, one in properties.items() if name not in without},
        "required": [name for name in needed if name not in without],
        "additionalProperties": False,
    }
    if command.one_of:
        schema["oneOf"] = [
            {"required": [name], "properties": {one: {"minLength": 1} if one == name else {"maxLength": 0}
                                                for one in command.one_of}}
            for name in command.one_of
        ]  # fmt: skip
    return schema


def _field_schema(described: CommandField) -> dict[str, Any]:
    """Return a field's JSON Schema; an optional field may also be empty."""
    schema = described.value.schema() if described.is_required else optional_schema(described.value)
    # No default: generators of clients take a field that has one for required.
    return {**schema, "description": described.description}


def optional_schema(value: FieldValue) -> dict[str, Any]:
    """Return the JSON Schema of a value that may be empty."""
    schema = value.schema()
    for form in schema.get("anyOf", [schema]):
        if "pattern" in form:
            form["pattern"] = f"^(?:{form['pattern'][1:-1]})?$"
        if "enum" in form:
            form["enum"] = [*form["enum"], ""]
    return schema
