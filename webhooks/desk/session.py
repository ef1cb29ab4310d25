"""Sign-in at the desk's own page: by a link's code, or by a proxy.

A cookie keeps it, which gets desk tokens and opens nothing else. It is one agent's, so that several stand side by side
in one browser.
"""

import hashlib
from typing import NoReturn
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web

from conferral.runtime.log import REFUSALS_LOG_EVERY_S
from conferral.runtime.urls import is_loopback, origin_of
from conferral.runtime.web.guard import protect
from conferral.runtime.web.json_requests import NO_STORE, RequestError
from conferral.runtime.web.pages import is_from_own_page, sent_cookie
from conferral.runtime.web.tokens import NO_TOKEN, Token, token_named
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.sign_ins import SignIn, digest_of_secret
from conferral.webhooks.api import desk_models
from conferral.webhooks.api.app import Api, Grant, require_bearer
from conferral.webhooks.api.handlers import ApiRequest, response
from conferral.webhooks.api.parameters import ErrorType
from conferral.webhooks.api.routes import Route
from conferral.webhooks.desk.sign_ins import KnownSignIns, ProxyProblem, SignInProxy
from conferral.webhooks.desk.tokens import DeskTokens

log = structlog.get_logger()

#: The page's value of the header that only its own scripts can send.
PAGE = "desk"
#: How long a sign-in by a proxy lasts, milliseconds; each desk token asks the proxy again.
PROXY_LIFETIME_MS = 12 * 3_600_000
_OVER = "you are not signed in, or your sign-in has ended: open a new link, or sign in at the proxy again"


