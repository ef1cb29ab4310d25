"""Error responses, in the control API's format."""

import orjson
from aiohttp import web

from conferral.runtime.errors import ConferralError

#: HTTP status by type. Source: RFC 9110, section 15.5; RFC 6585, section 4.
STATUS = {
    "malformed": 400,
    "unauthorized": 401,
    #: A cross-site request, or one without the header that only the console's page sends.
    "foreign": 403,
    "read-only": 403,
    "unknown": 404,
    "rejected": 409,
    "taken": 409,
    #: The target has changed since.
    "changed": 409,
    "too-large": 413,
    "invalid": 422,
    "too-many": 429,
    #: Too many commands wait to be routed.
    "full": 503,
    "store": 503,
}
NO_STORE = {"Cache-Control": "no-store"}


class RequestRefused(ConferralError):  # noqa: N818  # a response, not a failure
    """A request is rejected.

    Attributes:
        type: One of `STATUS`.
        reason: Why, in words; never contains a submitted phone number or name.
        allowed: Alternatives: commands that the session would accept.
        more: Further fields of the response.
    """

    def __init__(self, type_: str, reason: str, allowed: tuple[str, ...] = (), **more: object) -> None:
        super().__init__(reason)
        self.type = type_
        self.reason = reason
        self.allowed = allowed
        self.more = more

    def response(self) -> web.Response:
        """Return the error as a response."""
        body = {"error": {"type": self.type, "reason": self.reason, "allowed": list(self.allowed), **self.more}}
        headers = dict(NO_STORE)
        if self.type == "unauthorized":
            headers["WWW-Authenticate"] = "Bearer"
        if STATUS[self.type] in (429, 503):
            headers["Retry-After"] = "1"
        return web.Response(
            body=orjson.dumps(body), status=STATUS[self.type], content_type="application/json", headers=headers
        )


def json_response(body: object, status: int = 200) -> web.Response:
    """Return an uncacheable JSON response."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=NO_STORE)
