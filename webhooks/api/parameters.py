"""Path and query parameters of the control API."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from conferral.statemachine.ids import ID_PATTERN, ID_RULE, NAME_PATTERN, id_error
from conferral.statemachine.states import State
from conferral.storage.queries.session_reader import LIMIT_MAX
from conferral.webhooks.api.errors import ApiError, ErrorType

#: Maximum time to wait for an outcome (seconds): proxies give up at about a minute.
WAIT_S_MAX = 60
#: Default page size (count).
LIMIT_DEFAULT = 50
#: Maximum length of a cursor (characters).
_CURSOR_MAX = 256
#: Source: RFC 8259, section 6.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter."""

    name: str
    description: str
    schema: Mapping[str, Any]
    #: What is valid, to follow the name in a message.
    requirement: str
    #: Parses the text; returns None if it is invalid.
    parse: Callable[[str], Any]
    #: The value if the parameter is absent.
    default: Any


def _state(text: str) -> State | None:
    return State(text) if text in set(State) else None


def _limit(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,3}", text) and 1 <= int(text) <= LIMIT_MAX else None


def _wait_s(text: str) -> float | None:
    is_number = len(text) <= 32 and _NUMBER.fullmatch(text)
    return float(text) if is_number and 0 <= float(text) <= WAIT_S_MAX else None


def _cursor(text: str) -> str | None:
    return text if re.fullmatch(rf"[A-Za-z0-9_-]{{1,{_CURSOR_MAX}}}", text) else None


STATE = Parameter(
    "state",
    "only sessions in this state; by default all, live ones first",
    {"type": "string", "enum": [state.value for state in State]},
    f"must be one of {', '.join(State)}",
    _state,
    None,
)
LIMIT = Parameter(
    "limit",
    "maximum number of entries",
    {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    f"must be a whole number, 1 to {LIMIT_MAX}",
    _limit,
    LIMIT_DEFAULT,
)
CURSOR = Parameter(
    "cursor",
    "the cursor of the previous page",
    {"type": "string", "pattern": rf"^[A-Za-z0-9_-]{{1,{_CURSOR_MAX}}}$"},
    "must be the cursor of the previous page",
    _cursor,
    "",
)
WAIT = Parameter(
    "wait",
    "how long to wait for the outcome, seconds",
    {"type": "number", "minimum": 0, "maximum": WAIT_S_MAX, "default": 0},
    f"must be seconds, 0 to {WAIT_S_MAX}",
    _wait_s,
    0.0,
)


def parse_query(request: web.Request, parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """Return the query's values by name.

    Raises:
        ApiError: A parameter is invalid, repeated, or unknown to the path.
    """
    query = request.query
    by_name = {parameter.name: parameter for parameter in parameters}
    found = {parameter.name: parameter.default for parameter in parameters}
    if any(name not in by_name for name in query):
        accepted = f"allowed: {', '.join(by_name)}" if by_name else "none are allowed"
        raise ApiError(ErrorType.INVALID, f"unknown query parameter; {accepted}")
    for name, parameter in by_name.items():
        provided = query.getall(name, [])
        if len(provided) > 1:
            raise ApiError(ErrorType.INVALID, f"{name} is given more than once")
        if provided:
            value = parameter.parse(provided[0])
            if value is None:
                raise ApiError(ErrorType.INVALID, f"{name} {parameter.requirement}")
            found[name] = value
    return found


#: The command's id as a header. Source: IETF, draft-ietf-httpapi-idempotency-key-header-06, section 2.1: in quotes, but
#: many clients omit them.
KEY_HEADER = "Idempotency-Key"
_KEY_RULE = "must be 1 to 64 letters, digits, _ or -, with or without quotes"
KEY_DESCRIPTION = f"the command's id, instead of `id` in the body; {_KEY_RULE}"
KEY_SCHEMA = {"type": "string", "pattern": f'^({ID_PATTERN.pattern}|"{ID_PATTERN.pattern}")?$'}


def idempotency_key_of(request: web.Request) -> str:
    """Return the request's Idempotency-Key; empty without one.

    Raises:
        ApiError: It is not a valid command id, or is repeated.
    """
    provided = request.headers.getall(KEY_HEADER, [])
    if len(provided) > 1:
        raise ApiError(ErrorType.INVALID, f"{KEY_HEADER} is given more than once")
    if not provided or not provided[0]:
        return ""
    text = provided[0]
    key = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if reason := id_error(key):
        raise ApiError(ErrorType.INVALID, f"{KEY_HEADER} {_KEY_RULE if reason == ID_RULE else reason}")
    return key


#: Ids in paths, with their descriptions.
PATH_PARAMETERS = {
    "session": "a session's id or one of its call SIDs",
    "command": "a command's id",
}
ID_SCHEMA = {"type": "string", "pattern": f"^{NAME_PATTERN.pattern}$"}


def is_id(text: str) -> bool:
    """Whether a text may name a session or command; external input becomes part of a Redis key."""
    return NAME_PATTERN.fullmatch(text) is not None
