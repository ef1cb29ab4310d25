"""Who may look and steer: whoever has the token of the settings, or a cookie that was made from it.

The server keeps nothing of who has signed in. A cookie says until when it holds, and under what key that was signed:
the key is made from the token, so another token makes every cookie worthless.
"""

import hashlib
import hmac
import re

from aiohttp import hdrs, web
from pydantic import SecretStr

from conferral.runtime.clock import Clock
from conferral.runtime.web.pages import is_https

#: How long a sign-in holds, seconds: a week, so that a screen on the wall is not signed out over a night.
COOKIE_LIFETIME_S = 7 * 86_400
#: Wrong tokens that are answered and logged one by one, and how many more each second (count).
WRONG_BURST = 10
WRONG_PER_S = 2.0
_COOKIE = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


class TooManyAttempts(Exception):  # noqa: N818  # told to whoever tries, no fault of ours
    """A wrong token, after so many lately that it is told to wait."""


class SignIn:
    """Compares what a request brings with the token of the settings."""

    def __init__(self, token: SecretStr, clock: Clock) -> None:
        """Keeps the token, and how many tries are left.

        Args:
            token: `CONFERRAL_API_TOKEN`.
            clock: For the expiry of cookies, and for the pace of wrong tries.
        """
        self._token = token.get_secret_value().encode()
        self._key = hashlib.sha256(b"conferral console cookie\0" + self._token).digest()
        #: The cookie's name. Browsers tell cookies of one host apart by name, whatever the port: consoles of several
        #: systems may run beside each other.
        self.cookie = f"conferral_{hashlib.sha256(self._key).hexdigest()[:8]}"
        self._clock = clock
        self._attempts_left = float(WRONG_BURST)
        self._counted_at_s = clock.monotonic_s()

    def is_valid_token(self, token: str) -> bool:
        """Whether this is the token. How long the comparison takes tells nothing about where the two differ.

        The right one is always let in, however many wrong ones have come: else anybody could keep everybody out. That
        nobody can guess it is left to its length.

        Raises:
            TooManyTries: it is wrong, and so were too many lately.
        """
        # Headers may hold any byte, and JSON halves of characters.
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
        """Whether a request brings the token itself. Source: RFC 6750, section 2.1.

        Raises:
            TooManyTries: it brings a wrong one, and too many were wrong lately.
        """
        sent = request.headers.getall(hdrs.AUTHORIZATION, [])
        scheme, _, submitted = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
        # aiohttp decodes headers so that no byte is lost; halves of characters stand for those that are no text.
        return scheme.lower() == "bearer" and self.is_valid_token(submitted.strip(" "))

    def cookie_until_s(self, request: web.Request) -> int:
        """Until when a request's cookie holds, Unix seconds; 0 for one that does not, or that is not there."""
        found = _COOKIE.fullmatch(request.cookies.get(self.cookie, ""))
        if found is None or not hmac.compare_digest(found[2], self._signature(found[1])):
            return 0
        return int(found[1]) if int(found[1]) * 1000 > self._clock.wall_ms() else 0

    # ---- answers -------------------------------------------------------------------------------------------------

    def set_cookie(self, request: web.Request, response: web.StreamResponse) -> None:
        """Has the browser keep a cookie for the paths beside the request's.

        No path is named: the browser takes the folder that it has asked, whatever a proxy has made of it since. Source:
        RFC 6265, section 5.1.4.
        """
        until = str(self._clock.wall_ms() // 1000 + COOKIE_LIFETIME_S)
        self._set(request, response, f"{until}.{self._signature(until)}", COOKIE_LIFETIME_S)

    def clear_cookie(self, request: web.Request, response: web.StreamResponse) -> None:
        """Has the browser forget the cookie."""
        self._set(request, response, "", 0)

    def _set(self, request: web.Request, response: web.StreamResponse, value: str, max_age_s: int) -> None:
        response.set_cookie(
            self.cookie,
            value,
            max_age=max_age_s,
            path="",  # is left out then
            httponly=True,
            samesite="Strict",
            secure=is_https(request),
        )

    def _signature(self, until: str) -> str:
        return hmac.new(self._key, until.encode(), hashlib.sha256).hexdigest()
