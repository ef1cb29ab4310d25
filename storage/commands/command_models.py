"""Command models: one per command type, the basis of every way to submit a command.

The stream's entries (all text), HTTP's JSON, the command line, and the Python client all validate against these models,
with the same messages. OpenAPI and AsyncAPI are generated from them. A message says what is valid, and never repeats
the input, which may be a phone number.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from conferral.statemachine import events
from conferral.statemachine.states import TRANSFER_MODES, RecordAction, SessionMode, SuperviseMode
from conferral.storage.commands.command_values import (
    AnnounceUrl,
    Author,
    Brief,
    CallerId,
    CallMode,
    CommandId,
    Confirm,
    Destination,
    Destinations,
    Digits,
    NewParty,
    NewSessionName,
    PartyName,
    RecordActionWord,
    Say,
    SessionName,
    SuperviseModeWord,
    Timeout,
    TransferModeWord,
    join_with_or,
)

Value = str | bool | int

_SESSION_HELP = "a session's id or the SID of one of its calls"
_DESTINATION_HELP = "whom to dial"
_BRIEF: Any = Field("", description="said to the dialled party before joining")
_CONFIRM: Any = Field(False, description="whether the dialled party must press 1, so that no voicemail takes the call")
_TIMEOUT: Any = Field(0, alias="timeout", description="seconds to ring, counted from the ringing")
_DIGITS: Any = Field("", description="keys pressed for us after the answer; w waits half a second, W a whole one")
_CALLER_ID: Any = Field("", description="the number that the dialed party sees; a number in the account")
_PARTY: Any = Field(description="the name of a party or the SID of its call")
#: Fields that every command has.
_COMMON = frozenset({"type", "session", "id", "by"})


class BadCommandError(ValueError):
    """A command is invalid; the message explains the problem to its sender."""


class CommandModel(BaseModel):
    """Base class of commands."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: The event that the session receives.
    kind: ClassVar[type[events.Command]]

    session: SessionName = Field(description=_SESSION_HELP)
    id: CommandId = Field("", description="under which the outcome is kept; given twice, the command is done once")
    by: Author = Field("", description="who gives the command; it appears in the session's log")

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Treat an empty field as absent."""
        known = cls.names()
        return {name: value for name, value in given.items() if value != "" or name not in known}

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Show only fields that hold no phone number or personal name."""
        return [("session", self.session), ("id", self.id)]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the fields' names as in a command, including `type`, `session`, and `id`."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    @classmethod
    def own_names(cls) -> tuple[str, ...]:
        """Return the names of the fields that not every command has."""
        return tuple(name for name in cls.names() if name not in _COMMON)

    def values(self) -> dict[str, Value]:
        """Return the given values, by attribute of the event that the session receives."""
        return {name: getattr(self, name) for name in type(self).model_fields
                if name in self.model_fields_set and name not in _COMMON}  # fmt: skip

    def entry(self) -> dict[str, str]:
        """Return the given values as an entry of the command stream: text, by field name."""
        given = {"type": self.kind.name}
        for name, field in type(self).model_fields.items():
            if name in self.model_fields_set:
                value = getattr(self, name)
                given[field.alias or name] = str(value).lower() if isinstance(value, bool) else str(value)
        return given


class Call(CommandModel):
    """Call the agent first, then the customer: opens a session. Dial options are for the agent."""

    kind = events.Call
    type: Literal["call"]
    session: NewSessionName = Field("", description="the id of the new session; one is made where none is given")
    agent: Destination = Field(description="whom to call first")
    customer: Destination = Field(description="whom to call once the agent has answered")
    mode: CallMode = Field(SessionMode.BRIDGE.value, description=join_with_or([mode.value for mode in SessionMode]))
    brief: Brief = _BRIEF
    confirm: Confirm = _CONFIRM
    timeout_s: Timeout = _TIMEOUT
    digits: Digits = _DIGITS
    caller_id: CallerId = _CALLER_ID


class Convert(CommandModel):
    """Move a bridged call into a conference; neither party notices."""

    kind = events.Convert
    type: Literal["convert"]


