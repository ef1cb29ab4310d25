"""Access control: authentication, same-origin checks (CSRF), and read-only mode."""

from aiohttp import hdrs, web

from conferral.console.sign_in import SignIn
from conferral.runtime.web.json_requests import RequestError
from conferral.runtime.web.pages import is_same_origin

#: Only the console's own scripts can send this header; another site's form or image can't.
HEADER, VALUE = "X-Conferral", "console"


class AccessControl:
    """Authorizes requests, or raises why not."""

    def __init__(self, sign_in: SignIn, *, read_only: bool) -> None:
        self._sign_in = sign_in
        self.read_only = read_only

    def signed_in_until_s(self, request: web.Request) -> int | None:
        """Return when the request's sign-in expires, in Unix seconds: 0 for never, None if not signed in.

        Raises:
            RequestError: the token is wrong, and there were too many wrong ones recently.
        """
        if self._sign_in.has_valid_token(request):
            return 0
        return self._sign_in.cookie_until_s(request) or None

    def require_read(self, request: web.Request) -> None:
        """Verify that the request may read; raise RequestError if it is not signed in."""
        if self.signed_in_until_s(request) is None:
            raise RequestError("unauthorized", "sign in on the page, or send CONFERRAL_API_TOKEN as a bearer token")

    def require_write(self, request: web.Request) -> None:
        """Raise RequestError unless the request may change something."""
        until_s = self.signed_in_until_s(request)
        if until_s is None:
            self.require_read(request)
        if until_s:  # signed in by a cookie, which the browser attaches to other sites' requests, too
            check_origin(request)
            if hdrs.ORIGIN not in request.headers or request.headers.get(HEADER) != VALUE:
                raise RequestError("foreign", f"a request with a cookie needs the headers {HEADER}: {VALUE} and Origin")
        if self.read_only:
            raise RequestError("read-only", "this console is read-only")


def check_origin(request: web.Request) -> None:
    """Raise RequestError if the request comes from another site's page."""
    if not is_same_origin(request):
        raise RequestError(
            "foreign",
            "the request comes from another site's page, or a proxy hides the Host header or X-Forwarded-Proto",
        )
