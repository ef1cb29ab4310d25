"""JSON requests to the control API and the console, and refusals."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import hdrs, web

from conferral.runtime.errors import ConferralError
from conferral.runtime.json_decoding import decode_json

#: Maximum body (bytes): several times ten destinations of 512 characters and a message.
BODY_BYTES_MAX = 64 * 1024
#: Maximum body of a sign-in (bytes): a token or a code, from an unknown sender.
SIGN_IN_BYTES_MAX = 1024
#: Read timeout of a body (seconds).
READ_DEADLINE_S = 5.0
_JSON = "application/json"
#: The page with a section per type of the API's errors, relative to the repository's root, whose files are published.
ERRORS_PAGE = "docs/reference/errors.md"
#: Responses are a snapshot, and some are secret.
NO_STORE = {hdrs.CACHE_CONTROL: "no-store"}

#: HTTP status by type of error. Source: RFC 9110, section 15.5; RFC 6585, section 4; RFC 6750, section 3.1.
STATUS = {
    "malformed": 400,
    "unauthorized": 401,
    #: A cross-site request, or one without the header that only the console's page sends.
    "foreign": 403,
    #: The token is valid, but may not do this.
    "forbidden": 403,
    "read-only": 403,
    "unknown": 404,
    "method": 405,
    "timeout": 408,
    "rejected": 409,
    "id-conflict": 409,
    #: The target has changed since.
    "changed": 409,
    "too-large": 413,
    "invalid": 422,
    "too-many": 429,
    "headers-too-large": 431,
    "internal": 500,
    "not-set-up": 503,
    "full": 503,
    "too-many-streams": 503,
    "twilio": 503,
    "store": 503,
}
#: Default Retry-After header by type, seconds. Source: RFC 9110, section 10.2.3.
_RETRY_AFTER_S = {"too-many": 60, "not-set-up": 60, "full": 5, "too-many-streams": 5, "store": 1, "twilio": 1}


class RequestError(ConferralError):
    """A refused request; sent as JSON.

    `type` is one of `STATUS`, `allowed` what would be accepted instead. `reason` never includes a number or name that
    was sent. A retry may succeed after `retry_after_s`; 0 if that does not depend on time.
    """

    def __init__(
        self, type_: str, reason: str, allowed: tuple[str, ...] = (), *, retry_after_s: int = 0, **more: object
    ) -> None:
        super().__init__(reason)
        self.type = str(type_)
        self.reason = reason
        self.allowed = allowed
        self.retry_after_s = retry_after_s or _RETRY_AFTER_S.get(type_, 0)
        self.more = more
        #: Further fields for the log.
        self.log_fields: dict[str, str] = {}

    @property
    def status(self) -> int:
        """HTTP status of the response."""
        return STATUS[self.type]

    def response(self, **more: object) -> web.Response:
        """Return the refusal as JSON; `more` are further fields of its error."""
        fields = {"type": self.type, "reason": self.reason, "allowed": list(self.allowed), **self.more, **more}
        response = json_response({"error": fields}, self.status)
        if self.type == "unauthorized":
            response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
        if self.type == "method":
            response.headers[hdrs.ALLOW] = ", ".join(self.allowed)
        if self.retry_after_s:
            response.headers[hdrs.RETRY_AFTER] = str(self.retry_after_s)
        # Do not wait for the rest of a body, nor keep connections that crowd out Twilio's.
        if self.type in ("unauthorized", "too-many", "too-large", "timeout", "too-many-streams"):
            response.force_close()
        return response


def internal_error() -> RequestError:
    """Return the error for what no one has foreseen; the log has it."""
    return RequestError("internal", "an unexpected error; the process's log has it")


def json_response(body: object, status: int = 200) -> web.Response:
    """Return a JSON response that no cache may store; bytes are sent as is."""
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return web.Response(body=encoded, status=status, content_type=_JSON, headers=NO_STORE)


async def read_json_object(request: web.Request, bytes_max: int = BODY_BYTES_MAX) -> dict[str, Any]:
    """Return the body; raise RequestError: no JSON object, too large, or late.

    Read that of an unknown sender only with a low `bytes_max`: 64 KiB can take many milliseconds to parse.
    """
    if hdrs.CONTENT_ENCODING in request.headers:  # a small body may decompress into a huge one
        raise RequestError("malformed", "the body must not be compressed")
    if request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower() != _JSON:
        raise RequestError("malformed", f"Content-Type must be {_JSON}")
    body = await _read_body(request, bytes_max)
    try:
        found = decode_json(body)
        # A number may be too long for `int`.
        json.loads(body, object_pairs_hook=_refuse_repeated, parse_int=str)
    except (ValueError, RecursionError):
        raise RequestError("malformed", "the body is not valid JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise RequestError("malformed", "the body must be a JSON object")
    return found


def content_length(headers: Mapping[str, str]) -> int:
    """Return a parsed request's Content-Length in bytes; 0 without one."""
    # aiohttp accepts digits below 2**64 after any number of zeros, but `int` refuses more than 4,300 digits.
    return int(headers.get("content-length", "0")[-20:])


def _refuse_repeated(fields: list[tuple[str, Any]]) -> None:
    if len(dict(fields)) < len(fields):
        raise RequestError("malformed", "the body must not have a field twice")


async def _read_body(request: web.Request, bytes_max: int) -> bytes:
    too_large = RequestError("too-large", f"the body is limited to {bytes_max:,} bytes")
    if content_length(request.headers) > bytes_max:
        raise too_large
    try:
        async with asyncio.timeout(READ_DEADLINE_S):
            # Also for bodies of unknown length, whatever limit the application has.
            return await request.clone(client_max_size=bytes_max).read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except TimeoutError:
        raise RequestError("timeout", f"the body did not arrive within {READ_DEADLINE_S:g} s") from None
    except (web.RequestPayloadError, OSError):
        # Broken chunks, or the sender is gone and may never read the answer.
        raise RequestError("malformed", "the body is malformed") from None
