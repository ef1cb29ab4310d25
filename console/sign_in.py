"""Authentication: the API token as a bearer token, or a signed cookie derived from it.

The server stores no sign-ins. A cookie holds its expiry and a signature. The key is derived from the token, so a new
token invalidates every cookie.
"""

import hashlib
import hmac
import re

from aiohttp import web
from pydantic import SecretStr

from conferral.runtime.clock import Clock
from conferral.runtime.web.bearer import BearerAuthenticator
from conferral.runtime.web.pages import is_https

#: Lifetime of a sign-in, in seconds: a week, so that a wallboard isn't signed out overnight.
COOKIE_LIFETIME_S = 7 * 86_400
_COOKIE = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


class SignIn(BearerAuthenticator):
    """Authenticates requests by the token or the cookie."""

    def __init__(self, token: SecretStr, clock: Clock) -> None:
        super().__init__(token, clock)
        self._key = hashlib.sha256(b"conferral console cookie\0" + self._token).digest()
        #: The cookie's name. It depends on the token, because browsers share cookies across a host's ports, and
        #: consoles of several systems may run on one host.
        self.cookie = f"conferral_{hashlib.sha256(self._key).hexdigest()[:8]}"
        self._clock = clock

    def cookie_until_s(self, request: web.Request) -> int:
        """Return when a request's cookie expires, in Unix seconds; 0 if it is invalid or missing."""
        found = _COOKIE.fullmatch(request.cookies.get(self.cookie, ""))
        if found is None or not hmac.compare_digest(found[2], self._signature(found[1])):
            return 0
        return int(found[1]) if int(found[1]) * 1000 > self._clock.wall_ms() else 0

    def set_cookie(self, request: web.Request, response: web.StreamResponse) -> None:
        """Set the cookie for the request's folder.

        Without a path attribute, the browser uses the folder of its own URL, even behind a proxy that rewrites paths.
        Source: RFC 6265, section 5.1.4.
        """
        until = str(self._clock.wall_ms() // 1000 + COOKIE_LIFETIME_S)
        self._set(request, response, f"{until}.{self._signature(until)}", COOKIE_LIFETIME_S)

    def clear_cookie(self, request: web.Request, response: web.StreamResponse) -> None:
        """Delete the cookie."""
        self._set(request, response, "", 0)

    def _set(self, request: web.Request, response: web.StreamResponse, value: str, max_age_s: int) -> None:
        response.set_cookie(
            self.cookie,
            value,
            max_age=max_age_s,
            path="",  # omits the attribute
            httponly=True,
            samesite="Strict",
            secure=is_https(request),
        )

    def _signature(self, until: str) -> str:
        return hmac.new(self._key, until.encode(), hashlib.sha256).hexdigest()
