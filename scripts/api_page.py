"""Generate the control API's reference page from routes and models."""

import inspect

from reference_pages import _page, _prose, _table

from conferral.runtime.web.json_requests import STATUS
from conferral.statemachine.events import COMMANDS, Command
from conferral.statemachine.events.commands import fields_of
from conferral.webhooks.api import models
from conferral.webhooks.api.errors import ErrorType
from conferral.webhooks.api.parameters import KEY_DESCRIPTION, KEY_HEADER, PATH_PARAMETERS
from conferral.webhooks.api.routes import ROUTES, Route


def api_page(notes: dict[str, str]) -> str:
    """Return the page; `notes` describe the error types by their names."""
    intro = _prose(
        "Every route of the control API. For an introduction with examples, see [the control API](../api.md). "
        "`GET /openapi.json` returns the same for programs."
    )
    refusals = [
        (str(STATUS[kind]), f"[`{kind.value}`](errors.md#{kind.value})", notes[kind.name]) for kind in ErrorType
    ]
    routes = [(f"`{route.method} {route.path}`", route.summary, "yes" if route.needs_token else "") for route in ROUTES]
    return _page(
        "webhooks/api/", "# The control API, route by route\n", intro,
        _table(("Request", "Does", "Needs the token"), routes),
        *(_section(route) for route in ROUTES if route.is_ours),
        "## Refusals\n", _prose(_REFUSALS), _table(("Status", "`type`", "Meaning"), refusals),
        "## Commands and their fields\n", _prose(_COMMANDS), *map(_command, COMMANDS),
    )  # fmt: skip


_REFUSALS = (
    'Every refusal is JSON: `{"error": {"type": …, "reason": …, "allowed": […], "docs": …}}`. `reason` says '
    "what is wrong, `allowed` lists what would be accepted instead, and `docs` names the section of this documentation "
    "that says what to do."
)


_COMMANDS = (
    "The fields are the same on the stream, on the command line, and here. Empty text counts as absent. `session` is "
    "part of the path; POST `call` to `/sessions`, without `type`. A `by` is ignored here: the name of the token takes "
    "its place. [Commands](../commands.md) explains each."
)


def _section(route: Route) -> str:
    parts = [f"## {route.method} {route.path}\n", _prose(f"{route.summary}. {route.description}")]
    rows = [(f"`{name}`", PATH_PARAMETERS[name], "path") for name in route.ids]
    rows += [(f"`{one.name}`", f"{one.description}; {one.requirement}", "query") for one in route.query]
    if route.accepts_idempotency_key:
        rows.append((f"`{KEY_HEADER}`", KEY_DESCRIPTION, "header"))
    if route.body is models.TokenRequest:
        rows += [(f"`{name}`", field.description or "", "body") for name, field in route.body.model_fields.items()]
    elif route.body:
        rows.append(("", f"the fields of {'`call`' if len(route.body) == 1 else 'a command'}, below", "body"))
    if rows:
        parts.append(_table(("Name", "Meaning", "Where"), rows))
    answers = [(str(status), answer.description, _fields(answer.model)) for status, answer in route.answers.items()]
    statuses = ", ".join(dict.fromkeys(str(STATUS[kind]) for kind in route.error_types))
    answers.append((statuses, "refused", "`error`"))
    parts.append(_table(("Status", "Meaning", "Fields"), answers))
    return "\n".join(parts)


def _fields(model: type[models.BaseModel] | None) -> str:
    if model is None:
        return ""
    if model is models.Session:
        return "[those of the session's hash](redis.md#the-sessions-fields)"
    return ", ".join(f"`{field.alias or name}`" for name, field in model.model_fields.items())


def _command(command: type[Command]) -> str:
    rows = [
        (f"`{field.name}`", field.description, "yes" if field.is_required else "")
        for field in fields_of(command)
        if field.name != "id" and (field.name != "session" or command.name == "call")
    ]
    about = "\n".join(_prose(one) for one in inspect.cleandoc(command.__doc__ or "").split("\n\n"))
    return f"### {command.name}\n\n{about}\n{_table(('Field', 'Meaning', 'Required'), rows)}"
