"""The control API in the webhooks application: authorization and errors."""

import re
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import unquote, urlsplit

import structlog
from aiohttp import hdrs, web

from conferral.operations.redis_limiter import RedisLimiter
from conferral.operations.session_queries import SessionQueries
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.runtime.log import REFUSALS_LOG_EVERY_S, LogRateLimit
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.web.bearer import BearerAuthenticator
from conferral.runtime.web.json_requests import ERRORS_PAGE, RequestError, read_json_object
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.queries.cursors import BadCursorError
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
    paths: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = route
    # A proxy may strip the public URL's path or keep it; both are served.
    for prefix in dict.fromkeys(("", unquote(urlsplit(settings.public_url).path))):
        for path, routes in paths.items():
            answers = {method: (route, getattr(handlers, route.name)) for method, route in routes.items()}
            # Accept any text between two slashes; the handler rejects invalid ids.
            pattern = re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", path)
            app.router.add_route(hdrs.METH_ANY, prefix + pattern, _make_handler(path, answers, bearer, metrics, clock))
    app.router.add_route(hdrs.METH_ANY, "/{path:.*}", _answer_unmatched)

    async def stop_waiting(_app: web.Application) -> None:
        handlers.stop_waiting()

    async def close(_app: web.Application) -> None:
        await limiter.close()

    app.on_shutdown.append(stop_waiting)
    app.on_cleanup.append(close)


def _make_handler(
    path: str,
    answers: dict[str, tuple[Route, Handler]],
    bearer: BearerAuthenticator | None,
    metrics: Metrics,
    clock: Clock,
) -> Callable[[web.Request], Awaitable[web.Response]]:
    log_limit = LogRateLimit(clock)

    def refuse(route: Route | None, error: RequestError) -> web.Response:
        # Anyone can send requests without a valid token: these are counted, but not logged individually.
        is_logged = bearer is not None and route is not None and route.needs_token and error.type not in _WITHOUT_TOKEN
        template = route.template if route is not None else ""
        if is_logged and (count := log_limit.count((template, error.type), REFUSALS_LOG_EVERY_S)):
            log.info("api_refused", url_path=template, status=error.status, reason=error.type, count=count)
        return error.response(docs=f"{ERRORS_PAGE}#{error.type}")

    async def handle(request: web.Request) -> web.Response:
        started_s = clock.monotonic_s()
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        route, handler = answers.get(method, (None, None))
        template = route.template if route else path
        try:
            if route is None or handler is None:
                raise _wrong_method(answers)
            response = await handler(await _parse_request(request, route, bearer))
        except RequestError as error:
            response = refuse(route, error)
        except BadCursorError as error:
            response = refuse(route, RequestError(ErrorType.INVALID, str(error)))
        except StoreError as error:
            log_unreachable(error, task="api", url_path=template)
            response = refuse(route, RequestError(ErrorType.STORE, str(error)))
        metrics.api_requests.labels(template, str(response.status)).observe(clock.monotonic_s() - started_s)
        return response

    return handle


async def _answer_unmatched(_request: web.Request) -> web.Response:
    """Answer a request without a route in JSON, unlogged: anyone can send it."""
    error = RequestError(ErrorType.UNKNOWN, "no such path; GET /openapi.json lists all paths")
    return error.response(docs=f"{ERRORS_PAGE}#{error.type}")


def _wrong_method(allowed: Collection[str]) -> RequestError:
    return RequestError(ErrorType.METHOD, f"method not allowed; use {' or '.join(allowed)}", tuple(allowed))


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
