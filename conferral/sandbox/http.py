"""Request and response helpers for the sandbox's own routes."""

from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

_Body = TypeVar("_Body", bound=BaseModel)


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


async def read_body(request: web.Request, kind: type[_Body]) -> _Body:
    """Return a request's JSON as a model; raise ControlError for wrong fields."""
    try:
        return kind.model_validate_json(await request.read() or b"{}")
    except web.RequestPayloadError as error:
        raise ControlError(400, "the body can't be decompressed") from error
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> ControlError:
    """Return what is wrong with each field; 400 for what is no JSON object."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    status = 400 if problems[0]["type"] in ("json_invalid", "model_type") else 422
    return ControlError(status, "; ".join(f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in problems))
