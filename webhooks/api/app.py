"""The control API in the webhooks application: authorization and errors."""

import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote, urlsplit

import structlog
from aiohttp import hdrs, web

from conferral.operations.redis_access import RedisAccess, RedisLimiter
from conferral.runtime import tracing
from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import StoreError
from conferral.runtime.log import REFUSALS_LOG_EVERY_S, LogRateLimit, log_unreachable
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.web.bearer import BearerAuthenticator
from conferral.runtime.web.guard import as_response
from conferral.runtime.web.json_requests import ERRORS_PAGE, RequestError, internal_error, read_json_object
from conferral.runtime.web.tokens import NO_TOKEN, Token
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.queries.session_reader import BadCursorError, SessionReader
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.token_file import TokenFile
from conferral.webhooks.api.handlers import ApiRequest, Handler, Handlers
from conferral.webhooks.api.parameters import ErrorType, idempotency_key_of, parse_query, wants_stream
from conferral.webhooks.api.routes import ROUTES, Route
from conferral.webhooks.api.streams import EventStreams

log = structlog.get_logger()

_EXPECTED_ERRORS = (RequestError, BadCursorError, StoreError, ConnectionError, web.HTTPException)
#: Errors of requests whose token is missing or wrong.
_WITHOUT_TOKEN = frozenset({ErrorType.UNAUTHORIZED, ErrorType.TOO_MANY})
#: How long an API request waits for Redis, and a command for a replica, seconds.
REDIS_DEADLINE_S = 5.0
#: Concurrent requests to Redis (count), over connections of the API's own: no caller waits behind a long list.
CONCURRENT_MAX = 8


@dataclass(frozen=True, slots=True)
class Grant:
    """Whose request it is, and whether that still holds."""

    token: Token
    is_valid: Callable[[], bool] = lambda: True


#: Returns whose request it is, or raises RequestError.
Authorize = Callable[[web.Request, Route], Awaitable[Grant]]


@dataclass(frozen=True, slots=True)
class Api:
    """The control API of a process, and what the desk shares with it."""

    app: web.Application
    settings: ServiceSettings
    directory: DirectoryFile
    #: None if no token is configured.
    bearer: BearerAuthenticator | None
    tokens: TokenFile
    streams: EventStreams
    handlers: Handlers
    limiter: RedisLimiter
    metrics: Metrics
    clock: Clock
    log_limit: LogRateLimit

    def add_routes(
        self,
        routes: Iterable[Route],
        handlers: object,
        identify: Authorize,
        on_path: Callable[[str], None] = lambda _path: None,
    ) -> None:
        """Add routes; each has the name of its handler. `on_path` gets each path."""
        for prefix in prefixes(self.settings):
            for route in routes:
                # Accept any text between two slashes; the handler rejects invalid ids.
                pattern = prefix + re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", route.path)
                handler = _make_handler(route, getattr(handlers, route.name), self, identify)
                self.app.router.add_route(route.method, pattern, handler)
                if route.method == hdrs.METH_GET:
                    self.app.router.add_route(hdrs.METH_HEAD, pattern, handler)
                on_path(pattern)


def prefixes(settings: ServiceSettings) -> tuple[str, ...]:
    """Return what paths begin with: a proxy may strip the public URL's path."""
    return tuple(dict.fromkeys(("", unquote(urlsplit(settings.public_url).path))))


def add_api(
    app: web.Application,
    settings: ServiceSettings,
    client: Client,
    keys: Keys,
    metrics: Metrics,
    clock: Clock,
    directory: DirectoryFile | None = None,
    tokens: TokenFile | None = None,
) -> Api:
    """Mount the control API next to the application's other routes.

    Load the directory and the tokens once, unless the caller reloads given ones.
    """
    # The caller closes the client after the application. It needs twice as many connections as the limit.
    limiter = RedisLimiter(CONCURRENT_MAX, REDIS_DEADLINE_S)
    directory = directory or DirectoryFile(settings)
    tokens = tokens or TokenFile(settings.tokens, settings.api_token, lambda: directory.current.destinations)
    bearer = BearerAuthenticator(tokens, clock) if settings.api_token or settings.tokens else None
    streams = EventStreams(RedisAccess(client, keys.prefix, keys=keys, limiter=limiter), metrics, tokens)
    handlers = Handlers(settings, directory, SessionReader(client, keys), limiter, clock, streams)
    log_limit = LogRateLimit(clock.monotonic_s)
    api = Api(
        app, settings, directory, bearer, tokens, streams, handlers, limiter, metrics, clock, log_limit
    )  # fmt: skip
    api.add_routes(ROUTES, handlers, partial(authorize, bearer))

    async def stop_waiting(_app: web.Application) -> None:
        handlers.stop_waiting()

    async def close(_app: web.Application) -> None:
        await streams.close()

    app.on_shutdown.append(stop_waiting)
    app.on_cleanup.append(close)
    return api


