"""The fields of commands: one model for each, from which every way of giving a command follows.

The stream's entries (all text), HTTP's JSON, the command line and the Python client are held against the same models
and refused in the same words; OpenAPI and AsyncAPI are made from them. The words say what is right and never repeat
what was given, which may be somebody's number.
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
#: What every command has, whatever it asks for.
_COMMON = frozenset({"type", "session", "id", "by"})


class BadCommandError(ValueError):
    """A command that can't be one, with the reason in words for whoever gave it."""


class CommandModel(BaseModel):
    """What commands have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: What the session is told.
    kind: ClassVar[type[events.Command]]

    session: SessionName = Field(description=_SESSION_HELP)
    id: CommandId = Field("", description="under which the outcome is kept; given twice, the command is done once")
    by: Author = Field("", description="who gives the command; it appears in the session's log")

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: dict[str, Any]) -> dict[str, Any]:
        """An empty field counts as not given."""
        known = cls.names()
        return {name: value for name, value in given.items() if value != "" or name not in known}

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Only what is nobody's number or name."""
        return [("session", self.session), ("id", self.id)]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The fields' names as a command has them, `type`, `session` and `id` among them."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    @classmethod
    def own_names(cls) -> tuple[str, ...]:
        """The names of the fields that not every command has."""
        return tuple(name for name in cls.names() if name not in _COMMON)

    def values(self) -> dict[str, Value]:
        """What was given, by the attributes of the event that the session is told."""
        return {name: getattr(self, name) for name in type(self).model_fields
                if name in self.model_fields_set and name not in _COMMON}  # fmt: skip

    def entry(self) -> dict[str, str]:
        """What was given, as an entry of the stream of commands: text, by the fields' names."""
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
    """Hand the customer over to somebody else."""

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
    """The agent leaves, customer and target stay."""

    kind = events.Complete
    type: Literal["complete"]


class Cancel(CommandModel):
    """The target leaves or stops ringing, agent and customer go on."""

    kind = events.Cancel
    type: Literal["cancel"]


class Swap(CommandModel):
    """In a consult: whom the agent talks to changes."""

    kind = events.Swap
    type: Literal["swap"]


class Merge(CommandModel):
    """In a consult: all three talk."""

    kind = events.Merge
    type: Literal["merge"]


class Park(CommandModel):
    """The agent leaves, and the customer waits with music until somebody takes the call up again."""

    kind = events.Park
    type: Literal["park"]


class Retrieve(CommandModel):
    """Somebody takes a parked call up again."""

    kind = events.Retrieve
    type: Literal["retrieve"]
    to: Destination = Field(description=_DESTINATION_HELP)
    brief: Brief = _BRIEF
    confirm: Confirm = _CONFIRM
    timeout_s: Timeout = _TIMEOUT
    digits: Digits = _DIGITS
    caller_id: CallerId = _CALLER_ID


class Add(CommandModel):
    """Dial one more party in."""

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
    """Hang one party up."""

    kind = events.Remove
    type: Literal["remove"]
    party: PartyName = _PARTY


class Hold(CommandModel):
    """One party hears music, and is heard by nobody."""

    kind = events.Hold
    type: Literal["hold"]
    party: PartyName = _PARTY


class Unhold(CommandModel):
    """One party hears the others again."""

    kind = events.Unhold
    type: Literal["unhold"]
    party: PartyName = _PARTY


class Mute(CommandModel):
    """One party is heard by nobody."""

    kind = events.Mute
    type: Literal["mute"]
    party: PartyName = _PARTY


class Unmute(CommandModel):
    """One party is heard again."""

    kind = events.Unmute
    type: Literal["unmute"]
    party: PartyName = _PARTY


class Supervise(CommandModel):
    """Somebody listens in, or helps the agent; repeated with another mode it switches."""

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
    """Play something to all, or say it: one of the two."""

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
    """Record the customer's call, or the conference where that is recorded from its start."""

    kind = events.Record
    type: Literal["record"]
    action: RecordActionWord = Field(description=join_with_or([action.value for action in RecordAction]))


class End(CommandModel):
    """Hang everybody up."""

    kind = events.End
    type: Literal["end"]


#: The model of every command by its name, in the order in which docs list them.
MODELS: dict[str, type[CommandModel]] = {
    model.kind.name: model for model in (
        Call, Convert, Transfer, Complete, Cancel, Swap, Merge, Park, Retrieve, Add, Remove, Hold, Unhold, Mute, Unmute,
        Supervise, Announce, Record, End,
    )
}  # fmt: skip


def validate(fields: Mapping[str, Any]) -> CommandModel:
    """The command of fields: text as in the stream, or values of JSON, where `confirm` may be a boolean and `timeout` a
    number. An empty text counts as not given.

    Raises:
        BadCommandError: unknown type, or a field that is missing, wrong or of no command of that type.
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
    """Which fault is told: that of the session, else a field that is none, else the first one."""
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
    """A word from outside, made safe to repeat: short, and never a number."""
    return repr(given) if isinstance(given, str) and re.fullmatch(r"[A-Za-z_-]{0,32}", given) else "(unprintable)"


def schema_of(model: type[CommandModel], *, without: Collection[str] = ()) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a command: it accepts what `validate` does, but for what no schema can say.

    Args:
        model: The command.
        without: Fields that are given in another way, for instance `session` in the path of a request.
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
                del fields[name]["default"]  # not given at all
    whole = {**schema, "properties": fields, "required": needed}
    if model is Announce:
        nothing = {"maxLength": 0}
        whole["oneOf"] = [
            {"required": [one], "properties": {one: {"minLength": 1}, other: nothing}}
            for one, other in (("url", "say"), ("say", "url"))
        ]
    return whole


def _allow_empty(field: dict[str, Any]) -> None:
    """An empty text counts as not given."""
    for form in field.get("anyOf", [field]):
        if form.get("type") == "string":
            if "pattern" in form:
                form["pattern"] = f"^(?:{form['pattern'][1:-1]})?$"
            if "enum" in form:
                form["enum"] = [*form["enum"], ""]
