"""Desk tokens: what an agent's page sends, and who issued it.

A token is the agent's identity and name, the issuing token's name, and the expiry, signed with a random key that Redis
holds, together with the issuing token's digest: it ends with that token. No one can tell the digest from it.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import structlog
from aiohttp import web

from conferral.operations.redis_access import RedisAccess
from conferral.runtime.clock import Clock
from conferral.runtime.json_decoding import json_decoder
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.bearer import BearerAuthenticator, sent_token
from conferral.runtime.web.guard import protect
from conferral.runtime.web.json_requests import RequestError
from conferral.runtime.web.tokens import Token, Tokens, digest_of, token_named
from conferral.statemachine.record import BaseRecord, Hidden
from conferral.storage import config
from conferral.storage.codecs.text_codec import to_iso
from conferral.webhooks.api.app import Grant, require_bearer
from conferral.webhooks.api.desk_models import DeskTokenRequest
from conferral.webhooks.api.desk_routes import DESK_COMMANDS
from conferral.webhooks.api.models import IssuedToken
from conferral.webhooks.api.parameters import ErrorType
from conferral.webhooks.api.routes import Route
from conferral.webhooks.desk.sign_ins import KnownSignIns

log = structlog.get_logger()

#: Lifetime of a desk token, seconds.
DESK_TOKEN_TTL_S = 3600
_KEY_FIELD = "desk-key"
#: How often the key is read again after a signature that does not fit: Redis may have lost the former one (seconds).
_KEY_EVERY_S = 1.0
_GET_ONE = "your server gets one from POST /desk/tokens"


class _Claims(BaseRecord, frozen=True):
    """What a token says."""

    identity: Hidden[str]
    name: Hidden[str]
    #: The issuing token's name.
    token: str
    #: Expiry, Unix seconds.
    exp: int
    #: Digest of the sign-in that it was made for; empty if your server asked for it.
    sign_in: str = ""


_decode_claims = json_decoder(_Claims)


@dataclass(frozen=True, slots=True)
class DeskToken(Token):
    """What an agent's requests are sent with; it has the name of its issuer."""

    identity: str = field(default="", repr=False)
    agent_name: str = field(default="", repr=False)
    sign_in: str = ""

    @property
    def by(self) -> str:
        """Who sends the desk's commands, as sessions and logs show it."""
        return f"{self.name}/{self.identity}"

    @property
    def address(self) -> str:
        """The agent's address."""
        return f"client:{self.identity}"


