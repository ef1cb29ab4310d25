"""Command parser: what a command's fields are, and checks of them.

All follows from the commands' classes (`statemachine/events/commands.py`) and from the kinds of values.

The stream's entries (all text), HTTP's JSON, the command line, and the Python client get the same messages. A message
says what is valid, and never repeats the input, which may be a phone number.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from inspect import get_annotations
from typing import Any, NamedTuple, get_type_hints

import msgspec

from conferral.commands import field_values as values
from conferral.runtime.text import join_words
from conferral.statemachine.events import COMMANDS
from conferral.statemachine.events.commands import COMMANDS_BY_NAME, Command, DialCommand
from conferral.statemachine.parts import DialOptions
from conferral.statemachine.record import Takes
from conferral.storage.codecs.text_codec import to_iso


class CommandField(NamedTuple):
    """One field of a command."""

    #: Its name in commands, and the command class's attribute.
    name: str
    attribute: str
    value: values.Value
    summary: str
    is_required: bool
    default: Any

    @property
    def description(self) -> str:
        """The summary, followed by the valid values in words."""
        return ": ".join(filter(None, (self.summary, self.value.format)))

    @property
    def hint(self) -> str:
        """The valid values if they are a closed list, else the summary."""
        return self.value.format if self.value.words else self.summary


#: Attributes whose field has another name. Others lack only their unit.
_FIELD_NAMES = {"session_id": "session", "token": "id"}
_UNIT = re.compile("_m?s$")


def _fields_of_class(command: type[Command]) -> tuple[CommandField, ...]:
    # Those of `Command` come first, then its own, then those of its other bases.
    classes = (Command, *command.__mro__[: command.__mro__.index(Command)])
    taken = {name: takes for one in classes for name, takes in _taken(one)}
    attributes = {one.name: one for kind in (DialOptions, command) for one in msgspec.structs.fields(kind)}
    return tuple(
        CommandField(
            _FIELD_NAMES.get(name) or _UNIT.sub("", name), name, values.value_of(takes.kind), takes.summary,
            attributes[name].required, attributes[name].default,
        )
        for name, takes in taken.items()
    )  # fmt: skip


def _taken(record: type[msgspec.Struct]) -> Iterator[tuple[str, Takes]]:
    """Yield the fields that a class itself declares, and what they take."""
    hints = get_type_hints(record, include_extras=True)
    for name in get_annotations(record):
        if hints[name] is DialOptions:
            yield from _taken(DialOptions)
        yield from ((name, note) for note in getattr(hints[name], "__metadata__", ()) if isinstance(note, Takes))


COMMON_FIELDS = _fields_of_class(Command)
_FIELDS = {command: _fields_of_class(command) for command in COMMANDS}


def fields_of(command: type[Command]) -> tuple[CommandField, ...]:
    """Return a command's fields: common ones, its own, and the dial options."""
    return _FIELDS[command]


def own_fields(command: type[Command]) -> tuple[CommandField, ...]:
    """Return the fields that not every command has."""
    return _FIELDS[command][len(COMMON_FIELDS) :]


Value = str | bool | int | tuple[str, ...]


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
    #: By when it must be decided, Unix milliseconds; 0 for no limit.
    deadline_ms: int = field(default=0, repr=False)
    #: By attribute of the command's class; excluded from the repr, since they hold addresses.
    values: Mapping[str, Value] = field(default_factory=dict, repr=False)

    @property
    def destinations(self) -> dict[str, tuple[str, ...]]:
        """The given destinations, by field; several, or one."""
        fields = (one.attribute for one in own_fields(self.event_type) if one.value.form == "destination")
        given = {name: self.values[name] for name in fields if self.values.get(name)}
        return {name: value if isinstance(value, tuple) else (str(value),) for name, value in given.items()}

    @property
    def fallback(self) -> tuple[str, ...]:
        """The given places of a fallback, in order."""
        places = self.values.get("fallback", ())
        return places if isinstance(places, tuple) else ()

    def with_addresses(self, found: Mapping[str, Sequence[str]]) -> "ParsedCommand":
        """Return the command with other destinations or places, by field."""
        several = {name for name, value in self.values.items() if isinstance(value, tuple)}
        resolved = {name: tuple(one) if name in several else one[0] for name, one in found.items()}
        return replace(self, values={**self.values, **resolved})

    def event(self, session_id: str, command_id: str, published_at_ms: int) -> Command:
        """Return the event that the session decides."""
        given: dict[str, Any] = dict(self.values)  # the fields' checks see to the types
        if issubclass(self.event_type, DialCommand):
            names = given.keys() & set(DialOptions.__struct_fields__)
            given["options"] = DialOptions(**{name: given.pop(name) for name in names})
        return self.event_type(
            session_id=session_id,
            token=command_id,
            occurred_at_ms=published_at_ms,
            by=self.by,
            deadline_ms=self.deadline_ms,
            **given,
        )

    def entry(self) -> dict[str, str]:
        """Return an entry of the command stream: text, by field name."""
        common = {"type": self.event_type.name, "session": self.session, "id": self.id, "by": self.by}
        common["deadline"] = to_iso(self.deadline_ms) if self.deadline_ms else ""
        given = {one.name: self.values[one.attribute] for one in own_fields(self.event_type)
                 if one.attribute in self.values}  # fmt: skip
        texts = common | {name: _text_of(value) for name, value in given.items()}
        return {name: text for name, text in texts.items() if text}


def _text_of(value: Value) -> str:
    """Return a value's text in the command stream."""
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(fields: Mapping[str, Any]) -> ParsedCommand:
    """Check a command's fields, text or JSON; raise BadCommandError.

    In JSON, `confirm` may be a boolean, `timeout` and `confirm_for` a number. Empty text counts as absent.
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
    common = fields_of(command)[: len(COMMON_FIELDS)]
    session_id, command_id, by, deadline_ms = (values.pop(one.attribute, one.default) for one in common)
    return ParsedCommand(command, session_id, command_id, by, deadline_ms, values)


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
    """Return the given values by attribute; refuse invalid or missing ones."""
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
        "description": command.description(),
        "type": "object",
        "properties": {name: one for name, one in properties.items() if name not in without},
        "required": [name for name in needed if name not in without],
        "additionalProperties": False,
    }
    if command.one_of:
        # No `oneOf`: generators of clients make it several commands, without the other fields.
        first, second = command.one_of
        schema["if"] = {"required": [first], "properties": {first: {"minLength": 1}}}
        schema["then"] = {"properties": {second: {"maxLength": 0}}}
        schema["else"] = {"required": [second], "properties": {second: {"minLength": 1}}}
    return schema


def _field_schema(described: CommandField) -> dict[str, Any]:
    """Return a field's JSON Schema; an optional field may also be empty."""
    schema = described.value.schema if described.is_required else optional_schema(described.value)
    # No default: generators of clients take a field that has one for required.
    return {**schema, "description": described.description}


def optional_schema(value: values.Value) -> dict[str, Any]:
    """Return the JSON Schema of a value that may be empty."""
    schema = deepcopy(dict(value.schema))
    for form in schema.get("anyOf", [schema]):
        if "pattern" in form:
            form["pattern"] = f"^(?:{form['pattern'][1:-1]})?$"
        if "enum" in form:
            form["enum"] = [*form["enum"], ""]
    return schema