class Transfer(CommandModel):
    """Transfer the customer to another destination."""

    kind = events.Transfer
    type: Literal["transfer"]
    to: Destinations = Field(description=_DESTINATION_HELP)
    mode: TransferModeWord = Field(description=join_with_or([mode.value for mode in TRANSFER_MODES]))
    brief: Brief = _BRIEF
    confirm: Confirm = _CONFIRM
    timeout_s: Timeout = _TIMEOUT
    digits: Digits = _DIGITS
    caller_id: CallerId = _CALLER_ID


class Complete(CommandModel):
    """Complete a transfer: the agent leaves, customer and target stay."""

    kind = events.Complete
    type: Literal["complete"]


class Cancel(CommandModel):
    """Cancel a transfer: the target leaves or stops ringing, agent and customer continue."""

    kind = events.Cancel
    type: Literal["cancel"]


class Swap(CommandModel):
    """In a consult: switch between customer and target."""

    kind = events.Swap
    type: Literal["swap"]


class Merge(CommandModel):
    """In a consult: connect all three."""

    kind = events.Merge
    type: Literal["merge"]


class Park(CommandModel):
    """Park the customer: the agent leaves, and the customer hears music until the call is retrieved."""

    kind = events.Park
    type: Literal["park"]


class Retrieve(CommandModel):
    """Retrieve a parked call: dial a destination and connect it to the customer."""

    kind = events.Retrieve
    type: Literal["retrieve"]
    to: Destination = Field(description=_DESTINATION_HELP)
    brief: Brief = _BRIEF
    confirm: Confirm = _CONFIRM
    timeout_s: Timeout = _TIMEOUT
    digits: Digits = _DIGITS
    caller_id: CallerId = _CALLER_ID


class Add(CommandModel):
    """Dial one more party into the conference."""

    kind = events.Add
    type: Literal["add"]
    to: Destination = Field(description=_DESTINATION_HELP)
    party: NewParty = Field(description="a new name for whoever is dialled")
    brief: Brief = _BRIEF
    confirm: Confirm = _CONFIRM
    timeout_s: Timeout = _TIMEOUT
    digits: Digits = _DIGITS
    caller_id: CallerId = _CALLER_ID


class Remove(CommandModel):
    """Hang up one party."""

    kind = events.Remove
    type: Literal["remove"]
    party: PartyName = _PARTY


class Hold(CommandModel):
    """Put one party on hold: they hear music, and no one hears them."""

    kind = events.Hold
    type: Literal["hold"]
    party: PartyName = _PARTY


class Unhold(CommandModel):
    """Take one party off hold."""

    kind = events.Unhold
    type: Literal["unhold"]
    party: PartyName = _PARTY


class Mute(CommandModel):
    """Mute one party: no one hears them."""

    kind = events.Mute
    type: Literal["mute"]
    party: PartyName = _PARTY


class Unmute(CommandModel):
    """Unmute one party."""

    kind = events.Unmute
    type: Literal["unmute"]
    party: PartyName = _PARTY


class Supervise(CommandModel):
    """Add a supervisor who listens in or helps the agent; repeated with another mode, it switches."""

    kind = events.Supervise
    type: Literal["supervise"]
    to: Destination = Field(description=_DESTINATION_HELP)
    mode: SuperviseModeWord = Field(description=join_with_or([mode.value for mode in SuperviseMode]))
    brief: Brief = _BRIEF
    confirm: Confirm = _CONFIRM
    timeout_s: Timeout = _TIMEOUT
    digits: Digits = _DIGITS
    caller_id: CallerId = _CALLER_ID


class Announce(CommandModel):
    """Play audio, or say a message, to all parties: one of the two."""

    kind = events.Announce
    type: Literal["announce"]
    url: AnnounceUrl = Field("", description="audio or TwiML that is played to all")
    say: Say = Field("", description="a sentence that is said to all")

    @model_validator(mode="after")
    def _one_of_two(self) -> "Announce":
        if bool(self.url) == bool(self.say):
            raise PydanticCustomError("command", "needs one of the fields url and say, and not both")
        return self


