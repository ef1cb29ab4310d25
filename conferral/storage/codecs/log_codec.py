"""Log entries: the one description of what a session's log has.

A worker writes them; the API, the client, the console, and the reference of Redis's keys derive from them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple, TypedDict, get_type_hints

import msgspec
from msgspec.structs import astuple

from conferral.statemachine.record import CODE, BaseRecord, Hidden, about
from conferral.statemachine.states import State
from conferral.statemachine.step import DecisionKind
from conferral.storage.codecs.text_codec import parse_object, parse_rows, parse_texts, parse_time_ms, to_iso

#: Redis keeps any number of digits, but no version and no number of requests has as many.
_COUNT = re.compile(r"[0-9]{1,15}")


class LogEffect(TypedDict):
    """An effect that was emitted."""

    id: str
    kind: str
    party: Annotated[str, about("the party it concerns")]
    target: Annotated[str, about("the SID or label of its object; empty if it creates one")]
    detail: str


class LogReport(TypedDict):
    """A change in a command's status."""

    command: Annotated[str, about("the command's id")]
    type: Annotated[str, about("the command's type")]
    status: Annotated[str, about("done, failed, or rejected")]
    reason: Annotated[str, about("why")]
    code: Annotated[str, about(CODE)]


class LogEntry(
    BaseRecord,
    frozen=True,
    kw_only=True,
    rename={"id": "entry", "at_ms": "at", "happened_at_ms": "happened_at", "state_before": "from", "state_after": "to",
            "command_id": "command", "effect_id": "effect"},
):  # fmt: skip
    """An event of a session, and what was decided."""

    #: The session's id; a stream's entry does not have it.
    session: str = ""
    id: Annotated[str, about("the entry's id in the stream")] = ""
    at_ms: Annotated[int, about("when it was decided")] = 0
    event: Annotated[str, about("the type of event")] = ""
    state_before: Annotated[str, about("the state before", "", *State)] = ""
    state_after: Annotated[str, about("the state after", "", *State)] = ""
    outcome: Annotated[str, about("what the event led to", "", *DecisionKind)] = ""
    version: Annotated[int, about("the session's version after it")] = 0
    reason: Annotated[str, about("why it was refused or ignored")] = ""
    effects: Annotated[tuple[LogEffect, ...], about("the effects that it caused")] = ()
    happened_at_ms: Annotated[int, about("of a callback: when it happened, by Twilio's clock")] = 0
    reports: Annotated[tuple[LogReport, ...], about("the results of commands that it decided")] = ()
    details: Annotated[Mapping[str, Any], about("the event's own fields, such as `party` and `status`")] = (
        msgspec.field(default_factory=dict)
    )
    other: Annotated[Mapping[str, Any], about("JSON, Twilio's parameters that this version does not know")] = (
        msgspec.field(default_factory=dict)
    )
    command_id: Annotated[str, about("of a command: its id")] = ""
    by: Annotated[str, about("of a command: who gave it, if the command said so")] = ""
    effect_id: Annotated[str, about("of an effect's result: the effect's id")] = ""
    attempts: Annotated[int, about("of an effect's result: the number of requests, if some failed")] = 0
    failed_attempts: Annotated[
        tuple[str, ...],
        about('JSON, the results of the failed requests, such as `["503 x2", "429 code 20429 x1"]`'),
    ] = ()
    changes: Annotated[Mapping[str, bool | int | str | None], about("what it changed; null if it is gone")] = (
        msgspec.field(default_factory=dict)
    )
    #: As stored, including those that this version doesn't know; empty if it is not from Redis.
    fields: Hidden[Mapping[str, str]] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, entry_id: str, fields: Mapping[str, str], session: str = "") -> "LogEntry":
        """Return a stream's entry; what can't be understood is empty."""
        found = {one.attribute: one.decode(fields[one.name]) for one in _STORED if one.name in fields}
        return cls(session=session, id=entry_id, fields=fields, **found)

    @property
    def at(self) -> datetime | None:
        """When it was decided; None if that can't be read."""
        return datetime.fromtimestamp(self.at_ms / 1000, UTC) if self.at_ms else None

    @property
    def is_end(self) -> bool:
        """Whether this event ended the session."""
        return self.state_after == State.ENDED != self.state_before

    def stored(self) -> dict[str, str]:
        """Return the fields of the stream's entry."""
        values = zip(_STORED, astuple(self)[_FIRST:-1], strict=True)
        return {field.name: field.encode(value) for field, value in values if value or field.is_always}

    def public(self) -> dict[str, Any]:
        """Return its JSON for other programs: all texts as they are stored."""
        parsed = {name: getattr(self, name) for name in _PARSED}
        return {**dict.fromkeys((one.name for one in _STORED), ""), **self.fields, **parsed, "entry": self.id}


#: Lists and objects also in its public JSON, in which all else is text.
_PARSED = ("effects", "reports", "details", "changes")
#: Optional in the stream.
_OPTIONAL = frozenset({"happened_at_ms", "details", "other", "command_id", "by", "effect_id", "attempts",
                       "failed_attempts", "changes", "reports"})  # fmt: skip


def json_types() -> dict[str, Any]:
    """Return the types of an entry's attributes in its public JSON."""
    hints = get_type_hints(LogEntry)
    return {name: hints[name] if name in _PARSED else str for name in ("id", *(one.attribute for one in _STORED))}


class _Field(NamedTuple):
    """One field of a stream's entry."""

    name: str
    attribute: str
    is_always: bool
    encode: Callable[[Any], str]
    decode: Callable[[str], Any]


def _fields() -> Iterator[_Field]:
    hints = get_type_hints(LogEntry)
    for info in msgspec.structs.fields(LogEntry)[_FIRST:-1]:
        encode, decode = _CODECS[hints[info.name]]
        if info.name.endswith("at_ms"):
            encode, decode = to_iso, parse_time_ms
        yield _Field(info.encode_name, info.name, info.name not in _OPTIONAL, encode, decode)


def _count_of(text: str) -> int:
    return int(text) if _COUNT.fullmatch(text) else 0


def _rows_of(kind: type[LogEffect] | type[LogReport]) -> Callable[[str], tuple[Any, ...]]:
    """Return a decoder of rows, in which what is no text is empty."""
    names = get_type_hints(kind)

    def decode(text: str) -> tuple[dict[str, str], ...]:
        return tuple(
            {name: row[name] if isinstance(row.get(name), str) else "" for name in names} for row in parse_rows(text)
        )

    return decode


def _changes_of(text: str) -> dict[str, bool | int | str | None]:
    return {name: one for name, one in parse_object(text).items() if one is None or isinstance(one, bool | int | str)}


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _rows_to_json(rows: tuple[dict[str, str], ...]) -> str:
    """Return rows without the texts that most of them lack."""
    if not rows:
        return "[]"
    return _to_json([{k: text for k, text in row.items() if text or k not in ("detail", "code")} for row in rows])


#: How an attribute of a type becomes a text, and what a text becomes.
_CODECS: Mapping[Any, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    str: (str, str),
    int: (str, _count_of),
    tuple[LogEffect, ...]: (_rows_to_json, _rows_of(LogEffect)),
    tuple[LogReport, ...]: (_rows_to_json, _rows_of(LogReport)),
    tuple[str, ...]: (_to_json, parse_texts),
    Mapping[str, Any]: (_to_json, parse_object),
    Mapping[str, bool | int | str | None]: (_to_json, _changes_of),
}
#: Attributes before those that are stored: session and id.
_FIRST = 2
_STORED = tuple(_fields())
