"""Access control: sign-in, same-origin checks (CSRF), read-only mode.

The server stores no sign-ins. A cookie holds its token's name, its expiry, and a signature of both and of the token's
digest, so a token that was removed or replaced invalidates its cookies. The key of signatures is random, and Redis
holds it: one that is derived from a token would let anyone with a cookie guess that token.
"""

import hashlib
import hmac
import re
from typing import NamedTuple

import structlog
from aiohttp import hdrs, web

from conferral.operations.redis_access import RedisAccess
from conferral.runtime.clock import Clock
from conferral.runtime.web.bearer import BearerAuthenticator
from conferral.runtime.web.guard import protect
from conferral.runtime.web.json_requests import NO_STORE, SIGN_IN_BYTES_MAX, RequestError, read_json_object
from conferral.runtime.web.pages import PAGE_HEADER, is_from_own_page, is_https, is_same_origin, sent_cookie
from conferral.runtime.web.tokens import Permission, Token, Tokens
from conferral.storage import config

log = structlog.get_logger()

#: The console's value of the header that only its own scripts can send.
VALUE = "console"
#: A week, so that a wallboard isn't signed out overnight.
COOKIE_LIFETIME_S = 7 * 86_400
_COOKIE_PREFIX = "conferral_"
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

    def __init__(self, redis: RedisAccess, tokens: Tokens, clock: Clock, *, read_only: bool) -> None:
        super().__init__(tokens, clock)
        self._redis = redis
        #: Empty until it is read.
        self._key = b""
        self._clock = clock
        self._read_only = read_only

    async def sign_in_of(self, request: web.Request) -> SignIn | None:
        """Return who sends the request; None if not signed in."""
        token = self.token_of(request)
        return await self._sign_in_of_cookie(request) if token is None else SignIn(token, 0, self.tokens)

    async def require_write(self, request: web.Request) -> Token:
        """Return the token if it may change something, or raise RequestError."""
        found = await self.sign_in_of(request)
        if found is None:
            raise RequestError("unauthorized", "sign in on the page, or send one of its tokens as a bearer token")
        if found.until_s:  # by a cookie, which browsers attach to other sites' requests, too
            check_origin(request)
            if not is_from_own_page(request, VALUE):
                raise RequestError(
                    "foreign", f"a request with a cookie needs the headers {PAGE_HEADER}: {VALUE} and Origin"
                )
        if self._read_only:
            raise RequestError("read-only", "this console is read-only")
        return found.token

    async def _sign_in_of_cookie(self, request: web.Request) -> SignIn | None:
        """Return whose cookie it is; a reload may have removed the token."""
        if hdrs.COOKIE not in request.headers:
            return None  # without Redis
        key = await self._cookie_key()
        sent = sent_cookie(request, _cookie_name(key))
        cookie = _COOKIE.fullmatch(sent)
        tokens = self.tokens.current.values()
        token = next((one for one in tokens if cookie is not None and one.name == cookie[1]), None)
        if cookie is None or token is None or not hmac.compare_digest(cookie[3], _signature(key, token, cookie[2])):
            if sent:
                self.refuse(request)
            return None
        until_s = int(cookie[2])
        if until_s * 1000 <= self._clock.wall_ms():
            return None
        protect(request)
        return SignIn(token, until_s, self.tokens)

    async def _cookie_key(self) -> bytes:
        """Return the key of all consoles of this Redis; raise StoreError."""
        if not self._key:
            read = config.shared_secret(self._redis.client, self._redis.prefix, "console-key")
            self._key = await self._redis.limiter(read)
        return self._key

    async def sign_in(self, request: web.Request) -> web.Response:
        """Handle a sign-in: check the token, and set the cookie."""
        check_origin(request)
        given = (await read_json_object(request, SIGN_IN_BYTES_MAX)).get("token")
        token = self.authenticate(given, request) if isinstance(given, str) else None
        if token is None:
            raise RequestError("unauthorized", "wrong token: sign in with one of this console's tokens")
        token.require(Permission.READ)
        key = await self._cookie_key()
        log.info("signed_in", token_name=token.name)
        until = str(self._clock.wall_ms() // 1000 + COOKIE_LIFETIME_S)
        value = f"{token.name}.{until}.{_signature(key, token, until)}"
        return _with_cookie(request, _cookie_name(key), value, COOKIE_LIFETIME_S)

    async def sign_out(self, request: web.Request) -> web.Response:
        """Handle a sign-out: delete the cookie from the browser."""
        check_origin(request)
        return _with_cookie(request, _cookie_name(await self._cookie_key()), "", 0)


def _with_cookie(request: web.Request, name: str, value: str, max_age_s: int) -> web.Response:
    """Return a response with the cookie for the folder of the path.

    Without a path attribute, browsers use their own URL's folder, even behind a proxy that rewrites paths.
    Source: RFC 6265, section 5.1.4.
    """
    response = web.Response(status=204, headers=NO_STORE)
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        path="",  # omits the attribute
        httponly=True,
        samesite="Strict",
        secure=is_https(request),
    )
    return response


def _cookie_name(key: bytes) -> str:
    """Return a name that depends on the key.

    Browsers share cookies across a host's ports, where other consoles may run.
    """
    return f"{_COOKIE_PREFIX}{hashlib.sha256(key).hexdigest()[:8]}"


def _signature(key: bytes, token: Token, expiry: str) -> str:
    return hmac.new(key, f"{token.digest} {expiry}".encode(), hashlib.sha256).hexdigest()


def check_origin(request: web.Request) -> None:
    """Raise RequestError if the request comes from another site's page."""
    if not is_same_origin(request):
        raise RequestError(
            "foreign",
            "the request comes from another site's page, or a proxy hides the Host header or X-Forwarded-Proto",
        )
