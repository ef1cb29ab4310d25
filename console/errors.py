"""What is said to whoever asked for something that can't be had, in the form of the control API."""

import orjson
from aiohttp import web

from conferral.runtime.errors import ConferralError

#: HTTP status by kind. Source: RFC 9110, section 15.5; RFC 6585, section 4.
STATUS = {
    "malformed": 400,
    "unauthorized": 401,
    #: Another site's page asks, or the request lacks what only our own page sends.
    "foreign": 403,
    "read-only": 403,
    "unknown": 404,
    "rejected": 409,
    "taken": 409,
    #: What was to be acted upon is not what there is any more.
    "changed": 409,
    "too-large": 413,
    "invalid": 422,
    "too-many": 429,
    #: Too many commands wait for a worker.
    "full": 503,
    "store": 503,
}
NO_STORE = {"Cache-Control": "no-store"}


class RequestRefused(ConferralError):  # noqa: N818  # said to whoever asked, no fault of ours
    """A request is refused.

    Attributes:
        type: One of `STATUS`.
        reason: What is wrong, in words; never a number or a name that was sent.
        allowed: What would be taken instead: commands of a session.
        more: Further fields of the answer.
    """

    def __init__(self, type_: str, reason: str, allowed: tuple[str, ...] = (), **more: object) -> None:
        super().__init__(reason)
        self.type = type_
        self.reason = reason
        self.allowed = allowed
        self.more = more

    def response(self) -> web.Response:
        """The refusal as an answer."""
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
    """An answer in JSON that nobody keeps."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=NO_STORE)
