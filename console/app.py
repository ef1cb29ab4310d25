"""The live console as an aiohttp application: a page, its files, one socket for each page, and a few requests.

It keeps nothing of its own. Who is signed in stands in the cookie, everything else in Redis.
"""

from collections.abc import Awaitable, Callable, Collection
from importlib.metadata import version
from pathlib import Path

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware
from yarl import URL

from conferral.console.board import Board
from conferral.console.doors import BODY_BYTES_MAX, Door, check_page, json_object, too_many
from conferral.console.history import History
from conferral.console.live import Socket, turn_away
from conferral.console.looker import Looker
from conferral.console.messages import told
from conferral.console.orders import Orders
from conferral.console.refusals import NOT_KEPT, Refused, answer
from conferral.console.sign_in import SignIn, TooManyTries
from conferral.console.store import Store
from conferral.console.views.views import Views
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.runtime.outage import note_unreachable
from conferral.runtime.pages.serving import add_headers, host_name, is_this_machine, page, static_routes
from conferral.runtime.settings import ConsoleSettings
from conferral.runtime.sharing import Shared
from conferral.statemachine import diagram
from conferral.storage.connection import Client

log = structlog.get_logger()

STATIC = Path(__file__).parent / "static"
STYLES = ("shared/tokens.css", "console.css", "list.css", "session.css", "forms.css")
#: Pages that look at the same time, at most (count).
SOCKETS_MAX = 256
_TWILIO = "twilio.com"
#: Balancers ask for these by whatever address they have.
_TELL_NOTHING = frozenset({"/healthz", "/readyz"})
_NAMED_OTHERWISE = "ask for it by an address of this machine, such as 127.0.0.1, or start it with --allow-host NAME"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(
    settings: ConsoleSettings,
    client: Client,
    clock: Clock,
    *,
    read_only: bool = False,
    command_line: str = "conferral",
    shows_token: bool = False,
    hosts: Collection[str] | None = None,
    static: Path = STATIC,
    probing: Client | None = None,
) -> web.Application:
    """The application.

    Args:
        settings: Of the process.
        client: Of Redis, with at least twice `console.store.AT_ONCE` connections. Closed by the caller, afterwards.
        clock: Of this machine.
        read_only: Whether nobody may change anything.
        command_line: How this program is called, in the lines that the page offers to be copied.
        shows_token: Whether the token stands in the lines that the page offers to be copied; else its name does. Not
            where it is read-only: whoever sees the page could steer with it elsewhere.
        hosts: Under which names it may be asked for, beside those of this machine; None for any.
        static: The folder of the page's files.
        probing: A client for `/readyz` alone: anyone may ask for it, and it takes no connection from the pages. Closed
            by the caller too.
    """
    store = Store(client, settings.prefix)
    sign_in = SignIn(settings.api_token, clock)
    door = Door(sign_in, read_only=read_only)
    looker = Looker(store, clock)
    views = Views(looker, store, Board(looker, store, clock), clock, command_line=command_line)
    greeting = told(
        "hello",
        version=version("conferral"),
        read_only=read_only,
        prefix=settings.prefix,
        public_command=command_line,
        public_url=settings.public_url or "",
        shown_token=settings.api_token.get_secret_value() if shows_token and not read_only else "",
        has_twilio_pages=_is_of_twilio(settings.api_url),
    )
    orders = Orders(store, door)
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_refusals, _named(hosts)])
    app.on_response_prepare.append(add_headers)
    app.add_routes(static_routes(static))
    app.add_routes(
        [
            web.get("/", _front),
            web.get("/healthz", _alive),
            web.get("/readyz", _ready(Store(probing or client, settings.prefix))),
            web.get("/diagram.svg", _diagram),
            web.post("/sign-in", _signed_in(sign_in)),
            web.post("/sign-out", _signed_out(sign_in)),
            web.get("/live", _Sockets(app, views, door, clock, greeting).handle),
            web.post("/commands", orders.command),
            web.post("/dead", orders.dead),
            web.get("/sessions/{session:[^/]+}.json", History(store, door).handle),
        ]
    )

    async def close(_app: web.Application) -> None:
        await looker.close()

    app.on_cleanup.append(close)
    return app