class DeskSessions:
    """Answers requests; each route has the name of its method."""

    def __init__(self, api: Api, tokens: DeskTokens, sign_ins: KnownSignIns) -> None:
        self._api = api
        self._tokens = tokens
        self._sign_ins = sign_ins
        self._proxy = SignInProxy(api.settings, api.directory)
        url = api.settings.desk_url or api.settings.public_url
        self._origin = origin_of(url)
        parts = urlsplit(url)
        self._path, self._is_secure = f"{parts.path}/", not is_loopback(parts.hostname)

    async def authorize(self, request: web.Request, _route: Route) -> Grant:
        """Let only the desk's own page pass; else raise RequestError."""
        if request.headers.getall(hdrs.ORIGIN, []) != [self._origin] or not is_from_own_page(request, PAGE):
            reason = "sign-in works only at the desk's own address: ask the operator of Conferral for it"
            self._refuse("origin", reason, ErrorType.FORBIDDEN)
        return Grant(NO_TOKEN)

    async def start_desk_session(self, request: ApiRequest) -> web.Response:
        """Sign an agent in, by a code or by the proxy."""
        body = desk_models.SessionRequest.of(request.body)
        if body.code:
            former = await self._digest_of(request.http, body.identity)
            unused = await self._api.limiter(self._sign_ins.stored.code(body.identity, body.code))
            if unused is not None:
                self._issuer_of(unused)  # a refusal must not use the code up
            made = await self._api.limiter(self._sign_ins.stored.use_code(body.identity, body.code, former))
            if made is None:
                require_bearer(self._api.bearer).refuse(request.http)
                self._refuse("code", "this link was used, or is too old: ask for a new one")
            secret, sign_in = made
        else:
            identity = self._named_by_proxy(request.http)
            if not identity:
                self._refuse("proxy", "no sign-in proxy names an agent of the directory: open a link to sign in")
            new = SignIn(identity, self._api.settings.desk_token_name, is_by_proxy=True)
            former = await self._digest_of(request.http, identity)
            secret, sign_in = await self._api.limiter(self._sign_ins.stored.add(new, PROXY_LIFETIME_MS, former))
        self._issuer_of(sign_in)
        protect(request.http)
        by = "proxy" if sign_in.is_by_proxy else "link"
        self._api.metrics.desk_sign_ins.labels(by).inc()
        log.info("desk_signed_in", token_name=sign_in.token, method=by)
        name = self._api.directory.current.agent_name(sign_in.identity)
        answer = response(200, desk_models.DeskSession(sign_in.identity, name, to_iso(sign_in.until_ms)))
        age_s = max(1, (sign_in.until_ms - self._api.clock.wall_ms()) // 1000)
        await self._set_cookie(answer, sign_in.identity, secret, age_s)
        return answer

    async def make_own_desk_token(self, request: ApiRequest) -> web.Response:
        """Issue a desk token to who is signed in."""
        identity = desk_models.OwnSessionRequest.of(request.body).identity
        digest, sign_in = await self._sign_in_of(request.http, identity)
        if sign_in.is_by_proxy and self._named_by_proxy(request.http) != identity:
            self._refuse("proxy", "the sign-in proxy no longer names you: sign in there again")
        protect(request.http)
        wanted = desk_models.DeskTokenRequest(identity)
        return response(200, await self._tokens.issue(wanted, self._issuer_of(sign_in), sign_in=digest))

    async def end_desk_session(self, request: ApiRequest) -> web.Response:
        """End the browser's sign-in everywhere."""
        identity = desk_models.OwnSessionRequest.of(request.body).identity
        digest, _ = await self._sign_in_of(request.http, identity)
        await self._sign_ins.end(identity, digest)
        await self._sign_ins.refresh(now=True)
        log.info("desk_signed_out")
        answer = web.Response(status=204, headers=NO_STORE)
        await self._set_cookie(answer, identity, "", 0)
        return answer

    def _named_by_proxy(self, request: web.Request) -> str:
        """Return whom the sign-in proxy names; empty if no one.

        The log says what is wrong with the proxy, without the name. A wrong secret counts as a wrong token.
        """
        identity, problem = self._proxy.identity_of(request)
        if problem is None:
            return identity
        if count := self._api.log_limit.count(("desk_proxy_refused", problem), REFUSALS_LOG_EVERY_S):
            log.warning("desk_proxy_refused", reason=problem.value, count=count)
        if problem is ProxyProblem.WRONG_SECRET:
            require_bearer(self._api.bearer).refuse(request)
        return ""

    async def _sign_in_of(self, request: web.Request, identity: str) -> tuple[str, SignIn]:
        """Return the sign-in that the request's cookie is of, and its digest."""
        secret = sent_cookie(request, await self._cookie_name(identity))
        digest = digest_of_secret(secret)
        found = await self._sign_ins.find(identity, digest)
        if found is None:
            if secret:
                require_bearer(self._api.bearer).refuse(request)
            self._refuse("over", _OVER)
        return digest, found

    async def _digest_of(self, request: web.Request, identity: str) -> str:
        """Return the digest of the cookie that the browser has for an agent."""
        return digest_of_secret(sent_cookie(request, await self._cookie_name(identity)))

    def _issuer_of(self, sign_in: SignIn) -> Token:
        """Return the token in whose name the agent is signed in."""
        issuer = token_named(self._api.tokens.current, sign_in.token)
        if issuer is None or not issuer.may_issue_desk(sign_in.identity):
            self._refuse("issuer", "no one may sign you in here any more: ask the operator of Conferral")
        return issuer

    def _refuse(self, kind: str, reason: str, type_: ErrorType = ErrorType.UNAUTHORIZED) -> NoReturn:
        self._api.metrics.desk_sign_ins_refused.labels(kind).inc()
        raise RequestError(type_, reason)

    async def _set_cookie(self, answer: web.Response, identity: str, value: str, age_s: int) -> None:
        answer.set_cookie(
            await self._cookie_name(identity),
            value,
            max_age=age_s,
            path=self._path,
            httponly=True,
            samesite="Strict",
            secure=self._is_secure,
        )

    async def _cookie_name(self, identity: str) -> str:
        """Return an agent's cookie at this installation.

        Browsers share cookies across a host's ports, where other installations may run. With the prefix, no other host
        of the domain can set it. Source: IETF, draft-ietf-httpbis-rfc6265bis, section 4.1.3.2.
        """
        key = await self._tokens.key()
        prefix = "__Host-" if self._is_secure and self._path == "/" else ""
        return f"{prefix}conferral_desk_{hashlib.sha256(b'cookie' + key).hexdigest()[:8]}_{identity}"
