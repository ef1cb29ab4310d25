"""The control API in OpenAPI, from what its handlers check."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from offhook.control.paths import ROUTES
from offhook.fields import Fields, schema_of

QUERIES = {"calls": "live", "audibility": "call"}
"""The parameter of a route's query, by the handler's name."""


def describe_routes(handlers: type, bodies: Mapping[str, Fields], acts: Mapping[str, Fields]) -> dict[str, Any]:
    """Return the document; `bodies` are by handler, `acts` by act on a call."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for method, path, name in ROUTES:
        summary = (inspect.getdoc(getattr(handlers, name)) or "").partition("\n")[0]
        if "{act}" in path:
            for act, body in acts.items():
                _add(paths, path.replace("{act}", act), method, _operation(f"{act} (a call)", path, "", body, schemas))
        else:
            _add(paths, path, method, _operation(summary, path, QUERIES.get(name, ""), bodies.get(name), schemas))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Control routes of the sandbox", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _add(paths: dict[str, dict[str, Any]], path: str, method: str, operation: dict[str, Any]) -> None:
    paths.setdefault(path, {})[method.lower()] = operation


def _operation(summary: str, path: str, query: str, body: Fields | None, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return one operation; add what its body refers to to `schemas`."""
    named = [(name, "path") for name in re.findall(r"{(\w+)}", path) if name != "act"]
    named += [(query, "query")] if query else []
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {"2XX": {"description": "done"}, "4XX": {"description": "`error` says what is wrong"}},
    }
    if named:
        operation["parameters"] = [
            {"name": name, "in": where, "required": where == "path", "schema": {"type": "string"}}
            for name, where in named
        ]
    if body is not None:
        schema = schema_of(body, schemas)
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation
