"""OpenAPI description of the control API, from its routes and models."""

from functools import cache
from typing import Any

import msgspec

from conferral.commands.field_values import CONFIRM_TIME, FLAG, RING_TIME, SENDER
from conferral.commands.parser import optional_schema, schema_of
from conferral.runtime.redaction import without_login
from conferral.runtime.web.json_requests import STATUS
from conferral.statemachine.events import Command
from conferral.statemachine.states import Phase, TransferMode
from conferral.webhooks.api import models
from conferral.webhooks.api.desk_routes import DESK_ROUTES, PRESENCE_ROUTES, SESSION_ROUTES
from conferral.webhooks.api.parameters import (
    EVENT_STREAM,
    ID_SCHEMA,
    KEY_DESCRIPTION,
    KEY_HEADER,
    KEY_SCHEMA,
    PATH_PARAMETERS,
    ErrorType,
    Parameter,
)
from conferral.webhooks.api.routes import ROUTES, ResponseSpec, Route

ALL_ROUTES = (*ROUTES, *PRESENCE_ROUTES, *SESSION_ROUTES, *DESK_ROUTES)
#: Version of the API, not of the program: increases when clients would have to change.
VERSION = "1"
_REF = "#/components/schemas/"
#: Values that several commands share, as components: generators then give them one name.
_SHARED: dict[str, dict[str, Any]] = {
    "ConfirmTime": optional_schema(CONFIRM_TIME),
    "Flag": optional_schema(FLAG),
    "RingTime": optional_schema(RING_TIME),
}
#: Words that are never sent, by the name of the enum.
_UNSENT: dict[str, set[str]] = {"Phase": {Phase.NONE}, "TransferMode": {TransferMode.INBOUND}}
_BY = "who sends the command, without /; the session's log shows it after the token's name"
_STATUS_DESCRIPTIONS = {
    400: "The body is not JSON",
    401: "The token is missing or wrong",
    403: "The token may not do this",
    404: "Not found",
    408: "The body did not arrive in time",
    409: "The session does not accept the command, or the id was already used for another command",
    413: "The body is too large",
    422: "A field or a parameter is missing or wrong",
    429: "Too many wrong tokens came from this address",
    431: "The cookies, or another header, are too long",
    503: "Redis can't be reached, too many commands wait for a worker, or a setting is missing",
}


def document(public_url: str) -> dict[str, Any]:
    """Return the API's document. Source: OpenAPI Specification 3.1.0."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ALL_ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Conferral's control API",
            "version": VERSION,
            "description": "Send commands to live Twilio calls, and read their state.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": without_login(public_url)}],  # anyone may read this
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "an API token: docs/api.md#named-tokens"},
                "sign_in": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "conferral_desk_IDENTITY",
                    "description": "the cookie of POST /desk/session",
                },
                "desk": {"type": "http", "scheme": "bearer", "description": "a desk token of POST /desk/tokens"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": route.description,
        "responses": _responses(route),
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "description": PATH_PARAMETERS[name], "schema": ID_SCHEMA}
        for name in route.ids
    ] + [
        {"name": one.name, "in": "query", "description": one.description, "schema": _schema_of(one)}
        for one in route.query
    ]
    if route.accepts_idempotency_key:
        parameters.append({"name": KEY_HEADER, "in": "header", "description": KEY_DESCRIPTION, "schema": KEY_SCHEMA})
    if parameters:
        found["parameters"] = parameters
    if route.body:
        found["requestBody"] = {"required": route.needs_body, "content": {"application/json": {"schema": _body(route)}}}
    if not route.needs_token:
        found["security"] = []
    elif route.is_for_own_page:
        found["security"] = [{}, {"sign_in": []}] if route.name == "start_desk_session" else [{"sign_in": []}]
    elif route.is_for_desks:
        found["security"] = [{"desk": []}]
    return found


def _schema_of(parameter: Parameter) -> dict[str, Any]:
    return {"$ref": _REF + parameter.schema["title"]} if "enum" in parameter.schema else parameter.schema


def _body(route: Route) -> dict[str, Any]:
    """Return a body's schema; of several commands, `type` selects one."""
    if isinstance(route.body, type):
        return {"$ref": _REF + route.body.__name__}
    assert route.body is not None
    refs = {command.name: _REF + command_name(command) for command in route.body}
    if len(refs) == 1:
        return {"$ref": refs.popitem()[1]}
    return {
        "oneOf": [{"$ref": ref} for ref in refs.values()],
        "discriminator": {"propertyName": "type", "mapping": refs},
    }


