"""Parameters and errors of the control API."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from aiohttp import hdrs, web
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from conferral.commands.field_values import DESTINATION_MAX
from conferral.runtime.web.json_requests import RequestError
from conferral.statemachine.ids import ID_PATTERN, ID_RULE, REFERENCE_PATTERN, id_error
from conferral.statemachine.states import STATES_AND_PHASES, OutcomeKind
from conferral.storage.queries.session_reader import LIMIT_MAX, LOG_CURSOR


class ErrorType(StrEnum):
    """Kinds of errors; each has one HTTP status."""

    #: The request is not JSON, or not in the accepted format.
    MALFORMED = "malformed"
    #: The bearer token is missing or wrong.
    UNAUTHORIZED = "unauthorized"
    #: The token is valid, but may not do this.
    FORBIDDEN = "forbidden"
    #: There is no such session, call, or command, or it has expired.
    UNKNOWN = "unknown"
    #: The path does not support this method.
    METHOD = "method"
    #: The body did not arrive in time.
    TIMEOUT = "timeout"
    #: The session does not accept the command; `allowed` lists what else it accepts.
    REJECTED = "rejected"
    #: The id was already used for something else.
    ID_CONFLICT = "id-conflict"
    #: The body is too large.
    TOO_LARGE = "too-large"
    #: A field or parameter is missing or invalid.
    INVALID = "invalid"
    #: More than 20 wrong tokens came from this address within a minute.
    TOO_MANY = "too-many"
    #: The cookies, or another header, are too long.
    HEADERS_TOO_LARGE = "headers-too-large"
    #: An unexpected error in Conferral; its log has `unexpected_error`. A command may or may not have been accepted.
    INTERNAL = "internal"
    #: A required setting is missing.
    NOT_SET_UP = "not-set-up"
    #: Too many commands wait for a worker; this one was not accepted.
    FULL = "full"
    #: The process serves no more event streams.
    TOO_MANY_STREAMS = "too-many-streams"
    #: Redis is unreachable or refuses. A command may or may not have been accepted: retry with the same `id`.
    STORE = "store"
    #: Twilio is unreachable, or refused the request. It may or may not have acted.
    TWILIO = "twilio"


#: Maximum time to wait for an outcome (seconds): proxies give up at about a minute.
WAIT_S_MAX = 60
LIMIT_DEFAULT = 50


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter."""

    name: str
    description: str
    #: What is valid, to follow the name in a message.
    requirement: str
    type: TypeAdapter[Any]
    default: Any

    @property
    def schema(self) -> dict[str, Any]:
        """The value's JSON Schema."""
        named = ("title", "type", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern")
        schema = {key: value for key, value in self.type.json_schema().items() if key in named}
        return schema | ({"default": self.default} if isinstance(self.default, int) else {})


def _check_count(text: str) -> str:
    """Return one to three digits. Pydantic alone also accepts `+5` and `5.0`."""
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise ValueError("not one to three digits")
    return text


def _check_number(text: str) -> str:
    """Return a number as in JSON. Source: RFC 8259, section 6."""
    if len(text) > 32 or not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", text):
        raise ValueError("not a number in JSON")
    return text


STATE = Parameter(
    "state",
    "only sessions in this state, or in this phase; by default all, live ones first",
    f"must be one of {', '.join(STATES_AND_PHASES)}",
    TypeAdapter(Annotated[str, Field(pattern=f"^({'|'.join(STATES_AND_PHASES)})$")]),
    None,
)
PARTY = Parameter(
    "party",
    "only live sessions in which this address, name of the directory, or call SID takes part now",
    f"must be an address, a name of the directory, or a call SID, of at most {DESTINATION_MAX} characters",
    TypeAdapter(Annotated[str, Field(min_length=1, max_length=DESTINATION_MAX)]),
    "",
)
REF = Parameter(
    "ref",
    "only sessions with this reference of yours",
    "must be 1 to 64 characters",
    TypeAdapter(Annotated[str, Field(min_length=1, max_length=64)]),
    "",
)
LIMIT = Parameter(
    "limit",
    "maximum number of entries",
    f"must be a whole number, 1 to {LIMIT_MAX}",
    TypeAdapter(Annotated[int, Field(ge=1, le=LIMIT_MAX), BeforeValidator(_check_count)]),
    LIMIT_DEFAULT,
)
CURSOR = Parameter(
    "cursor",
    "where the page begins; without it, the first page",
    "must be the cursor of the previous page",
    TypeAdapter(Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,256}$")]),
    "",
)
WAIT = Parameter(
    "wait",
    "how long to wait for the outcome",
    f"must be seconds, 0 to {WAIT_S_MAX}",
    TypeAdapter(Annotated[float, Field(ge=0, le=WAIT_S_MAX), BeforeValidator(_check_number)]),
    0,
)
AFTER = Parameter(
    "after",
    "only outcomes after this position; without it, from the oldest",
    "must be the cursor of an earlier answer",
    TypeAdapter(Annotated[str, Field(pattern=f"^{LOG_CURSOR.pattern}$")]),
    "",
)
KIND = Parameter(
    "kind", "only outcomes of this kind", f"must be one of {', '.join(OutcomeKind)}", TypeAdapter(OutcomeKind), None
)
SESSION = Parameter(
    "session",
    "only outcomes of the session with this id",
    "must be a session's id",
    TypeAdapter(Annotated[str, Field(pattern=f"^{REFERENCE_PATTERN.pattern}$")]),
    "",
)
EVENT_STREAM = "text/event-stream"


def wants_stream(request: web.Request) -> bool:
    """Whether a request accepts events rather than JSON."""
    accepted = ",".join(request.headers.getall(hdrs.ACCEPT, [])).lower().split(",")
    return request.method == hdrs.METH_GET and any(one.partition(";")[0].strip() == EVENT_STREAM for one in accepted)


def parse_query(request: web.Request, parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """Return the query's values by name, or raise RequestError."""
    query = request.query
    by_name = {parameter.name: parameter for parameter in parameters}
    found = {parameter.name: parameter.default for parameter in parameters}
    if any(name not in by_name for name in query):
        accepted = f"allowed: {', '.join(by_name)}" if by_name else "none are allowed"
        raise RequestError(ErrorType.INVALID, f"unknown query parameter; {accepted}")
    for name, parameter in by_name.items():
        provided = query.getall(name, [])
        if len(provided) > 1:
            raise RequestError(ErrorType.INVALID, f"{name} is given more than once")
        if provided:
            try:
                found[name] = parameter.type.validate_strings(provided[0])
            except ValidationError:
                raise RequestError(ErrorType.INVALID, f"{name} {parameter.requirement}") from None
    return found


#: Many clients omit the quotes. Source: IETF, draft-ietf-httpapi-idempotency-key-header-06, section 2.1.
KEY_HEADER = "Idempotency-Key"
_KEY_RULE = f"{ID_RULE}, with or without quotes"
KEY_DESCRIPTION = f"the command's id, instead of `id` in the body; {_KEY_RULE}"
KEY_SCHEMA = {"type": "string", "pattern": f'^({ID_PATTERN.pattern}|"{ID_PATTERN.pattern}")?$'}


def idempotency_key_of(request: web.Request) -> str:
    """Return the Idempotency-Key, empty without one, or raise RequestError."""
    provided = request.headers.getall(KEY_HEADER, [])
    if len(provided) > 1:
        raise RequestError(ErrorType.INVALID, f"{KEY_HEADER} is given more than once")
    if not provided or not provided[0]:
        return ""
    text = provided[0]
    key = text[1:-1] if text[0] == text[-1] == '"' else text
    if reason := id_error(key):
        raise RequestError(ErrorType.INVALID, f"{KEY_HEADER} {_KEY_RULE if reason == ID_RULE else reason}")
    return key


PATH_PARAMETERS = {
    "session": "a session's id or one of its call SIDs",
    "command": "a command's id",
    "call": "a call's SID",
}
ID_SCHEMA = {"type": "string", "pattern": f"^{REFERENCE_PATTERN.pattern}$"}


def is_id(text: str) -> bool:
    """Whether a text may name a session or command in a Redis key."""
    return REFERENCE_PATTERN.fullmatch(text) is not None
