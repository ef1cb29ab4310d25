"""The control API in the webhooks application: authorization and errors."""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import unquote, urlsplit

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as AiohttpHandler

from conferral.operations.redis_limiter import RedisLimiter
from conferral.operations.session_queries import SessionQueries
from conferral.runtime import tracing
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.runtime.log import REFUSALS_LOG_EVERY_S, LogRateLimit, log_unreachable
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.web.bearer import BearerAuthenticator
from conferral.runtime.web.json_requests import ERRORS_PAGE, RequestError, read_json_object
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.queries.session_reader import BadCursorError
from conferral.telephony.directory import DirectoryFile
from conferral.webhooks.api.handlers import ApiRequest, Handler, Handlers
from conferral.webhooks.api.parameters import ErrorType, idempotency_key_of, parse_query
from conferral.webhooks.api.routes import ROUTES, Route

log = structlog.get_logger()

#: Errors of requests whose token is missing or wrong.
_WITHOUT_TOKEN = frozenset({ErrorType.UNAUTHORIZED, ErrorType.TOO_MANY})
#: How long an API request waits for Redis (seconds).
REDIS_DEADLINE_S = 2.0
#: Concurrent requests to a Redis node (count), over connections of the API's own: no caller waits behind a long list.
CONCURRENT_MAX = 8


def add_api(
    app: web.Application,
    settings: ServiceSettings,
    client: Client,
    keys: Keys,
    metrics: Metrics,
    clock: Clock,
    directory: DirectoryFile | None = None,
) -> None:
    """Mount the control API next to the application's other routes.

    Load the directory once, unless the caller reloads a given one.
    """
    # The caller closes the client after the application. It needs twice as many connections as the limit.
    limiter = RedisLimiter(CONCURRENT_MAX, REDIS_DEADLINE_S)
    handlers = Handlers(settings, directory or DirectoryFile(settings), SessionQueries(client, keys), limiter, clock)
    bearer = BearerAuthenticator(settings.api_token, clock) if settings.api_token else None
    log_limit = LogRateLimit(clock)
    # A proxy may strip the public URL's path or keep it; both are served.
    for prefix in dict.fromkeys(("", unquote(urlsplit(settings.public_url).path))):
        for route in ROUTES:
            # Accept any text between two slashes; the handler rejects invalid ids.
            pattern = prefix + re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", route.path)
            handler = _make_handler(route, getattr(handlers, route.name), bearer, metrics, clock, log_limit)
            app.router.add_route(route.method, pattern, handler)
            if route.method == hdrs.METH_GET:
                app.router.add_route(hdrs.METH_HEAD, pattern, handler)
    app.middlewares.append(_unmatched_as_json)

    async def stop_waiting(_app: web.Application) -> None:
        handlers.stop_waiting()

    async def close(_app: web.Application) -> None:
        await limiter.close()

    app.on_shutdown.append(stop_waiting)
    app.on_cleanup.append(close)


def _make_handler(
    route: Route,
    answer: Handler,
    bearer: BearerAuthenticator | None,
    metrics: Metrics,
    clock: Clock,
    log_limit: LogRateLimit,
) -> Callable[[web.Request], Awaitable[web.Response]]:
    def refuse(error: RequestError) -> web.Response:
        # Anyone can send requests without a valid token: these are counted, but not logged individually.
        is_logged = bearer is not None and route.needs_token and error.type not in _WITHOUT_TOKEN
        if is_logged and (count := log_limit.count((route.template, error.type), REFUSALS_LOG_EVERY_S)):
            log.info("api_refused", url_path=route.template, status=error.status, reason=error.type, count=count)
        return _refusal(error)

    async def handle(request: web.Request) -> web.Response:
        started_s = clock.monotonic_s()
        try:
            parsed = await _parse_request(request, route, bearer)
            about = {"http.request.method": route.method, "http.route": route.path}
            sender = request.headers.get(tracing.FIELD, "")
            with tracing.span(tracing.SpanRequest(route.template, about, "server", sender)):
                response = await answer(parsed)
                tracing.annotate({"http.response.status_code": response.status})
        except RequestError as error:
            response = refuse(error)
        except BadCursorError as error:
            response = refuse(RequestError(ErrorType.INVALID, str(error)))
        except StoreError as error:
            log_unreachable(error, task="api", url_path=route.template)
            response = refuse(RequestError(ErrorType.STORE, str(error)))
        metrics.api_requests.labels(route.template, str(response.status)).observe(clock.monotonic_s() - started_s)
        return response

    return handle


@web.middleware
async def _unmatched_as_json(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
    """Answer a request without a route in JSON, unlogged: anyone can send it."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return _refusal(RequestError(ErrorType.UNKNOWN, "no such path; GET /openapi.json lists the API's paths"))
    except web.HTTPMethodNotAllowed as error:
        allowed = tuple(sorted(error.allowed_methods - {hdrs.METH_HEAD}))
        return _refusal(RequestError(ErrorType.METHOD, f"method not allowed; use {' or '.join(allowed)}", allowed))


def _refusal(error: RequestError) -> web.Response:
    return error.response(docs=f"{ERRORS_PAGE}#{error.type}")


async def _parse_request(request: web.Request, route: Route, bearer: BearerAuthenticator | None) -> ApiRequest:
    if route.needs_token:
        if bearer is None:
            raise RequestError(ErrorType.NOT_SET_UP, "the control API is disabled: CONFERRAL_API_TOKEN is not set")
        if not bearer.has_valid_token(request):
            hint = "missing or wrong token: send Authorization: Bearer with CONFERRAL_API_TOKEN"
            raise RequestError(ErrorType.UNAUTHORIZED, hint)
    return ApiRequest(
        path=request.match_info,
        query=parse_query(request, route.query),
        body=await read_json_object(request) if route.body else {},
        key=idempotency_key_of(request) if route.accepts_idempotency_key else "",
        is_gone=lambda: request.transport is None or request.transport.is_closing(),
    )