def command_name(command: type[Command]) -> str:
    """Return the name of a command's schema."""
    return f"{command.__name__}Command"


def _responses(route: Route) -> dict[str, Any]:
    found = {str(status): _response(answer) for status, answer in route.answers.items()}
    if route.events:
        if route.is_stream:
            found["200"]["content"] = {}
        found["200"]["content"][EVENT_STREAM] = {"schema": {"type": "string", "description": route.events}}
    for status in dict.fromkeys(STATUS[kind] for kind in route.error_types):
        found[str(status)] = _response(ResponseSpec(models.ErrorAnswer, _STATUS_DESCRIPTIONS[status]))
        if status == STATUS[ErrorType.UNAUTHORIZED]:
            found[str(status)]["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}}
        if status in (429, 503):
            retry_after = {"required": True, "schema": {"type": "integer", "minimum": 1}}
            found[str(status)]["headers"] = {"Retry-After": retry_after}
    return dict(sorted(found.items()))


def _response(answer: ResponseSpec) -> dict[str, Any]:
    schema = {"type": "object"} if answer.model is None else {"$ref": _REF + answer.model.__name__}
    content = {} if answer.is_empty else {"content": {"application/json": {"schema": schema}}}
    return {"description": answer.description, **content}


@cache  # depends on the code alone
def _schemas() -> dict[str, Any]:
    answered = {answer.model for route in ALL_ROUTES for answer in route.answers.values() if answer.model is not None}
    requested = [route.body for route in ALL_ROUTES if isinstance(route.body, type)]
    described = [*answered, models.ErrorAnswer, *requested]
    _, schemas = msgspec.json.schema_components(described, ref_template=_REF + "{name}")
    for name, schema in schemas.items():
        _tidy(schema)
        if name in _UNSENT:
            schema["enum"] = [word for word in schema["enum"] if word not in _UNSENT[name]]
    schemas |= _SHARED
    for route in ALL_ROUTES:
        if isinstance(route.body, tuple):
            for command in route.body:
                schema = schema_of(command, without=route.body_without, needs_type=len(route.body) > 1)
                schema["properties"]["by"] = {**optional_schema(SENDER), "description": _BY}
                for name, form in _SHARED.items():
                    for one in schema["properties"].values():
                        if one.get("anyOf") == form["anyOf"]:
                            one["$ref"] = _REF + name
                            del one["anyOf"]
                del schema["title"]  # a generator would take it for the name
                schemas[command_name(command)] = schema
    return dict(sorted(schemas.items()))


def _tidy(schema: dict[str, Any]) -> None:
    """Make the schema of an answer as plain as generators like it.

    Answers have all fields, and may have more, so no default is described. A value that may be null has two types.
    """
    schema.pop("title", None)
    if "enum" in schema:
        schema["type"] = "string"
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())  # unfold a docstring
    # Only a request refuses unknown fields, or may lack some.
    if "properties" in schema and schema.get("additionalProperties") is not False:
        schema["required"] = [*schema["properties"]]
        schema.pop("additionalProperties", None)
    for one in schema.get("properties", {}).values():
        one.pop("title", None)
        one.pop("default", None)
        match one.get("anyOf"):
            case [{"type": str(kind)} as plain, {"type": "null"}]:
                del one["anyOf"]
                one |= plain | {"type": [kind, "null"]}