class DeskTokens:
    """Issues and checks desk tokens."""

    def __init__(
        self,
        redis: RedisAccess,
        bearer: BearerAuthenticator | None,
        tokens: Tokens,
        clock: Clock,
        metrics: Metrics,
        name_of: Callable[[str], str],
        sign_ins: KnownSignIns,
    ) -> None:
        self._redis = redis
        self._bearer = bearer
        self._tokens = tokens
        self._clock = clock
        self._metrics = metrics
        self._name_of = name_of
        self._sign_ins = sign_ins
        #: Empty until it is read.
        self._key = b""
        self._key_read_s = 0.0

    async def issue(self, request: DeskTokenRequest, issuer: Token, *, sign_in: str = "") -> IssuedToken:
        """Return a new token, or raise RequestError; may raise StoreError.

        `sign_in` is the digest of the sign-in whose end ends the token.
        """
        if not issuer.may_issue_desk(request.identity):
            raise issuer.refusal(
                "may get no desk token for this identity; `desk` in the tokens file lists those it may"
            )
        expires_at_s = self._clock.wall_ms() // 1000 + DESK_TOKEN_TTL_S
        claims = _Claims(
            request.identity, request.name or self._name_of(request.identity), issuer.name, expires_at_s, sign_in
        )
        body = _encode(msgspec.json.encode(claims))
        signature = _signature(await self.key(), body, issuer)
        log.info("desk_token_issued", token_name=issuer.name)
        return IssuedToken(
            token=f"{body}.{_encode(signature)}", identity=request.identity, expires_at=to_iso(expires_at_s * 1000)
        )

    async def authorize(self, request: web.Request, _route: Route) -> Grant:
        """Return whose desk sends the request, or raise RequestError."""
        bearer = require_bearer(self._bearer)
        text = sent_token(request)
        if not text:
            raise RequestError(ErrorType.UNAUTHORIZED, f"missing desk token: {_GET_ONE}; send Authorization: Bearer")
        if digest_of(text) in self._tokens.current:
            raise self._refused("this is an API token, and a desk needs a desk token", "foreign")
        body, _, signature = text.partition(".")
        claims, issuer = self._parse(body)
        if claims is None or issuer is None or not await self._verify_signature(body, signature, issuer):
            bearer.refuse(request)
            raise self._refused("wrong desk token, or the token that issued it was removed or changed", "wrong")
        if not issuer.may_issue_desk(claims.identity):
            raise self._refused("the token that issued this desk token may no longer do so", "issuer")
        if claims.exp * 1000 <= self._clock.wall_ms():
            raise self._refused("the desk token has expired", "expired")
        if claims.sign_in and await self._sign_ins.find(claims.identity, claims.sign_in) is None:
            raise self._refused("the sign-in at the desk has ended", "over")
        protect(request)
        may = frozenset(command.name for command in DESK_COMMANDS) | {"call", "retrieve"}
        token = DeskToken(
            issuer.name,
            may,
            issuer.digest,
            _own_or(claims.identity, issuer),
            identity=claims.identity,
            agent_name=claims.name,
            sign_in=claims.sign_in,
        )
        return Grant(token, lambda: self._is_valid(claims, issuer))

    def _refused(self, why: str, reason: str) -> RequestError:
        self._metrics.desk_tokens_refused.labels(reason).inc()
        return RequestError(ErrorType.UNAUTHORIZED, f"{why}: {_GET_ONE}")

    def _parse(self, body: str) -> tuple[_Claims | None, Token | None]:
        """Return what a token says, and its issuer, if there is one of this name."""
        try:
            claims = _decode_claims(_decode(body))
        except ValueError:
            return None, None
        return claims, token_named(self._tokens.current, claims.token)

    async def _verify_signature(self, body: str, signature: str, issuer: Token) -> bool:
        try:
            given = _decode(signature)
        except ValueError:
            return False
        if hmac.compare_digest(given, _signature(await self.key(), body, issuer)):
            return True
        if self._clock.monotonic_s() - self._key_read_s < _KEY_EVERY_S:
            return False
        self._key = b""
        return hmac.compare_digest(given, _signature(await self.key(), body, issuer))

    def _is_valid(self, claims: _Claims, issuer: Token) -> bool:
        """Whether the token is still valid: it was."""
        current = self._tokens.current.get(issuer.digest)
        is_issued = current is not None and current.name == issuer.name and current.may_issue_desk(claims.identity)
        is_over = claims.sign_in and self._sign_ins.is_over(claims.sign_in)
        return is_issued and not is_over and claims.exp * 1000 > self._clock.wall_ms()

    async def key(self) -> bytes:
        """Return the key of all processes of this Redis; raise StoreError."""
        if not self._key:
            read = config.shared_secret(self._redis.client, self._redis.prefix, _KEY_FIELD)
            self._key = await self._redis.limiter(read)
            self._key_read_s = self._clock.monotonic_s()
        return self._key


def _own_or(identity: str, issuer: Token) -> Callable[[str], str] | None:
    """Return what a desk may name: itself, and what its issuer may."""
    if (resolve := issuer.address_of) is None:
        return None
    own = f"client:{identity}"
    return lambda text: own if text == own else resolve(text)


def _signature(key: bytes, body: str, issuer: Token) -> bytes:
    return hmac.new(key, f"{issuer.digest} {body}".encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    if not text.isascii():
        raise ValueError("not base64url")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
