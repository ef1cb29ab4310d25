"""Generate the reference pages of the control API: routes and fields, and errors with their fixes."""

from collections import Counter
from collections.abc import Iterable

import msgspec
from page_parts import ROOT, page, prose, table, words
from source_notes import notes_of

from conferral.commands.parser import fields_of, own_fields
from conferral.runtime.web.json_requests import STATUS
from conferral.statemachine.events import COMMANDS, Retrieve
from conferral.webhooks.api import openapi
from conferral.webhooks.api.parameters import (
    EVENT_STREAM,
    KEY_DESCRIPTION,
    KEY_HEADER,
    PATH_PARAMETERS,
    ErrorType,
)
from conferral.webhooks.api.routes import Route

#: In the path, or a field of every command.
_COMMON = {"session", "id", "by", "deadline"}
_DIAL_OPTIONS = [one.name for one in own_fields(Retrieve) if one.name != "to"]


def _statuses(statuses: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(statuses)))


def _list(rows: Iterable[tuple[str, str, str]]) -> str:
    return "".join(f"- {f'{name} ({where})' if name else where.title()}: {meaning}\n" for name, meaning, where in rows)


def api_page() -> str:
    """Return every route, with the fields of the commands."""
    rows = {route.template: _parameters(route) for route in openapi.ALL_ROUTES}
    counted = Counter(row for parameters in rows.values() for row in parameters)
    shared = [row for row, count in counted.items() if count > 1]
    return page(
        "webhooks/api/", "# The control API, route by route\n", prose(_INTRO),
        _list(shared),
        *(_section(route, rows[route.template], shared) for route in openapi.ALL_ROUTES),
        "## Commands and their fields\n", prose(_COMMANDS),
        table(("Commands", "Required fields", "Optional fields"), _commands()),
        table(("Field", "Of", "Meaning", "Takes"), _command_fields()),
    )  # fmt: skip


#: Why any route that needs a token may refuse, and any with a body.
_OF_TOKENS = {STATUS[one] for one in (ErrorType.UNAUTHORIZED, ErrorType.FORBIDDEN, ErrorType.INVALID,
                                      ErrorType.TOO_MANY, ErrorType.STORE)}  # fmt: skip
_OF_BODIES = {STATUS[one] for one in (ErrorType.MALFORMED, ErrorType.TIMEOUT, ErrorType.TOO_LARGE)}
_INTRO = (
    "[The control API](../api.md) is an introduction with examples; `GET /openapi.json` returns this for programs. "
    'A refusal is JSON: `{"error": {"type": …, "reason": …, "allowed": […], "docs": …}}`, with one of '
    "[these types](errors.md). All routes but `GET /openapi.json` need a token (a desk's, a desk token) and may answer "
    f"{_statuses(_OF_TOKENS)}; those with a body also {_statuses(_OF_BODIES)}. Parameters of several routes:"
)
_COMMANDS = (
    "The fields are the same on the stream, on the command line, and here; [commands](../commands.md#fields) says more "
    "of some, and [tools.json](tools.json) has them for language models. `session` is part of the path; POST `call` to "
    "`/sessions`, without `type`. All take `id`, so that a retry runs once, and `deadline`, after which they do "
    f"nothing. The token's name precedes `by`. *Dial options*: {words(_DIAL_OPTIONS)}."
)


def _section(route: Route, rows: list[tuple[str, str, str]], shared: list[tuple[str, str, str]]) -> str:
    parts = [f"## {route.template}\n", prose(f"{route.summary}. {route.description}")]
    own = [row for row in rows if row not in shared]
    if own:
        parts.append(_list(own))
    also = [row[0] or row[1] for row in rows if row in shared]
    said = [f"{'Also' if own else 'Takes'} {', '.join(also)}."] if also else []
    answers = [f"{status} {answer.description}{_fields(answer.model)}" for status, answer in route.answers.items()]
    if route.events:
        answers.append(f"200 with `Accept: {EVENT_STREAM}`: {route.events}")
    said.append(f"Answers: {'; '.join(answers).removesuffix('.')}.")
    if refused := {STATUS[kind] for kind in route.error_types} - _OF_TOKENS - _OF_BODIES:
        said.append(f"Refusals: {_statuses(refused)}.")
    return "\n".join([*parts, prose(" ".join(said))])


def _parameters(route: Route) -> list[tuple[str, str, str]]:
    rows = [(f"`{name}`", PATH_PARAMETERS[name], "path") for name in route.ids]
    rows += [(f"`{one.name}`", f"{one.description}; {one.requirement}", "query") for one in route.query]
    if route.accepts_idempotency_key:
        rows.append((f"`{KEY_HEADER}`", KEY_DESCRIPTION, "header"))
    if isinstance(route.body, type):
        body = openapi.document("")["components"]["schemas"][route.body.__name__]["properties"]
        rows += [(f"`{name}`", _described(one), "body") for name, one in body.items()]
    elif route.body:
        rows.append(("", "the fields of a command, below", "body"))
    return rows


def _described(schema: dict[str, str]) -> str:
    """Return what a field of a body is, and its only words."""
    schemas = openapi.document("")["components"]["schemas"]
    found = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema).get("enum", ())
    return ": ".join(filter(None, (schema["description"], " or ".join(f"`{word}`" for word in found))))


def _fields(model: type[msgspec.Struct] | None) -> str:
    return f" ({words(one.encode_name for one in msgspec.structs.fields(model))})" if model is not None else ""


