"""The web console's stateless server: page, static files, and sockets."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from conferral.console.access import AccessControl, check_origin
from conferral.console.commands import CommandRoutes
from conferral.console.messages import encode_message
from conferral.console.report import DayReports, ReportRoutes
from conferral.console.session_feed import SessionFeed
from conferral.console.views import ViewFactory
from conferral.console.websocket import PageSocket, reject
from conferral.operations.redis_access import RedisAccess
from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import StoreError
from conferral.runtime.log import REFUSALS_LOG_EVERY_S, LogRateLimit, log_unreachable
from conferral.runtime.metrics import Metrics
from conferral.runtime.redaction import without_login
from conferral.runtime.settings import ConsoleSettings
from conferral.runtime.urls import is_twilio_url
from conferral.runtime.web.json_requests import RequestError, internal_error, json_response
from conferral.runtime.web.pages import add_headers, host_name, is_loopback_header, page, static_routes
from conferral.runtime.web.server import SharedResult
from conferral.runtime.web.tokens import API_NAME, Permission, Token, Tokens
from conferral.storage.connection.client import Client
from conferral.storage.outcome_queue import read_problem

log = structlog.get_logger()

STATIC = Path(__file__).parent / "static"
STYLES = (
    "shared/colors.css",
    "shared/tokens.css",
    "shared/icons.css",
    "shared/destinations.css",
    "console.css",
    "list.css",
    "session.css",
    "forms.css",
)
SOCKETS_MAX = 256
#: Load balancers request these under any host name.
_PUBLIC_PATHS = frozenset({"/healthz", "/readyz"})
_LIVE_PATH = "/live"
_EXPECTED_ERRORS = (RequestError, StoreError, ConnectionError, web.HTTPException)
_WRONG_HOST_HINT = "open it at one of this machine's addresses, such as 127.0.0.1, or start it with --allow-host NAME"

#: Of the page, which are parts of its address behind `#`; people type them as paths.
_VIEWS = ("sessions", "agents", "report", "health", "dead")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Greeting = Callable[[Token], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleOptions:
    """What the operator chooses when starting the console."""

    read_only: bool = False
    #: How to call this program, for commands that the page offers to copy.
    command_line: str = "conferral"
    #: Whether copied commands contain the token, not its variable. Never with `read_only`: the token allows changes.
    show_token: bool = False
    #: Accepted host names besides this machine's; None for any.
    allowed_hosts: tuple[str, ...] | None = ()
    #: Returns the directory's addresses by name; forms suggest the names.
    directory: Callable[[], Mapping[str, str]] = dict
    #: Returns the names of agents at desks by address.
    people: Callable[[], Mapping[str, str]] = dict


def make_app(
    settings: ConsoleSettings,
    tokens: Tokens,
    client: Client,
    clock: Clock,
    options: ConsoleOptions = ConsoleOptions(),  # it is immutable
    *,
    readiness_client: Client | None = None,
) -> web.Application:
    """Create the application; the caller closes the clients.

    Args:
        tokens: The caller reloads them.
        client: A Redis client with at least `redis_access.CONNECTIONS_MAX` connections.
        readiness_client: For `/readyz` alone, so that it takes no connection from the pages.
    """
    redis = RedisAccess(client, settings.prefix)
    access = AccessControl(redis, tokens, clock, read_only=options.read_only)
    feed = SessionFeed(redis, clock, options.directory, options.people)
    reports = DayReports(redis, clock)
    views = ViewFactory(feed, redis, clock, reports)
    shown_token = settings.api_token.get_secret_value() if settings.api_token and options.show_token else ""

    def greeting(token: Token) -> bytes:
        return encode_message(
            "hello",
            version=version("conferral"),
            read_only=options.read_only,
            token=token.name,
            may=sorted(token.may),
            prefix=settings.prefix,
            public_command=options.command_line,
            public_url=without_login(settings.public_url or ""),
            shown_token=shown_token if token.name == API_NAME and not options.read_only else "",
            has_twilio_pages=is_twilio_url(settings.api_url),
        )

    commands, report = CommandRoutes(redis, access), ReportRoutes(reports, access, options.directory, options.people)
    app = web.Application(middlewares=[_errors_as_json(clock), _reject_other_hosts(options.allowed_hosts)])
    app.on_response_prepare.append(add_headers)
    app.add_routes(static_routes(STATIC))
    app.add_routes(
        [
            web.get("/", _index),
            *(web.get(f"/{view}", _redirect_to_view) for view in _VIEWS),
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz_handler(RedisAccess(readiness_client or client, settings.prefix), tokens)),
            web.get("/report.json", report.as_json),
            web.get("/report.csv", report.as_csv),
            web.post("/sign-in", access.sign_in),
            web.post("/sign-out", access.sign_out),
            web.get(_LIVE_PATH, _PageSockets(app, views, access, clock, greeting).handle),
            web.post("/commands", commands.submit_command),
            web.post("/dead", commands.act_on_dead_letters),
        ]
    )

    async def close(_app: web.Application) -> None:
        await feed.close()

    app.on_cleanup.append(close)
    return app


def _errors_as_json(clock: Clock) -> Middleware:
    """Return a middleware that answers errors.

    It logs each kind once a minute: anyone can cause many.
    """
    log_limit, metrics = LogRateLimit(clock.monotonic_s), Metrics()

    @web.middleware
    async def answer(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            if _route_template(request) == _LIVE_PATH:  # its head may have been sent when an error occurs
                return await handler(request)
            with contain(ItemKind.WEBHOOK, metrics, passing=_EXPECTED_ERRORS) as failure:
                response = await handler(request)
            if not failure:
                return response
            refused = internal_error()
        except RequestError as error:
            refused = error
        except StoreError as error:
            log_unreachable(error, task="console")
            refused = RequestError("store", str(error))
        path = _route_template(request)
        if count := log_limit.count((path, refused.type, *refused.log_fields.values()), REFUSALS_LOG_EVERY_S):
            log.info("console_refused", url_path=path, reason=refused.type, count=count, **refused.log_fields)
        return refused.response()

    return answer


def _reject_other_hosts(hosts: Collection[str] | None) -> Middleware:
    """Return a middleware that rejects other hosts, unless `hosts` is None.

    This prevents DNS rebinding: another site's domain that points to this machine would be same-origin.
    """
    allowed = {host_name(host) for host in hosts or ()} - {""}

    @web.middleware
    async def check(request: web.Request, handler: _Handler) -> web.StreamResponse:
        host = request.headers.get(hdrs.HOST, "localhost")
        is_fine = hosts is None or is_loopback_header(host) or host_name(host) in allowed
        if not is_fine and _route_template(request) not in _PUBLIC_PATHS:
            raise RequestError("foreign", _WRONG_HOST_HINT)
        return await handler(request)

    return check


def _route_template(request: web.Request) -> str:
    """Return the path with placeholders: a log may not hold its ids."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


