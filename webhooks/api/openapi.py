"""OpenAPI description of the control API, from its routes and models."""

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from conferral.runtime.redaction import without_login
from conferral.runtime.web.json_requests import STATUS
from conferral.statemachine.events import Command
from conferral.storage.commands.command_parser import optional_schema, schema_of
from conferral.storage.commands.field_values import SENDER
from conferral.webhooks.api import models
from conferral.webhooks.api.parameters import (
    ID_SCHEMA,
    KEY_DESCRIPTION,
    KEY_HEADER,
    KEY_SCHEMA,
    PATH_PARAMETERS,
    ErrorType,
)
from conferral.webhooks.api.routes import ROUTES, ResponseSpec, Route

#: Version of the API, not of the program: increases when clients would have to change.
VERSION = "1"
_REF = "#/components/schemas/"
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
    503: "Redis can't be reached, too many commands wait for a worker, or a setting is missing",
}


def document(public_url: str) -> dict[str, Any]:
    """Return the API's document. Source: OpenAPI Specification 3.1.0."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
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
                "token": {"type": "http", "scheme": "bearer", "description": "an API token: docs/api.md#named-tokens"}
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
    ] + [{"name": one.name, "in": "query", "description": one.description, "schema": one.schema} for one in route.query]
    if route.accepts_idempotency_key:
        parameters.append({"name": KEY_HEADER, "in": "header", "description": KEY_DESCRIPTION, "schema": KEY_SCHEMA})
    if parameters:
        found["parameters"] = parameters
    if route.body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _body(route)}}}
    if not route.needs_token:
        found["security"] = []
    return found


def _body(route: Route) -> dict[str, Any]:
    """Return a body's schema; of several commands, `type` selects one."""
    if not isinstance(route.body, tuple):
        return {"$ref": _REF + models.TokenRequest.__name__}
    refs = {command.name: _REF + command_name(command) for command in route.body}
    if len(refs) == 1:
        return {"$ref": next(iter(refs.values()))}
    discriminator = {"propertyName": "type", "mapping": refs}
    return {"oneOf": [{"$ref": ref} for ref in refs.values()], "discriminator": discriminator}


def command_name(command: type[Command]) -> str:
    """Return the name of a command's schema."""
    return f"{command.__name__}Command"


def _responses(route: Route) -> dict[str, Any]:
    found = {str(status): _response(answer) for status, answer in route.answers.items()}
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
    return {"description": answer.description, "content": {"application/json": {"schema": schema}}}


@cache  # depends on the code alone
def _schemas() -> dict[str, Any]:
    answered = {answer.model for route in ROUTES for answer in route.answers.values() if answer.model is not None}
    described = sorted(answered | {models.ErrorAnswer}, key=lambda model: model.__name__)
    _, answers = models_json_schema([(model, "serialization") for model in described], ref_template=_REF + "{model}")
    _, request = models_json_schema([(models.TokenRequest, "validation")], ref_template=_REF + "{model}")
    schemas: dict[str, Any] = {**answers["$defs"], **request["$defs"]}
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())  # unfold a docstring
    for route in ROUTES:
        if isinstance(route.body, tuple):
            for command in route.body:
                schema = schema_of(command, without=route.body_without, needs_type=len(route.body) > 1)
                schema["properties"]["by"] = {**optional_schema(SENDER), "description": _BY}
                schemas[command_name(command)] = schema
    return dict(sorted(schemas.items()))
