"""Route table of the control API, from which its descriptions derive."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs
from msgspec.structs import fields

from conferral.runtime.web.json_requests import BODY_BYTES_MAX, SIGN_IN_BYTES_MAX, STATUS
from conferral.runtime.web.tokens import Permission
from conferral.statemachine.events import COMMANDS, Call, Command
from conferral.statemachine.record import BaseRecord
from conferral.webhooks.api import models
from conferral.webhooks.api.parameters import (
    AFTER,
    CURSOR,
    KIND,
    LIMIT,
    PARTY,
    REF,
    SESSION,
    STATE,
    WAIT,
    ErrorType,
    Parameter,
)

#: A request body: one of our models, or one of several commands, without fields given elsewhere.
Body = type[BaseRecord] | tuple[type[Command], ...]


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """The answer under one status."""

    #: None for this description.
    model: type[Any] | None
    description: str
    #: Whether there is no body at all.
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    #: Name of the operation and of its handler.
    name: str
    summary: str
    description: str
    answers: Mapping[int, ResponseSpec]
    query: tuple[Parameter, ...] = ()
    body: Body | None = None
    #: Command fields that the body lacks because the path determines them.
    body_without: tuple[str, ...] = ()
    more_error_types: tuple[ErrorType, ...] = ()
    needs_token: bool = True
    #: What the token needs; None if that depends on the command (`submit_command`) or its sender (`show_command`).
    permission: Permission | None = Permission.READ
    #: What the route sends as events if asked for an event stream; empty if it can't.
    events: str = ""
    #: Whether it takes a desk token, and no other.
    is_for_desks: bool = False
    #: Whether it is for the desk's own page alone, which has a cookie, or is about to get one.
    is_for_own_page: bool = False

    @property
    def body_bytes_max(self) -> int:
        """The longest body (bytes): of an unknown sender, a short one."""
        return SIGN_IN_BYTES_MAX if self.is_for_own_page else BODY_BYTES_MAX

    @property
    def is_stream(self) -> bool:
        """Whether it is an event stream, whatever it is asked to send."""
        return bool(self.events) and self.answers[200].model is None

    @property
    def error_types(self) -> list[ErrorType]:
        """All error types of the route, sorted by status."""
        kinds = [*self.more_error_types, ErrorType.INVALID]
        if self.body:
            kinds += (ErrorType.MALFORMED, ErrorType.TIMEOUT, ErrorType.TOO_LARGE)
        if self.events:
            kinds.append(ErrorType.TOO_MANY_STREAMS)
        if self.is_for_own_page:
            kinds.append(ErrorType.HEADERS_TOO_LARGE)
        if self.needs_token:
            kinds += (ErrorType.UNAUTHORIZED, ErrorType.FORBIDDEN, ErrorType.TOO_MANY)
            kinds += (ErrorType.NOT_SET_UP, ErrorType.STORE)
        return sorted(set(kinds), key=lambda kind: (STATUS[kind], kind))

    @property
    def needs_body(self) -> bool:
        """Whether the body has a field that must be given."""
        return isinstance(self.body, tuple) or bool(self.body and any(one.required for one in fields(self.body)))

    @property
    def accepts_idempotency_key(self) -> bool:
        """Whether the route submits a command, whose id a header may carry."""
        return isinstance(self.body, tuple)

    @property
    def template(self) -> str:
        """Method and path template, for metrics and the log."""
        return f"{self.method} {self.path}"

    @property
    def ids(self) -> list[str]:
        """The kinds of ids in the path."""
        return re.findall(r"{(\w+)}", self.path)


ROUTES = (
    Route(
        hdrs.METH_POST,
        "/sessions",
        "call",
        "Call an agent, then a customer",
        "Publishes the command `call`, which opens a session. The fields are the command's.",
        {202: ResponseSpec(models.SessionAccepted, "The command has been published")},
        body=(Call,),
        permission=None,
        more_error_types=(ErrorType.ID_CONFLICT, ErrorType.FULL),
    ),
    Route(
        hdrs.METH_GET,
        "/sessions",
        "list_sessions",
        "List sessions",
        "All, or those in one state, with one party, or with one `ref`. A page may have fewer than `limit`; only a "
        "null `cursor` marks the last. As an event stream: the live ones, then an event `ready`, then "
        "changes.",
        {200: ResponseSpec(models.SessionPage, "Some of the sessions")},
        query=(STATE, PARTY, REF, LIMIT, CURSOR),
        events="Events `session`, each with a session as in the JSON; without `limit` and `cursor`",
    ),
    Route(
        hdrs.METH_GET,
        "/sessions/{session}",
        "show_session",
        "Show one session",
        "Its parties, conference, and newest transfer.",
        {200: ResponseSpec(models.Session, "The session")},
        more_error_types=(ErrorType.UNKNOWN,),
    ),
    Route(
        hdrs.METH_GET,
        "/sessions/{session}/log",
        "show_log",
        "Show one session's log",
        "Every event with its decision and effects, oldest first.",
        {200: ResponseSpec(models.LogPage, "Part of the log")},
        query=(LIMIT, CURSOR),
        more_error_types=(ErrorType.UNKNOWN,),
    ),
    Route(
        hdrs.METH_POST,
        "/sessions/{session}/commands",
        "submit_command",
        "Send a session a command",
        "Publishes the command; with `wait`, waits for its outcome and returns it.",
        {
            200: ResponseSpec(models.CommandOutcome, "The outcome: done or failed"),
            202: ResponseSpec(models.CommandAccepted, "Published; no outcome yet"),
        },
        query=(WAIT,),
        body=tuple(command for command in COMMANDS if command is not Call),
        body_without=("session",),
        permission=None,
        more_error_types=(ErrorType.UNKNOWN, ErrorType.REJECTED, ErrorType.ID_CONFLICT, ErrorType.FULL),
    ),
    Route(
        hdrs.METH_GET,
        "/commands/{command}",
        "show_command",
        "Show a command's status",
        "Outcomes are kept for a day. A token without `read` may see the commands that were sent with it.",
        {200: ResponseSpec(models.CommandOutcome, "The status")},
        permission=None,
        more_error_types=(ErrorType.UNKNOWN,),
    ),
    Route(
        hdrs.METH_GET,
        "/outcomes",
        "list_outcomes",
        "List outcomes",
        "Finished transfers, ended sessions, recorded messages, and recordings. Poll with the `cursor` as `after`. "
        "With `kind` or `session`, an answer may be empty before the last one; an unchanged `cursor` means that "
        "nothing is newer.",
        {200: ResponseSpec(models.OutcomePage, "Some of the outcomes")},
        query=(AFTER, LIMIT, KIND, SESSION),
    ),
    Route(
        hdrs.METH_POST,
        "/tokens",
        "make_token",
        "Make a browser agent's access token",
        "For the `Device` of Twilio's Voice SDK. Your server requests it for an authenticated agent.",
        {200: ResponseSpec(models.IssuedToken, "The token")},
        body=models.TokenRequest,
        permission=Permission.ACCESS_TOKEN,
    ),
    Route(
        hdrs.METH_GET,
        "/openapi.json",
        "describe_http",
        "Describe this API",
        "OpenAPI 3.1.",
        {200: ResponseSpec(None, "This description")},
        needs_token=False,
    ),
)
