"""JSON request bodies."""

import asyncio
from typing import Any

import orjson
from aiohttp import hdrs, web

from conferral.webhooks.api.errors import ApiError, ErrorType

#: Maximum body (bytes): several times ten destinations of 512 characters and a message.
BODY_BYTES_MAX = 64 * 1024
#: Read timeout of a body (seconds).
_READ_DEADLINE_S = 5.0
_JSON = "application/json"


async def read_json_object(request: web.Request) -> dict[str, Any]:
    """Return the request's body.

    Raises:
        ApiError: The body is not a JSON object, is too large, or does not arrive in time.
    """
    headers = request.headers
    if hdrs.CONTENT_ENCODING in headers:  # a small body may decompress into a huge one
        raise ApiError(ErrorType.MALFORMED, "the body must not be compressed")
    if headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower() != _JSON:
        raise ApiError(ErrorType.MALFORMED, f"Content-Type must be {_JSON}")
    try:
        found = orjson.loads(await _read_body(request))
    except orjson.JSONDecodeError:
        raise ApiError(ErrorType.MALFORMED, "the body is not valid JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise ApiError(ErrorType.INVALID, "the body must be a JSON object")
    return found


async def _read_body(request: web.Request) -> bytes:
    too_large = ApiError(ErrorType.TOO_LARGE, f"the body is limited to {BODY_BYTES_MAX:,} bytes")
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise too_large
    try:
        async with asyncio.timeout(_READ_DEADLINE_S):
            # aiohttp enforces the application's client_max_size, also for bodies of unknown length.
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except TimeoutError:
        raise ApiError(ErrorType.TOO_SLOW, f"the body did not arrive within {_READ_DEADLINE_S:g} s") from None
    except (web.RequestPayloadError, OSError):
        # Broken chunks, or the sender is gone and may never read the answer.
        raise ApiError(ErrorType.MALFORMED, "the body is malformed") from None