def _make_handler(
    route: Route, answer: Handler, api: Api, identify: Authorize
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    metrics, clock, log_limit = api.metrics, api.clock, api.log_limit

    def refuse(error: RequestError) -> web.Response:
        metrics.api_refusals.labels(error.type).inc()
        # Anyone can send requests without a valid token: these are counted, but not logged individually.
        is_secret = route.needs_token and not route.is_for_own_page
        is_logged = api.bearer is not None and is_secret and error.type not in _WITHOUT_TOKEN
        kind = route.template, error.type, *error.log_fields.values()
        if is_logged and (count := log_limit.count(kind, REFUSALS_LOG_EVERY_S)):
            about = {"status": error.status, "reason": error.type, "count": count, **error.log_fields}
            log.info("api_refused", url_path=route.template, **about)
        return _refusal(error)

    async def handle(request: web.Request) -> web.StreamResponse:
        started_s = clock.monotonic_s()
        with ExitStack() as span:
            try:
                parsed = None
                with contain(ItemKind.WEBHOOK, metrics, passing=_EXPECTED_ERRORS, url_path=route.template) as failure:
                    parsed = await _parse_request(request, route, identify)
                    about = {"http.request.method": route.method, "http.route": route.path}
                    sender = request.headers.get(tracing.FIELD, "")
                    span.enter_context(tracing.span(route.template, about, "server", sender))
                    response = await answer(parsed)
                if failure:
                    if parsed is not None and (wants_stream(request) or route.is_stream):  # its head may have been sent
                        raise ConnectionResetError from failure.unexpected
                    raise internal_error()
            except RequestError as error:
                response = refuse(error)
            except BadCursorError as error:
                response = refuse(RequestError(ErrorType.INVALID, str(error)))
            except StoreError as error:
                log_unreachable(error, task="api", url_path=route.template)
                response = refuse(RequestError(ErrorType.STORE, str(error)))
            tracing.annotate({"http.response.status_code": response.status})
        if isinstance(response, web.Response):  # an event stream ends when its reader wants
            metrics.api_requests.labels(route.template, str(response.status)).observe(clock.monotonic_s() - started_s)
        return response

    return handle


def refuse_unmatched(error: web.HTTPException) -> web.Response:
    """Answer a request without a route in JSON, unlogged: anyone can send it."""
    if isinstance(error, web.HTTPNotFound):
        return _refusal(RequestError(ErrorType.UNKNOWN, "no such path; GET /openapi.json lists the API's paths"))
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = tuple(sorted(error.allowed_methods - {hdrs.METH_HEAD}))
        return _refusal(RequestError(ErrorType.METHOD, f"method not allowed; use {' or '.join(allowed)}", allowed))
    if isinstance(error, web.HTTPRequestHeaderFieldsTooLarge):
        return _refusal(RequestError(ErrorType.HEADERS_TOO_LARGE, "the cookies, or another header, are too long"))
    return as_response(error)


def _refusal(error: RequestError) -> web.Response:
    return error.response(docs=f"{ERRORS_PAGE}#{error.type}")


def require_bearer(bearer: BearerAuthenticator | None) -> BearerAuthenticator:
    """Return what checks tokens; raise RequestError if none is configured."""
    if bearer is None:
        reason = "the control API is disabled: neither CONFERRAL_API_TOKEN nor CONFERRAL_TOKENS is set"
        raise RequestError(ErrorType.NOT_SET_UP, reason)
    return bearer


async def authorize(bearer: BearerAuthenticator | None, request: web.Request, route: Route) -> Grant:
    """Return the request's token if it has the route's permission; else raise."""
    if not route.needs_token:
        return Grant(NO_TOKEN)
    bearer = require_bearer(bearer)
    token = bearer.token_of(request)
    if token is None:
        hint = "missing or wrong token: send Authorization: Bearer with CONFERRAL_API_TOKEN or one of CONFERRAL_TOKENS"
        raise RequestError(ErrorType.UNAUTHORIZED, hint)
    if route.permission is not None:
        token.require(route.permission)
    return Grant(token, lambda: bearer.tokens.have(token))


async def _parse_request(request: web.Request, route: Route, identify: Authorize) -> ApiRequest:
    """Return the request's parameters, or raise RequestError."""
    grant = await identify(request, route)

    def must_end() -> bool:
        """Whether to stop a wait or a stream: the client left, or lost its token."""
        is_closing = request.transport is None or request.transport.is_closing()
        return is_closing or not grant.is_valid()

    return ApiRequest(
        path=request.match_info,
        query=parse_query(request, route.query),
        body=await read_json_object(request, route.body_bytes_max)
        if route.needs_body or (route.body and request.can_read_body)
        else {},
        key=idempotency_key_of(request) if route.accepts_idempotency_key else "",
        must_end=must_end,
        token=grant.token,
        http=request,
    )
