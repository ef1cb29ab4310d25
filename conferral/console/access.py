"""Access control: sign-in, same-origin checks (CSRF), read-only mode.

The server stores no sign-ins. A cookie holds its expiry and a signature by a key derived from the token, so a new token
invalidates every cookie.
"""

import hashlib
import hmac
import re

import structlog
from aiohttp import hdrs, web
from pydantic import SecretStr

from conferral.runtime.clock import Clock
from conferral.runtime.web.bearer import BearerAuthenticator
from conferral.runtime.web.json_requests import NO_STORE, RequestError, read_json_object
from conferral.runtime.web.pages import is_https, is_same_origin

log = structlog.get_logger()

#: Only the console's own scripts can send this header; another site's form or image can't.
HEADER, VALUE = "X-Conferral", "console"
#: A week, so that a wallboard isn't signed out overnight.
COOKIE_LIFETIME_S = 7 * 86_400
_COOKIE = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


class AccessControl(BearerAuthenticator):
    """Authorizes requests by the token or the cookie."""

    def __init__(self, token: SecretStr, clock: Clock, *, read_only: bool) -> None:
        super().__init__(token, clock)
        self._key = hashlib.sha256(b"conferral console cookie\0" + self._token).digest()
        #: Depends on the token: browsers share cookies across a host's ports, where other consoles may run.
        self.cookie_name = f"conferral_{hashlib.sha256(self._key).hexdigest()[:8]}"
        self._clock = clock
        self._read_only = read_only

    def signed_in_until_s(self, request: web.Request) -> int | None:
        """Return when the sign-in expires, Unix s; 0: never, None: not signed in."""
        return 0 if self.has_valid_token(request) else self._cookie_until_s(request) or None

    def require_write(self, request: web.Request) -> None:
        """Raise RequestError unless the request may change something."""
        until_s = self.signed_in_until_s(request)
        if until_s is None:
            raise RequestError("unauthorized", "sign in on the page, or send CONFERRAL_API_TOKEN as a bearer token")
        if until_s:  # by a cookie, which browsers attach to other sites' requests, too
            check_origin(request)
            if hdrs.ORIGIN not in request.headers or request.headers.get(HEADER) != VALUE:
                raise RequestError("foreign", f"a request with a cookie needs the headers {HEADER}: {VALUE} and Origin")
        if self._read_only:
            raise RequestError("read-only", "this console is read-only")

    def _cookie_until_s(self, request: web.Request) -> int:
        """Return when the cookie expires, Unix seconds; 0 if invalid or missing."""
        found = _COOKIE.fullmatch(request.cookies.get(self.cookie_name, ""))
        if found is None or not hmac.compare_digest(found[2], self._signature(found[1])):
            return 0
        return int(found[1]) if int(found[1]) * 1000 > self._clock.wall_ms() else 0

    async def sign_in(self, request: web.Request) -> web.Response:
        """Handle a sign-in: check the token, and set the cookie."""
        check_origin(request)
        token = (await read_json_object(request)).get("token")
        if not isinstance(token, str) or not self.is_valid(token, request):
            raise RequestError("unauthorized", "wrong token: sign in with this console's CONFERRAL_API_TOKEN")
        log.info("signed_in")
        until = str(self._clock.wall_ms() // 1000 + COOKIE_LIFETIME_S)
        return self._with_cookie(request, f"{until}.{self._signature(until)}", COOKIE_LIFETIME_S)

    async def sign_out(self, request: web.Request) -> web.Response:
        """Handle a sign-out: delete the cookie from the browser."""
        check_origin(request)
        return self._with_cookie(request, "", 0)

    def _with_cookie(self, request: web.Request, value: str, max_age_s: int) -> web.Response:
        """Return a response with the cookie for the folder of the path.

        Without a path attribute, browsers use their own URL's folder, even behind a proxy that rewrites paths.
        Source: RFC 6265, section 5.1.4.
        """
        response = web.Response(status=204, headers=NO_STORE)
        response.set_cookie(
            self.cookie_name,
            value,
            max_age=max_age_s,
            path="",  # omits the attribute
            httponly=True,
            samesite="Strict",
            secure=is_https(request),
        )
        return response

    def _signature(self, expiry: str) -> str:
        return hmac.new(self._key, expiry.encode(), hashlib.sha256).hexdigest()


def check_origin(request: web.Request) -> None:
    """Raise RequestError if the request comes from another site's page."""
    if not is_same_origin(request):
        raise RequestError(
            "foreign",
            "the request comes from another site's page, or a proxy hides the Host header or X-Forwarded-Proto",
        )
