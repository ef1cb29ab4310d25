"""Authentication: the API token as a bearer token, or a signed cookie derived from it.

The server stores no sign-ins. A cookie holds its expiry and a signature. The key is derived from the token, so a new
token invalidates every cookie.
"""

import hashlib
import hmac
import re

from aiohttp import hdrs, web
from pydantic import SecretStr

from conferral.runtime.clock import Clock
from conferral.runtime.web.pages import is_https

#: Lifetime of a sign-in, in seconds: a week, so that a wallboard isn't signed out overnight.
COOKIE_LIFETIME_S = 7 * 86_400
#: Rate limit for wrong tokens: burst, and refill per second (count).
WRONG_BURST = 10
WRONG_PER_S = 2.0
_COOKIE = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


class TooManyAttempts(Exception):  # noqa: N818  # a response, not a failure
    """Rate limit: a wrong token after too many wrong ones."""


class SignIn:
    """Compares a request's token with the configured one."""

    def __init__(self, token: SecretStr, clock: Clock) -> None:
        self._token = token.get_secret_value().encode()
        self._key = hashlib.sha256(b"conferral console cookie\0" + self._token).digest()
        #: The cookie's name. It depends on the token, because browsers share cookies across a host's ports, and
        #: consoles of several systems may run on one host.
        self.cookie = f"conferral_{hashlib.sha256(self._key).hexdigest()[:8]}"
        self._clock = clock
        self._attempts_left = float(WRONG_BURST)
        self._counted_at_s = clock.monotonic_s()

    def is_valid_token(self, token: str) -> bool:
        """Whether this is the token, compared in constant time.

        The right token is never rate-limited; otherwise, anyone could lock everyone out. Its length protects it from
        guessing.

        Raises:
            TooManyAttempts: it is wrong, and there were too many wrong ones recently.
        """
        # Headers may contain any byte, and JSON may contain lone surrogates.
        if hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token):
            return True
        now_s = self._clock.monotonic_s()
        self._attempts_left = min(WRONG_BURST, self._attempts_left + (now_s - self._counted_at_s) * WRONG_PER_S)
        self._counted_at_s = now_s
        if self._attempts_left < 1:
            raise TooManyAttempts
        self._attempts_left -= 1
        return False

    # ---- requests ------------------------------------------------------------------------------------------------

    def has_valid_bearer(self, request: web.Request) -> bool:
        """Whether a request has the token as a bearer token. Source: RFC 6750, section 2.1.

        Raises:
            TooManyAttempts: it has a wrong one, and there were too many recently.
        """
        sent = request.headers.getall(hdrs.AUTHORIZATION, [])
        scheme, _, submitted = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
        # aiohttp decodes headers with surrogateescape, so undecodable bytes become lone surrogates.
        return scheme.lower() == "bearer" and self.is_valid_token(submitted.strip(" "))

    def cookie_until_s(self, request: web.Request) -> int:
        """Return when a request's cookie expires, in Unix seconds; 0 if it is invalid or missing."""
        found = _COOKIE.fullmatch(request.cookies.get(self.cookie, ""))
        if found is None or not hmac.compare_digest(found[2], self._signature(found[1])):
            return 0
        return int(found[1]) if int(found[1]) * 1000 > self._clock.wall_ms() else 0

    # ---- responses -----------------------------------------------------------------------------------------------

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
