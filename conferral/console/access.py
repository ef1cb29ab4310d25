"""Access control: sign-in, same-origin checks (CSRF), read-only mode.

The server stores no sign-ins. A cookie holds its token's name, its expiry, and a signature of both and of the token's
digest, so a token that was removed or replaced invalidates its cookies. The key of signatures is derived from
`CONFERRAL_API_TOKEN`; without one, it is random, and a restart invalidates every cookie.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

import structlog
from aiohttp import hdrs, web

from conferral.runtime.clock import Clock
from conferral.runtime.settings import ConsoleSettings
from conferral.runtime.web.bearer import BearerAuthenticator
from conferral.runtime.web.json_requests import NO_STORE, RequestError, read_json_object
from conferral.runtime.web.pages import is_https, is_same_origin
from conferral.runtime.web.tokens import Permission, Token, Tokens

log = structlog.get_logger()

#: Only the console's own scripts can send this header; another site's form or image can't.
HEADER, VALUE = "X-Conferral", "console"
#: A week, so that a wallboard isn't signed out overnight.
COOKIE_LIFETIME_S = 7 * 86_400
_COOKIE = re.compile(r"([A-Za-z0-9_-]{1,32})\.([0-9]{1,12})\.([0-9a-f]{64})")


class SignIn(NamedTuple):
    """Who is signed in, and until when."""

    token: Token
    #: Unix seconds; 0 for no limit.
    until_s: int
    #: Those in effect: a reload may remove or change the token.
    tokens: Tokens


class AccessControl(BearerAuthenticator):
    """Authorizes requests by a token or the cookie."""

    def __init__(self, settings: ConsoleSettings, tokens: Tokens, clock: Clock, *, read_only: bool) -> None:
        super().__init__(tokens, clock)
        given = settings.api_token.get_secret_value().encode() if settings.api_token else b""
        # The token file's digests would not do as a secret: anyone who may read the file could then sign in.
        self._key = hashlib.sha256(b"conferral console cookie\0" + (given or secrets.token_bytes(32))).digest()
        #: Depends on the tokens: browsers share cookies across a host's ports, where other consoles may run.
        scope = self._key if given else str(settings.tokens).encode()
        self.cookie_name = f"conferral_{hashlib.sha256(scope).hexdigest()[:8]}"
        self._clock = clock
        self._read_only = read_only

    def sign_in_of(self, request: web.Request) -> SignIn | None:
        """Return who sends the request; None if not signed in."""
        token = self.token_of(request)
        return self._sign_in_of_cookie(request) if token is None else SignIn(token, 0, self.tokens)

    def require_write(self, request: web.Request) -> Token:
        """Return the token if it may change something, or raise RequestError."""
        found = self.sign_in_of(request)
        if found is None:
            raise RequestError("unauthorized", "sign in on the page, or send one of its tokens as a bearer token")
        if found.until_s:  # by a cookie, which browsers attach to other sites' requests, too
            check_origin(request)
            if hdrs.ORIGIN not in request.headers or request.headers.get(HEADER) != VALUE:
                raise RequestError("foreign", f"a request with a cookie needs the headers {HEADER}: {VALUE} and Origin")
        if self._read_only:
            raise RequestError("read-only", "this console is read-only")
        return found.token

    def _sign_in_of_cookie(self, request: web.Request) -> SignIn | None:
        """Return whose cookie it is; a reload may have removed the token."""
        cookie = _COOKIE.fullmatch(request.cookies.get(self.cookie_name, ""))
        tokens = self.tokens.current.values()
        token = next((one for one in tokens if cookie is not None and one.name == cookie[1]), None)
        if cookie is None or token is None or not hmac.compare_digest(cookie[3], self._signature(token, cookie[2])):
            return None
        until_s = int(cookie[2])
        return SignIn(token, until_s, self.tokens) if until_s * 1000 > self._clock.wall_ms() else None

    async def sign_in(self, request: web.Request) -> web.Response:
        """Handle a sign-in: check the token, and set the cookie."""
        check_origin(request)
        given = (await read_json_object(request)).get("token")
        token = self.authenticate(given, request) if isinstance(given, str) else None
        if token is None:
            raise RequestError("unauthorized", "wrong token: sign in with one of this console's tokens")
        token.require(Permission.READ)
        log.info("signed_in", token_name=token.name)
        until = str(self._clock.wall_ms() // 1000 + COOKIE_LIFETIME_S)
        return self._with_cookie(request, f"{token.name}.{until}.{self._signature(token, until)}", COOKIE_LIFETIME_S)

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

    def _signature(self, token: Token, expiry: str) -> str:
        return hmac.new(self._key, f"{token.digest} {expiry}".encode(), hashlib.sha256).hexdigest()


def check_origin(request: web.Request) -> None:
    """Raise RequestError if the request comes from another site's page."""
    if not is_same_origin(request):
        raise RequestError(
            "foreign",
            "the request comes from another site's page, or a proxy hides the Host header or X-Forwarded-Proto",
        )
