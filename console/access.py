"""Who is let in to what: signed in, from our own page, and allowed to change anything."""

import asyncio
from typing import Any

import orjson
from aiohttp import hdrs, web

from conferral.console.errors import RequestRefused
from conferral.console.sign_in import SignIn, TooManyAttempts
from conferral.runtime.web.pages import is_same_origin

#: Only a script of our own page sends this header; a form or an image of another site can't.
HEADER, VALUE = "X-Conferral", "console"
#: Largest body (bytes): a command with ten destinations and a sentence fits in several times.
BODY_BYTES_MAX = 64 * 1024
#: How long a body may take to arrive, seconds.
_READ_DEADLINE_S = 5.0


class AccessControl:
    """Lets requests in, or says why not."""

    def __init__(self, sign_in: SignIn, *, read_only: bool) -> None:
        """Binds who may sign in.

        Args:
            sign_in: Knows the token.
            read_only: Whether nobody may change anything.
        """
        self._sign_in = sign_in
        self.read_only = read_only

    def signed_in_until_s(self, request: web.Request) -> int | None:
        """Until when whoever asks is signed in, Unix seconds: 0 for without an end, None for not at all.

        Raises:
            Refused: the token is wrong, and so were too many lately.
        """
        try:
            if self._sign_in.has_valid_bearer(request):
                return 0
        except TooManyAttempts:
            raise too_many_attempts() from None
        return self._sign_in.cookie_until_s(request) or None

    def require_read(self, request: web.Request) -> None:
        """Passes whoever may look.

        Raises:
            Refused: not signed in.
        """
        if self.signed_in_until_s(request) is None:
            raise RequestRefused(
                "unauthorized", "sign in first: with CONFERRAL_API_TOKEN, on the page or as a bearer token"
            )

    def require_write(self, request: web.Request) -> None:
        """Passes whoever may change something.

        Raises:
            Refused: not signed in, by another site's page, or nobody may.
        """
        until_s = self.signed_in_until_s(request)
        if until_s is None:
            self.require_read(request)
        if until_s:  # by a cookie, which a browser sends along whoever has made the page
            check_origin(request)
            if hdrs.ORIGIN not in request.headers or request.headers.get(HEADER) != VALUE:
                raise RequestRefused("foreign", f"with a cookie it needs the header {HEADER}: {VALUE}, and an Origin")
        if self.read_only:
            raise RequestRefused("read-only", "this console is read-only: nothing can be changed here")


def check_origin(request: web.Request) -> None:
    """Passes a request of our own page, or of no page.

    Raises:
        Refused: it is another site's.
    """
    if not is_same_origin(request):
        raise RequestRefused(
            "foreign",
            "the request comes from another site's page, or a proxy hides the Host header or X-Forwarded-Proto",
        )


def too_many_attempts() -> RequestRefused:
    """Too many wrong tokens have come lately."""
    return RequestRefused("too-many", "too many wrong tokens lately; try again in a moment")


async def read_json_object(request: web.Request) -> dict[str, Any]:
    """The JSON object that a request brings.

    Raises:
        Refused: it is none, is too large, or does not arrive.
    """
    if hdrs.CONTENT_ENCODING in request.headers:  # a small body may unpack into a huge one
        raise RequestRefused("malformed", "the body must not be compressed")
    if request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused("malformed", "Content-Type must be application/json")
    try:
        async with asyncio.timeout(_READ_DEADLINE_S):
            body = await request.read()  # stops at the application's client_max_size
    except web.HTTPRequestEntityTooLarge:
        raise RequestRefused("too-large", f"the body must have at most {BODY_BYTES_MAX:,} bytes") from None
    except (TimeoutError, web.RequestPayloadError, OSError):
        raise RequestRefused("malformed", "the body is broken, or does not arrive") from None
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RequestRefused("malformed", "the body is no JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise RequestRefused("malformed", "the body must be a JSON object")
    return found
