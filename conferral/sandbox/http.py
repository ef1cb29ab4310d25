"""Request and response helpers for the sandbox's own routes."""

from typing import Any

import orjson
from aiohttp import web


class ControlError(Exception):
    """A request to the sandbox's own routes is invalid; `reason` says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def pick(source: object, *names: str) -> dict[str, Any]:
    """Return these attributes of an object as a dictionary."""
    return {name: getattr(source, name) for name in names}


def json_response(body: object, status: int = 200) -> web.Response:
    """Return a JSON response."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


async def read_json_object(
    request: web.Request, needed: tuple[str, ...] = (), allowed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return a request's JSON object; raise ControlError for wrong fields."""
    try:
        body = orjson.loads(await request.read() or b"{}")
    except web.RequestPayloadError as error:
        raise ControlError(400, "the body can't be decompressed") from error
    except orjson.JSONDecodeError as error:
        raise ControlError(400, f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ControlError(400, "the body must be a JSON object")
    missing = [name for name in needed if not body.get(name)]
    unknown = sorted(set(body) - set(needed) - set(allowed))
    if missing:
        raise ControlError(422, f"missing: {', '.join(missing)}")
    if unknown:
        raise ControlError(422, f"unknown: {', '.join(unknown)}; allowed: {', '.join((*needed, *allowed))}")
    return body