async def _index(_request: web.Request) -> web.Response:
    text = page("Conferral", styles=STYLES, modules=["main.js"])
    return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-cache"})


async def _redirect_to_view(request: web.Request) -> web.StreamResponse:
    # Relative: a proxy may serve the page below a path of its own.
    raise web.HTTPFound(f"./#{request.path.removeprefix('/')}")


async def _healthz(_request: web.Request) -> web.Response:
    """Report that the process is alive. A restart wouldn't fix Redis."""
    return web.Response(text="ok\n")


def _readyz_handler(redis: RedisAccess, tokens: Tokens) -> _Handler:
    async def read() -> tuple[list[str], list[str]]:
        redis.reload_config()
        try:
            await redis.run(lambda reader: reader.commit_marks())
            problem = await redis.run(lambda reader: read_problem(reader.client, reader.keys))
        except StoreError as error:
            return [f"redis: {error.state or error}"], []
        return [], [redis.contradiction, problem]

    shared = SharedResult(read)  # anyone may request it, at any rate

    async def ready(_request: web.Request) -> web.Response:
        """Report whether sessions can be read; if not, what is missing."""
        lacks, found = await shared()
        warnings = [*filter(None, (tokens.problem, *found))]
        return json_response({"ready": not lacks, "missing": lacks, "warnings": warnings}, 503 if lacks else 200)

    return ready


class _PageSockets:
    def __init__(
        self, app: web.Application, views: ViewFactory, access: AccessControl, clock: Clock, greeting: _Greeting
    ) -> None:
        self._views = views
        self._access = access
        self._clock = clock
        #: With the name of the token that each page is signed in with.
        self._open: dict[PageSocket, str] = {}
        self._greeting = greeting
        app.on_shutdown.append(self._close_all)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one page's WebSocket; reject pages not signed in, or too many."""
        check_origin(request)
        sign_in = await self._access.sign_in_of(request)
        if sign_in is None or Permission.READ not in sign_in.token.may:
            return await reject(request)
        own = [*self._open.values()].count(sign_in.token.name)
        if len(self._open) >= SOCKETS_MAX or own >= sign_in.tokens.share_of(SOCKETS_MAX):
            raise RequestError("too-many", f"{len(self._open)} pages are already connected", retry_after_s=1)
        greeting = self._greeting(sign_in.token)
        socket = PageSocket(self._views, self._clock, sign_in, greeting=greeting)
        self._open[socket] = sign_in.token.name
        try:
            return await socket.run(request)
        finally:
            del self._open[socket]

    async def _close_all(self, _app: web.Application) -> None:
        await asyncio.gather(*(socket.close() for socket in self._open))
