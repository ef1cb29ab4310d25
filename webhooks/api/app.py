"""The control API inside the webhooks application: authorizes requests, dispatches them, and reports errors as JSON."""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import unquote, urlsplit

import orjson
import structlog
from aiohttp import hdrs, web

from conferral.operations.session_queries import SessionQueries
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.runtime.settings import ServiceSettings
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.webhooks.api.bearer import BearerAuthenticator
from conferral.webhooks.api.body import read_json_object
from conferral.webhooks.api.commands import ApiCommands
from conferral.webhooks.api.errors import ApiError, ErrorType
from conferral.webhooks.api.handlers import ApiRequest, ApiResponse, Handler, Handlers
from conferral.webhooks.api.parameters import idempotency_key_of, parse_query
from conferral.webhooks.api.redis_limiter import RedisLimiter
from conferral.webhooks.api.routes import ROUTES, Route
from conferral.webhooks.api.sessions import SessionResource

log = structlog.get_logger()

_JSON = "application/json"
#: Answers are a snapshot, and some are secret.
_NO_STORE = {hdrs.CACHE_CONTROL: "no-store"}


def add_api(
    app: web.Application, settings: ServiceSettings, client: Client, keys: Keys, metrics: Metrics, clock: Clock
) -> None:
    """Mount the control API next to the application's other routes.

    Args:
        app: The webhooks application.
        settings: The process's settings.
        client: A Redis client of its own, not the callbacks', with at least `webhooks.api.redis_limiter.CONCURRENT_MAX`
            connections. Closed by the caller, after the application.
        keys: Redis key names.
        metrics: Counts requests.
        clock: For durations, and for the expiry of access tokens.
    """
    limiter = RedisLimiter()
    reader = SessionQueries(client, keys)
    commands = ApiCommands(reader, limiter)
    handlers = Handlers(settings, SessionResource(reader, limiter), commands, keys, clock).by_name()
    bearer = BearerAuthenticator(settings.api_token, clock)
    paths: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        if route.is_ours:
            paths.setdefault(route.path, {})[route.method] = route
    # A proxy may strip the public URL's path or keep it; both are served.
    for prefix in dict.fromkeys(("", unquote(urlsplit(settings.public_url).path))):
        for path, routes in paths.items():
            answers = {method: (route, handlers[route.name]) for method, route in routes.items()}
            # Accept any text between two slashes; the handler rejects invalid ids.
            pattern = re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", path)
            app.router.add_route(hdrs.METH_ANY, prefix + pattern, _make_handler(path, answers, bearer, metrics, clock))
        # A mistyped path also gets JSON, with a hint where the paths are listed.
        with_token = [path for path, routes in paths.items() if any(route.needs_token for route in routes.values())]
        for root in dict.fromkeys("/" + path.split("/")[1] for path in with_token):
            unknown = _make_handler(f"{root}/...", {}, bearer, metrics, clock)
            app.router.add_route(hdrs.METH_ANY, prefix + root + "{rest:(/.*)?}", unknown)

    async def stop_waiting(_app: web.Application) -> None:
        commands.stop_waiting()

    async def close(_app: web.Application) -> None:
        await limiter.close()

    app.on_shutdown.append(stop_waiting)
    app.on_cleanup.append(close)


def _make_handler(
    path: str, answers: dict[str, tuple[Route, Handler]], bearer: BearerAuthenticator, metrics: Metrics, clock: Clock
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def wrong_method(_request: ApiRequest) -> ApiResponse:
        if not answers:
            raise ApiError(ErrorType.UNKNOWN, "no such path; GET /openapi.json lists all paths")
        raise ApiError(ErrorType.METHOD, f"method not allowed; use {' or '.join(answers)}", tuple(answers))

    async def handle(request: web.Request) -> web.Response:
        started_s = clock.monotonic_s()
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        route, handler = answers.get(method, (None, wrong_method))
        template = route.template if route else path
        try:
            reply = await handler(await _parse_request(request, route, bearer))
            response = web.Response(body=reply.json(), status=reply.status, content_type=_JSON, headers=_NO_STORE)
        except ApiError as error:
            response = _error_response(template, error)
        except StoreError as error:
            log_unreachable(error, task="api", url_path=template)
            response = _error_response(template, ApiError(ErrorType.STORE, str(error)))
        metrics.api_requests.labels(template, str(response.status)).observe(clock.monotonic_s() - started_s)
        return response

    return handle


async def _parse_request(request: web.Request, route: Route | None, bearer: BearerAuthenticator) -> ApiRequest:
    if route is None:
        return ApiRequest({}, {}, {}, "", lambda: False)
    if route.needs_token:
        bearer.check(request)
    return ApiRequest(
        path=request.match_info,
        query=parse_query(request, route.query),
        body=await read_json_object(request) if route.body else {},
        key=idempotency_key_of(request) if route.accepts_idempotency_key else "",
        is_gone=lambda: request.transport is None or request.transport.is_closing(),
    )


def _error_response(template: str, error: ApiError) -> web.Response:
    # Anyone can send any number of requests with a wrong token: these are counted, but not logged individually.
    if error.type not in (ErrorType.UNAUTHORIZED, ErrorType.TOO_MANY):
        log.info("api_refused", url_path=template, status=error.status, reason=error.type.value)
    headers = dict(_NO_STORE)
    if error.type is ErrorType.UNAUTHORIZED:
        headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if error.retry_after_s:
        headers[hdrs.RETRY_AFTER] = str(error.retry_after_s)
    if error.type is ErrorType.METHOD:
        headers[hdrs.ALLOW] = ", ".join(error.allowed)
    about = {"type": error.type.value, "reason": error.reason, "allowed": list(error.allowed), "docs": error.docs}
    response = web.Response(
        body=orjson.dumps({"error": about}), status=error.status, content_type=_JSON, headers=headers
    )
    if error.type in (ErrorType.TOO_LARGE, ErrorType.TOO_SLOW):
        response.force_close()  # do not wait for the rest of the body
    return response