def _commands() -> list[tuple[str, str, str]]:
    """Return the commands with their required and optional fields, once for all with the same."""
    found: dict[tuple[str, str], list[str]] = {}
    for command in COMMANDS:
        own = {"session"} if command.opens_session else set()
        fields = [one for one in fields_of(command) if one.name not in _COMMON - own]
        optional = [one.name for one in fields if not one.is_required]
        cell = words(name for name in optional if name not in _DIAL_OPTIONS)
        if set(optional) & set(_DIAL_OPTIONS):
            cell = ", ".join(filter(None, (cell, "dial options")))
        found.setdefault((words(one.name for one in fields if one.is_required), cell), []).append(command.name)
    return [(words(names), *cells) for cells, names in found.items()]


def _command_fields() -> list[tuple[str, str, str, str]]:
    """Return what each field says and takes, once for all commands with the same."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for command in COMMANDS:
        for one in fields_of(command):
            key = (one.name, one.description, one.value.rule.removeprefix("must be "))
            found.setdefault(key, []).append(command.name)
    dialing = next(names for (name, *_), names in found.items() if name == "brief")
    return [(f"`{name}`", _of(names, dialing), *cells) for (name, *cells), names in found.items()]


def _of(names: list[str], dialing: list[str]) -> str:
    if names == dialing:
        return "commands that dial"
    left = [command.name for command in COMMANDS if command.name not in names]
    return words(names) if len(left) > 1 else " except ".join(filter(None, ("all", words(left))))


def errors_page() -> str:
    """Return a section for each error type."""
    notes = notes_of(ROOT / "webhooks" / "api" / "parameters.py", "ErrorType")
    intro = prose(
        "Each error of [the control API](../api.md) has one of these as its `type`; its `docs` is the path to the "
        "section here. `reason` gives the details. Except for `store` and `internal`, nothing was done."
    )
    sections = (
        f"## {kind.value}\n\nHTTP {STATUS[kind]}. {notes[kind.name]}\n\n{prose(' '.join(_FIXES[kind].split()))}"
        for kind in ErrorType
    )
    return page("webhooks/api/parameters.py", "# Errors of the control API, and what to do\n", intro, *sections)


_FIXES = {
    ErrorType.MALFORMED: """
        Send one JSON object in UTF-8, uncompressed, with the header `Content-Type: application/json`.""",
    ErrorType.UNAUTHORIZED: """
        Send `Authorization: Bearer TOKEN` with the webhooks' `CONFERRAL_API_TOKEN` or a token of their
        `CONFERRAL_TOKENS`, as read at the last start or reload. If the token is right, check whether your proxy removes
        the header.""",
    ErrorType.FORBIDDEN: """
        `reason` names the token, and what it lacks. Send another token, or extend `may` or `destinations` in the file
        of `CONFERRAL_TOKENS` and send SIGHUP to the webhooks: see [named tokens](../api.md#named-tokens).""",
    ErrorType.UNKNOWN: """
        Check the path and its id. A session exists once a worker has opened it, and until `CONFERRAL_SESSION_TTL` after
        its end; a command's outcome is kept for a day. `GET /sessions` lists the sessions.""",
    ErrorType.METHOD: """
        Use one of the methods in `allowed` and in the header `Allow`.""",
    ErrorType.TIMEOUT: """
        Send the whole body within 5 seconds. The connection is closed: open a new one.""",
    ErrorType.REJECTED: """
        Read `reason`, and send one of the commands in `allowed`, which the session accepted at that moment. A
        retry with the same id gets the same answer, so use a new id.""",
    ErrorType.ID_CONFLICT: """
        If another command already used this `id` or `Idempotency-Key`: use a new one for each command, and reuse it
        only to retry the same command. If a `call` names an existing session: omit `session`, or choose another id.""",
    ErrorType.TOO_LARGE: """
        Send at most 64 KiB; no command needs more. The connection is closed: open a new one.""",
    ErrorType.INVALID: """
        Fix what `reason` names: a field of the body, a query parameter, or the header `Idempotency-Key`. The
        [API reference](api.md) lists the valid values.""",
    ErrorType.INTERNAL: """
        Look for `unexpected_error` in the log, and report it. A retry with the same `id` or `Idempotency-Key` is
        safe.""",
    ErrorType.NOT_SET_UP: """
        Set what `reason` names (see [settings](settings.md)), and restart the webhooks. A retry does not help.""",
    ErrorType.TOO_MANY: """
        Send the right token: it always works. Wrong tokens get 429 until the seconds in `Retry-After` have
        passed.""",
    ErrorType.HEADERS_TOO_LARGE: """
        Remove other cookies of this host name, or give the desk a host name of its own.""",
    ErrorType.FULL: """
        Start a worker, or run `conferral check` to find out why no worker routes commands. Then send the command again,
        with the same `id` or `Idempotency-Key`.""",
    ErrorType.TOO_MANY_STREAMS: """
        Close the streams that you don't need, or connect to another webhooks process. One stream of all sessions can
        serve many pages through a server of yours.""",
    ErrorType.STORE: """
        Retry after a second, with the same `id` or `Idempotency-Key`: the command then runs once, whether or not it was
        accepted before. If your request had neither, check the session first. `GET /readyz` shows when Redis is back.
        If it doesn't come back, see [operating](../operating.md#what-readyz-says).""",
    ErrorType.TWILIO: """
        Retry after a second. If it stays so, `conferral check` says whether Twilio takes the credentials, and the line
        `desk_take_over_failed` in the log, what Twilio answered.""",
}
