"""JSON of the control API, except commands (`statemachine/events/`).

The API's description is generated from these. What sessions and log entries have in JSON derives from their records.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from conferral.outcomes import outcome
from conferral.runtime.limits import IDENTITY
from conferral.runtime.web.json_requests import RequestError
from conferral.statemachine import parts, session
from conferral.statemachine.record import CODE, BaseRecord, Hidden, about
from conferral.statemachine.states import OutcomeKind, TransferMode
from conferral.statemachine.step import CommandStatus
from conferral.storage.codecs import log_codec
from conferral.storage.codecs.session_codec import PUBLIC
from conferral.telephony.identities import identity_problem
from conferral.webhooks.api.parameters import ErrorType


class Direction(StrEnum):
    """Who placed the call: the customer (inbound), or you."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Problem(msgspec.Struct):
    """The reason why a request was refused."""

    type: Annotated[ErrorType, about("the kind of error")]
    reason: Annotated[str, about("the problem, for a person to read")]
    allowed: Annotated[list[str], about("what would be accepted instead, such as a session's commands; may be empty")]
    docs: Annotated[str, about("the page and section of the documentation that explains what to do")]


class ErrorAnswer(msgspec.Struct):
    """The answer to a refused request."""

    error: Problem


class CommandAccepted(msgspec.Struct):
    """The command was published; its outcome is stored under its id."""

    command: Annotated[str, about("the command's id")]


class SessionAccepted(CommandAccepted):
    """The call was requested."""

    session: Annotated[str, about("the id of the session, once a worker has opened it")]


class CommandOutcome(CommandAccepted):
    """A command's outcome so far."""

    status: Annotated[
        str,
        about(
            "empty until a worker has processed it; `accepted` is followed by `done` or `failed`", "", *CommandStatus
        ),
    ]
    reason: Annotated[str, about("why it was rejected or failed, or additional information")]
    code: Annotated[int | None, about(CODE)]
    session: Annotated[str, about("the command's session; empty until it is known")]
    by: Annotated[
        str, about("who gave it, such as `api/alice`; empty if it is unknown, or no worker has processed it yet")
    ]


def _json_type(record: type[msgspec.Struct], types: Mapping[str, Any], name: str, description: str) -> type:
    """Return a record's JSON: attributes of these types, with its words."""
    hints = get_type_hints(record, include_extras=True)
    fields: list[tuple[str, Any]] = []
    for attribute, kind in types.items():
        notes = [one for one in get_args(hints.get(attribute)) if isinstance(one, Meta)]
        fields.append((attribute, Annotated[kind, notes[0]] if notes else kind))
    names = {one.name: one.encode_name.removesuffix("_ms") for one in msgspec.structs.fields(record)}
    return msgspec.defstruct(name, fields, namespace={"__doc__": description}, rename=names)


def _types(record: type[BaseRecord], **others: Any) -> dict[str, Any]:
    """Return the types of a session's public JSON, or of a part of it."""
    hints, names = get_type_hints(record), [one for one in PUBLIC[record] if not one.startswith("conference_")]
    numbers = {one: hints[one] for one in names if hints[one] in (int, bool) and not one.endswith("_ms")}
    kinds = {one: hints[one] for one in names if isinstance(hints[one], type)}
    words = {one: kind | None for one, kind in kinds.items() if issubclass(kind, StrEnum)}
    return dict.fromkeys(names, str | None) | numbers | words | others


class Conference(msgspec.Struct):
    """A session's conference."""

    sid: Annotated[str | None, about("null until Twilio has created it")]
    name: Annotated[str | None, about("its friendly name; the session's id unless that was given")]


if TYPE_CHECKING:
    Session = dict[str, Any]
    LogEntry = dict[str, Any]
    Outcome = dict[str, Any]
else:
    Party = _json_type(session.Party, _types(session.Party), "Party", "A party of a session.")
    Transfer = _json_type(
        parts.TransferState, _types(parts.TransferState, code=int | None), "Transfer", "A session's newest transfer."
    )
    Session = _json_type(
        session.Session,
        _types(
            session.Session,
            id=str,
            direction=Direction | None,
            conference=Conference | None,
            parties=dict[str, Party],
            transfer=Transfer | None,
        ),
        "Session",
        "A session. What is empty or not known is null; times are ISO 8601, UTC.",
    )
    LogEntry = _json_type(log_codec.LogEntry, log_codec.json_types(), "LogEntry", log_codec.LogEntry.__doc__)
    Outcome = _json_type(
        outcome.OutcomeRecord,
        outcome.json_types() | {"kind": OutcomeKind | None, "direction": Direction | None, "mode": TransferMode | None},
        "Outcome",
        "A finished transfer, an ended session, a recorded message, or a recording. What is empty, or not of this "
        "kind, is null.",
    )


class SessionPage(msgspec.Struct):
    """One page of sessions."""

    sessions: list[Session]
    cursor: Annotated[str | None, about("pass it as `cursor` to get the next page; null on the last page")]


class LogPage(msgspec.Struct):
    """One page of a session's log, oldest first."""

    entries: list[LogEntry]
    cursor: Annotated[str | None, about("pass it as `cursor` to get the next page; null on the last page")]


class OutcomePage(msgspec.Struct):
    """Outcomes, oldest first."""

    outcomes: list[Outcome]
    cursor: Annotated[str, about("pass it as `after` for what follows; the same again if there is nothing newer")]
    gap: Annotated[bool, about("whether entries after `after` have been trimmed")]


class TokenRequest(BaseRecord, frozen=True, forbid_unknown_fields=True):
    """A request for an access token."""

    identity: Annotated[
        Hidden[str],
        Meta(
            description="the agent's name, as in `client:NAME`; letters, digits, and `_`",
            pattern=f"^{IDENTITY}$",
        ),
    ]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "TokenRequest":
        """Validate a request's body, or raise RequestError."""
        match body:
            case {"identity": str(identity)} if len(body) == 1:
                if problem := identity_problem(identity):
                    raise RequestError(ErrorType.INVALID, f"identity {problem}")
                return cls(identity)
        raise RequestError(ErrorType.INVALID, "an access token takes one field, identity, which is text")


class IssuedToken(BaseRecord, frozen=True):
    """An access token; anyone who has it can place and receive calls until
    it expires.
    """

    token: Hidden[str]
    identity: Hidden[str]
    expires_at: Annotated[str, about("ISO 8601, UTC")]
