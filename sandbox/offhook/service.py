"""The complete sandbox: a runtime with an HTTP application on loopback."""

import asyncio
import re
from collections.abc import Callable
from typing import Self
from urllib.parse import quote

import aiohttp
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from offhook.access import access_middleware
from offhook.browser_routes import add_browser_routes
from offhook.clock import monotonic_s
from offhook.control.error import ControlError
from offhook.control.routes import control_routes
from offhook.model.messages import NOT_MODELED, DebuggerEntry
from offhook.model.remarks import request_not_modeled
from offhook.model.rest_form import error_answer, method_not_allowed, not_found_answer
from offhook.model.twilio_model import UnknownNumberError
from offhook.pace import Clock
from offhook.page import add_page_routes
from offhook.rest_routes import CONFIGURATION_PATHS, VERSION, Handler, configuration_handler, rest_handler
from offhook.runtime import SandboxRuntime, shown_token
from offhook.web.pages import without_target_host

SHUTDOWN_S = 1.0  #: For requests in progress at shutdown.
_API = re.compile(r"/(v\d+|20\d\d-\d\d-\d\d)/")  #: Where Twilio's products have their paths.
BACKLOG = 1024  #: Connections that wait to be accepted; the system may allow fewer.


def errors_middleware(sandbox: SandboxRuntime) -> Middleware:
    """Return a middleware that answers errors as JSON, as Twilio does."""

    @web.middleware
    async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ControlError as error:
            return web.json_response({"error": error.reason}, status=error.status)
        except UnknownNumberError as error:
            return web.json_response({"error": str(error)}, status=404)
        except web.HTTPRequestEntityTooLarge:
            return web.json_response({"error": f"the body is limited to {request.client_max_size:,} bytes"}, status=413)
        except web.HTTPNotFound:
            remark = request_not_modeled(request.method, request.path)
            if _API.match(request.path):
                sandbox.perform(DebuggerEntry(NOT_MODELED, remark.message, level=remark.level, at_s=sandbox.now_s))
                sandbox.notify()
            return web.json_response(not_found_answer(request.path, remark.message).body, status=404)
        except web.HTTPMethodNotAllowed as error:
            refused = method_not_allowed(request.method)
            body = error_answer(refused.status, refused.code, refused.message).body
            return web.json_response(body, status=405, headers={hdrs.ALLOW: ", ".join(sorted(error.allowed_methods))})

    return errors_as_json


def make_app(sandbox: SandboxRuntime) -> web.Application:
    """Create the application: Twilio's REST API, control routes, and page."""
    app = web.Application(middlewares=[errors_middleware(sandbox), access_middleware(sandbox)])
    add_page_routes(app, sandbox)
    add_browser_routes(app, sandbox)
    app.router.add_routes(control_routes(sandbox))
    app.router.add_route("*", VERSION + "{tail:.*}", rest_handler(sandbox))
    for path in CONFIGURATION_PATHS:
        app.router.add_get(path, configuration_handler(sandbox))
    return app


SAFE_AIOHTTP = "3.14.4"  #: Earlier ones have open request-smuggling advisories.


def _numbers(version: str) -> list[int]:
    return [int(it) for it in re.findall(r"\d+", version)[:3]]


class Sandbox(SandboxRuntime):
    """A local Twilio: `async with Sandbox(...) as sandbox`."""

    _runner: web.AppRunner | None = None
    _set_up: Callable[["Sandbox"], None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self.stop()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.allow_hosts and _numbers(aiohttp.__version__) < _numbers(SAFE_AIOHTTP):
            raise ValueError(
                f"aiohttp {aiohttp.__version__} has open request-smuggling advisories: it serves only loopback. For "
                f"--allow-host, install {SAFE_AIOHTTP} or newer"
            )

    def set_up_with(self, set_up: Callable[["Sandbox"], None]) -> None:
        """Add numbers and phones, now and after each reset."""
        self._set_up = set_up
        set_up(self)

    def reset(self) -> None:
        """Remove everything except the numbers, and what the set-up adds."""
        super().reset()
        if self._set_up is not None:
            self._set_up(self)
            self.notify()

    async def start(self) -> None:
        """Listen, and set `port`; raise OSError if that is impossible."""
        self.webhook_sender.open()
        self.time.bind(asyncio.get_running_loop())
        self.restart_clock()
        self.pace.update()
        # A request takes effect even if its client does not wait for the answer.
        self._runner = web.AppRunner(
            make_app(self), shutdown_timeout=SHUTDOWN_S, handler_cancellation=False, access_log=None
        )
        await self._runner.setup()
        if (server := self._runner.server) is not None:
            server.request_factory = without_target_host(server.request_factory)
        await web.TCPSite(self._runner, self.host, self.port, backlog=BACKLOG).start()
        self.port = self._runner.addresses[0][1]
        self.model.state.api_url = self.url

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next change; a new one each time."""
        return self.pace.changed

    async def wait_until(self, predicate: Callable[[], object], timeout_s: float = 30.0) -> None:
        """Wait until it holds; raise TimeoutError after `timeout_s` real seconds."""
        began_s = monotonic_s()
        while True:
            known = self.pace.changes
            if predicate():
                return
            if (left_s := began_s + timeout_s - monotonic_s()) <= 0:
                raise TimeoutError(f"not within {timeout_s} s; {self!r}")
            await self.pace.next_change(known, left_s, began_s)

    async def wait_until_idle(self, timeout_s: float = 30.0) -> None:
        """Wait until no delivery is in progress, delayed, or held back."""
        await self.wait_until(lambda: self.webhook_sender.is_idle, timeout_s)

    async def advance(self, seconds: float, timeout_s: float = 30.0) -> None:
        """Let that much of Twilio's time pass at once, unless it always passes.

        Each event in it happens after 50 ms of real time without a request. Raise TimeoutError if requests leave no
        such pause for `timeout_s` real seconds, RuntimeError with `clock="running"`, or while a WebSocket is open.
        """
        await self.pace.advance(seconds, timeout_s)
        self.notify()

    def set_clock(self, clock: Clock) -> None:
        """Choose how the sandbox's clock goes on."""
        self.clock = clock
        self.pace.update()
        self.pace.wake_up()

    def facts(self) -> str:
        """Return where everything is, for the person who started it."""
        page = f"{self.url}/?token={quote(self.control_token, safe='')}" if self.control_token else f"{self.url}/"
        return "\n".join(
            (
                f"phones:  {page}",
                f"errors:  on that page, and GET {self.url}/sandbox/debugger",
                f"URL:     {self.url}",
                f"account: {self.account_sid}",
                f"token:   {shown_token(self)}",
                f"numbers: {', '.join(self.model.state.own_numbers()) or 'none'}",
            )
        )

    def introduce(self) -> str:
        """Return the facts, and what to paste into a program."""
        sid, token, url = self.account_sid, shown_token(self), self.url
        return "\n".join(
            (
                self.facts(),
                "",
                "Any program in Python or Node.js, as it is:",
                "  offhook run -- COMMAND",
                "Python:",
                "  from twilio.rest import Client",
                f'  client = Client("{sid}", "{token}")',
                f'  client.api.base_url = "{url}"',
                "  client.region = client.edge = None",
                "  client.http_client.session.trust_env = False  # no proxy",
                "Node.js:",
                '  const twilio = require("twilio");',
                f'  const client = twilio("{sid}", "{token}");',
                f'  client.api.baseUrl = "{url}";',
                "  client.region = client.edge = undefined;",
            )
        )

    async def stop(self) -> None:
        """Stop listening, and drop pending deliveries."""
        await self.close()
        if self._runner is not None:
            await self._runner.cleanup()