def _is_of_twilio(url: str) -> bool:
    """Whether what a REST API has made can be looked at on Twilio's own pages."""
    host = URL(url).host or ""
    return host == _TWILIO or host.endswith(f".{_TWILIO}")


@web.middleware
async def _refusals(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as error:
        refused = error
    except StoreError as error:
        note_unreachable(error, task="console")
        refused = Refused("store", str(error))
    log.info("console_refused", url_path=_template(request), reason=refused.type)
    return refused.answer()


def _named(hosts: Collection[str] | None) -> Middleware:
    """Refuses who asks under a name that may be anybody's, but for the two routes that tell nothing.

    Whoever owns a name can have it lead to this machine, and his page could then ask here as if it were ours.
    """
    allowed = {host_name(host) for host in hosts or ()} - {""}

    @web.middleware
    async def check(request: web.Request, handler: _Handler) -> web.StreamResponse:
        host = request.headers.get(hdrs.HOST, "localhost")
        is_fine = hosts is None or is_this_machine(host) or host_name(host) in allowed
        if not is_fine and _template(request) not in _TELL_NOTHING:
            raise Refused("foreign", _NAMED_OTHERWISE)
        return await handler(request)

    return check


def _template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


# ---- what everybody may see --------------------------------------------------------------------------------------


async def _front(_request: web.Request) -> web.Response:
    text = page("Conferral", styles=STYLES, modules=["main.js"])
    return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-cache"})


async def _alive(_request: web.Request) -> web.Response:
    """The process answers. Redis is not asked: restarting us would not mend it."""
    return web.Response(text="ok\n")


def _ready(store: Store) -> _Handler:
    async def missing() -> list[str]:
        try:
            await store.ask(lambda reader: reader.marks())
        except StoreError as error:
            return [f"redis: {error.state or error}"]
        return []

    shared = Shared(missing)  # anyone may ask, as often as they like

    async def ready(_request: web.Request) -> web.Response:
        """Whether sessions can be read; when not, names what is missing."""
        lacks = await shared()
        return answer({"ready": not lacks, "missing": lacks}, 503 if lacks else 200)

    return ready


async def _diagram(_request: web.Request) -> web.Response:
    body = diagram.svg(is_alone=False)
    return web.Response(text=body, content_type="image/svg+xml", headers={"Cache-Control": "no-cache"})


# ---- signing in --------------------------------------------------------------------------------------------------


def _signed_in(sign_in: SignIn) -> _Handler:
    async def handle(request: web.Request) -> web.Response:
        check_page(request)
        token = (await json_object(request)).get("token")
        try:
            is_right = isinstance(token, str) and sign_in.is_right(token)
        except TooManyTries:
            raise too_many() from None
        if not is_right:
            log.warning("sign_in_refused")
            raise Refused("unauthorized", "this is not the CONFERRAL_API_TOKEN of this console")
        log.info("signed_in")
        response = web.Response(status=204, headers=NOT_KEPT)
        sign_in.give_cookie(request, response)
        return response

    return handle


def _signed_out(sign_in: SignIn) -> _Handler:
    async def handle(request: web.Request) -> web.Response:
        check_page(request)
        response = web.Response(status=204, headers=NOT_KEPT)
        sign_in.take_cookie(request, response)
        return response

    return handle


# ---- sockets -----------------------------------------------------------------------------------------------------


class _Sockets:
    """Lets pages in, and out again when the server stops."""

    def __init__(self, app: web.Application, views: Views, door: Door, clock: Clock, greeting: bytes) -> None:
        self._views = views
        self._door = door
        self._clock = clock
        self._open: set[Socket] = set()
        self._greeting = greeting
        app.on_shutdown.append(self._close)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One page's socket."""
        check_page(request)
        until_s = self._door.until_s(request)
        if until_s is None:
            return await turn_away(request)
        if len(self._open) >= SOCKETS_MAX:
            raise Refused("too-many", f"{SOCKETS_MAX} pages look already")
        socket = Socket(self._views, self._clock, until_s, greeting=self._greeting)
        self._open.add(socket)
        try:
            return await socket.talk(request)
        finally:
            self._open.discard(socket)

    async def _close(self, _app: web.Application) -> None:
        for socket in list(self._open):
            await socket.close()
