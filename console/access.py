"""Access control: authentication, same-origin checks (CSRF), and read-only mode."""

import asyncio
from typing import Any

import orjson
from aiohttp import hdrs, web

from conferral.console.errors import RequestRefused
from conferral.console.sign_in import SignIn, TooManyAttempts
from conferral.runtime.web.pages import is_same_origin

#: Only the console's own scripts can send this header; another site's form or image can't.
HEADER, VALUE = "X-Conferral", "console"
#: Maximum size of a request body (bytes), several times that of a command with ten destinations.
BODY_BYTES_MAX = 64 * 1024
#: Timeout for receiving a body, in seconds.
_READ_DEADLINE_S = 5.0


class AccessControl:
    """Authorizes requests, or raises why not."""

    def __init__(self, sign_in: SignIn, *, read_only: bool) -> None:
        self._sign_in = sign_in
        self.read_only = read_only

    def signed_in_until_s(self, request: web.Request) -> int | None:
        """Return when the request's sign-in expires, in Unix seconds: 0 for never, None if not signed in.

        Raises:
            RequestRefused: the token is wrong, and there were too many wrong ones recently.
        """
        try:
            if self._sign_in.has_valid_bearer(request):
                return 0
        except TooManyAttempts:
            raise too_many_attempts() from None
        return self._sign_in.cookie_until_s(request) or None

    def require_read(self, request: web.Request) -> None:
        """Verify that the request may read.

        Raises:
            RequestRefused: it is not signed in.
        """
        if self.signed_in_until_s(request) is None:
            raise RequestRefused(
                "unauthorized", "sign in first: with CONFERRAL_API_TOKEN, on the page or as a bearer token"
            )

    def require_write(self, request: web.Request) -> None:
        """Verify that the request may change something.

        Raises:
            RequestRefused: it is not signed in or comes from another site's page, or the console is read-only.
        """
        until_s = self.signed_in_until_s(request)
        if until_s is None:
            self.require_read(request)
        if until_s:  # signed in by a cookie, which the browser attaches to other sites' requests, too
            check_origin(request)
            if hdrs.ORIGIN not in request.headers or request.headers.get(HEADER) != VALUE:
                raise RequestRefused("foreign", f"with a cookie it needs the header {HEADER}: {VALUE}, and an Origin")
        if self.read_only:
            raise RequestRefused("read-only", "this console is read-only: nothing can be changed here")


def check_origin(request: web.Request) -> None:
    """Verify that the request comes from the console's own page, or from no page.

    Raises:
        RequestRefused: it comes from another site.
    """
    if not is_same_origin(request):
        raise RequestRefused(
            "foreign",
            "the request comes from another site's page, or a proxy hides the Host header or X-Forwarded-Proto",
        )


def too_many_attempts() -> RequestRefused:
    """Return the error for too many wrong tokens."""
    return RequestRefused("too-many", "too many wrong tokens lately; try again in a moment")


async def read_json_object(request: web.Request) -> dict[str, Any]:
    """Read a request's JSON object.

    Raises:
        RequestRefused: the body isn't an object, is too large, or doesn't arrive in time.
    """
    if hdrs.CONTENT_ENCODING in request.headers:  # a small body may decompress into a huge one
        raise RequestRefused("malformed", "the body must not be compressed")
    if request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused("malformed", "Content-Type must be application/json")
    try:
        async with asyncio.timeout(_READ_DEADLINE_S):
            body = await request.read()  # limited by the application's client_max_size
    except web.HTTPRequestEntityTooLarge:
        raise RequestRefused("too-large", f"the body is limited to {BODY_BYTES_MAX:,} bytes") from None
    except (TimeoutError, web.RequestPayloadError, OSError):
        raise RequestRefused("malformed", "the body is malformed, or did not arrive") from None
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RequestRefused("malformed", "the body is not valid JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise RequestRefused("malformed", "the body must be a JSON object")
    return found