class Record(CommandModel):
    """Control the recording of the customer's call, or of a conference that is recorded from its start."""

    kind = events.Record
    type: Literal["record"]
    action: RecordActionWord = Field(description=join_with_or([action.value for action in RecordAction]))


class End(CommandModel):
    """Hang up all parties and end the session."""

    kind = events.End
    type: Literal["end"]


#: All command models by name, in the order of the docs.
MODELS: dict[str, type[CommandModel]] = {
    model.kind.name: model for model in (
        Call, Convert, Transfer, Complete, Cancel, Swap, Merge, Park, Retrieve, Add, Remove, Hold, Unhold, Mute, Unmute,
        Supervise, Announce, Record, End,
    )
}  # fmt: skip


def validate(fields: Mapping[str, Any]) -> CommandModel:
    """Validate a command's fields: text as in the stream, or JSON values.

    In JSON, `confirm` may be a boolean and `timeout` a number. Empty text counts as absent.

    Raises:
        BadCommandError: Unknown type, or a field that is missing, invalid, or not part of that type.
    """
    type_name = fields.get("type", "")
    if type_name == "":
        raise BadCommandError(f"the field type is missing: which command it is; known: {', '.join(sorted(MODELS))}")
    model = MODELS.get(type_name) if isinstance(type_name, str) else None
    if model is None:
        raise BadCommandError(f"unknown type {_safe_repr(type_name)}; known: {', '.join(sorted(MODELS))}")
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    raise BadCommandError(_describe_fault(model, min(found, key=_fault_priority)))


def _fault_priority(fault: ErrorDetails) -> tuple[int, str]:
    """Sort key for the fault to report: the session's first, then an unknown field, then the first one."""
    name = str(fault["loc"][0]) if fault["loc"] else ""
    if name == "session":
        return 0, ""
    return (1, name) if fault["type"] == "extra_forbidden" else (2, "")


def _describe_fault(model: type[CommandModel], fault: ErrorDetails) -> str:
    if not fault["loc"]:
        return f"{model.kind.name} {fault['msg']}"
    name = str(fault["loc"][0])
    if fault["type"] == "missing":
        return f"{model.kind.name} needs the field {name}: {model.model_fields[name].description}"
    if fault["type"] == "extra_forbidden":
        takes = ", ".join(("session", *model.own_names()))
        return f"{model.kind.name} has no field {_safe_repr(name)}; it takes {takes} and id"
    return f"{name} {fault['msg']}"


def _safe_repr(given: object) -> str:
    """Return input that is safe to repeat in a message: short, and never a number."""
    return repr(given) if isinstance(given, str) and re.fullmatch(r"[A-Za-z_-]{0,32}", given) else "(unprintable)"


def schema_of(model: type[CommandModel], *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return a command's JSON Schema (2020-12); it accepts what `validate` does, as far as a schema can say.

    Args:
        model: The command.
        without: Fields given in another way, such as `session` in a request's path.
    """
    schema = model.model_json_schema()
    needed = [name for name in schema["required"] if name not in without]
    fields = {}
    for name, field in schema["properties"].items():
        if name not in without:
            fields[name] = {key: value for key, value in field.items() if key != "title"}
            if name not in needed:
                _allow_empty(fields[name])
            if field.get("default") in ("", 0) and field["default"] is not False:
                del fields[name]["default"]  # these defaults mean "absent"
    whole = {**schema, "properties": fields, "required": needed}
    if model is Announce:
        nothing = {"maxLength": 0}
        whole["oneOf"] = [
            {"required": [one], "properties": {one: {"minLength": 1}, other: nothing}}
            for one, other in (("url", "say"), ("say", "url"))
        ]
    return whole


def _allow_empty(field: dict[str, Any]) -> None:
    """Allow empty text, which counts as absent."""
    for form in field.get("anyOf", [field]):
        if form.get("type") == "string":
            if "pattern" in form:
                form["pattern"] = f"^(?:{form['pattern'][1:-1]})?$"
            if "enum" in form:
                form["enum"] = [*form["enum"], ""]
