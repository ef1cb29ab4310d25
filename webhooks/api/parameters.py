"""What stands in a request's path and query."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from conferral.statemachine.ids import ID_PATTERN, ID_RULE, NAME_PATTERN, id_error
from conferral.statemachine.states import State
from conferral.storage.queries.session_reader import LIMIT_MAX
from conferral.webhooks.api.errors import ApiError, ErrorType

#: Longest time that an outcome is waited for (seconds): proxies give up at about a minute.
WAIT_S_MAX = 60
#: Entries on one page (count).
LIMIT_DEFAULT = 50
#: Longest cursor that is looked at (characters).
_CURSOR_MAX = 256
#: Source: RFC 8259, section 6.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query."""

    name: str
    description: str
    schema: Mapping[str, Any]
    #: What is right, to be put behind the name.
    requirement: str
    #: Takes the text; None when it is wrong.
    parse: Callable[[str], Any]
    #: What it is where it is not given.
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
    "only sessions in this state; without it all, those that live first",
    {"type": "string", "enum": [state.value for state in State]},
    f"must be one of {', '.join(State)}",
    _state,
    None,
)
LIMIT = Parameter(
    "limit",
    "how many are told at most",
    {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    f"must be a whole number, 1 to {LIMIT_MAX}",
    _limit,
    LIMIT_DEFAULT,
)
CURSOR = Parameter(
    "cursor",
    "where the page before has ended",
    {"type": "string", "pattern": rf"^[A-Za-z0-9_-]{{1,{_CURSOR_MAX}}}$"},
    "must be what the page before told as cursor",
    _cursor,
    "",
)
WAIT = Parameter(
    "wait",
    "how long the outcome is waited for, seconds",
    {"type": "number", "minimum": 0, "maximum": WAIT_S_MAX, "default": 0},
    f"must be seconds, 0 to {WAIT_S_MAX}",
    _wait_s,
    0.0,
)


def parse_query(request: web.Request, parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """The values of a request's query, by name.

    Raises:
        ApiError: one is wrong, given twice, or none of those that the path has.
    """
    query = request.query
    by_name = {parameter.name: parameter for parameter in parameters}
    found = {parameter.name: parameter.default for parameter in parameters}
    if any(name not in by_name for name in query):
        accepted = f"it takes {', '.join(by_name)}" if by_name else "it takes none"
        raise ApiError(ErrorType.INVALID, f"the query has a parameter that this path does not know; {accepted}")
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
#: many clients send it without.
KEY_HEADER = "Idempotency-Key"
_KEY_RULE = "must be 1 to 64 letters, digits, _ or -, with or without quotes"
KEY_DESCRIPTION = f"the command's id, in place of `id` in the body; {_KEY_RULE}"
KEY_SCHEMA = {"type": "string", "pattern": f'^({ID_PATTERN.pattern}|"{ID_PATTERN.pattern}")?$'}


def idempotency_key_of(request: web.Request) -> str:
    """The key of a request that may be repeated; empty where none is given.

    Raises:
        ApiError: it can be no command's id, or is given twice.
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


#: The ids that stand in paths, with what they are.
PATH_PARAMETERS = {
    "session": "a session's id, or the SID of one of its calls",
    "command": "a command's id",
}
ID_SCHEMA = {"type": "string", "pattern": f"^{NAME_PATTERN.pattern}$"}


def is_id(text: str) -> bool:
    """Whether it can name a session or a command; what comes from outside becomes part of a key."""
    return NAME_PATTERN.fullmatch(text) is not None
