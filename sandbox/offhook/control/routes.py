"""Routes of the control API under `/sandbox`.

Its code is imported with the first request, since the sandbox must start quickly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING

from aiohttp import web

from offhook.control.paths import ROUTES
from offhook.runtime import SandboxRuntime

if TYPE_CHECKING:
    from offhook.control.handlers import ControlHandlers

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def control_routes(sandbox: SandboxRuntime) -> list[web.RouteDef]:
    """Return all routes under `/sandbox`."""

    @cache
    def handlers() -> ControlHandlers:
        from offhook.control.handlers import ControlHandlers

        return ControlHandlers(sandbox)

    def lazy(name: str) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            handler: _Handler = getattr(handlers(), name)
            return await handler(request)

        return handle

    return [web.route(method, path, lazy(name)) for method, path, name in ROUTES]
