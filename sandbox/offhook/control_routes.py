"""Routes of the control API under `/sandbox`.

Its code is imported with the first request: checking JSON needs a large library, and the sandbox must start quickly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING

from aiohttp import web

from offhook.runtime import SandboxRuntime

if TYPE_CHECKING:
    from offhook.control_handlers import ControlHandlers

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


ROUTES = (
    ("POST", "/sandbox/numbers", "add_number"),
    ("POST", "/sandbox/phones", "script_phone"),
    ("POST", "/sandbox/bots", "script_bot"),
    ("POST", "/sandbox/calls", "call_in"),
    ("POST", "/sandbox/browser-calls", "browser_calls"),
    ("GET", "/sandbox/calls", "calls"),
    ("POST", "/sandbox/calls/{sid}/{act}", "call_action"),
    ("GET", "/sandbox/requests", "request_log"),
    ("GET", "/sandbox/debugger", "debugger"),
    ("GET", "/sandbox/hearing", "audibility"),
    ("GET", "/sandbox/recordings", "recordings"),
    ("GET", "/sandbox/faults", "pending_faults"),
    ("POST", "/sandbox/faults", "faults"),
    ("DELETE", "/sandbox/faults", "clear_faults"),
    ("POST", "/sandbox/webhook-rules", "webhook_rule"),
    ("POST", "/sandbox/reset", "reset"),
    ("GET", "/sandbox/openapi.json", "openapi"),
)
"""Method, path, and the handler's name in `ControlHandlers`."""


def control_routes(sandbox: SandboxRuntime) -> list[web.RouteDef]:
    """Return all routes under `/sandbox`."""

    @cache
    def handlers() -> ControlHandlers:
        from offhook.control_handlers import ControlHandlers

        return ControlHandlers(sandbox)

    def lazy(name: str) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            handler: _Handler = getattr(handlers(), name)
            return await handler(request)

        return handle

    return [web.route(method, path, lazy(name)) for method, path, name in ROUTES]
