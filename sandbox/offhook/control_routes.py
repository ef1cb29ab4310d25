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


def control_routes(sandbox: SandboxRuntime) -> list[web.RouteDef]:
    """Return all routes under `/sandbox`."""

    @cache
    def handlers() -> ControlHandlers:
        from offhook.control_handlers import ControlHandlers

        return ControlHandlers(sandbox)

    def lazy(choose: Callable[[ControlHandlers], _Handler]) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await choose(handlers())(request)

        return handle

    return [
        web.post("/sandbox/numbers", lazy(lambda it: it.add_number)),
        web.post("/sandbox/phones", lazy(lambda it: it.script_phone)),
        web.post("/sandbox/bots", lazy(lambda it: it.script_bot)),
        web.post("/sandbox/calls", lazy(lambda it: it.call_in)),
        web.post("/sandbox/browser-calls", lazy(lambda it: it.browser_calls)),
        web.get("/sandbox/calls", lazy(lambda it: it.calls)),
        web.post("/sandbox/calls/{sid}/{act}", lazy(lambda it: it.call_action)),
        web.get("/sandbox/ledger", lazy(lambda it: it.request_log)),
        web.get("/sandbox/debugger", lazy(lambda it: it.debugger)),
        web.get("/sandbox/hearing", lazy(lambda it: it.audibility)),
        web.get("/sandbox/recordings", lazy(lambda it: it.recordings)),
        web.get("/sandbox/faults", lazy(lambda it: it.pending_faults)),
        web.post("/sandbox/faults", lazy(lambda it: it.faults)),
        web.post("/sandbox/webhook-rules", lazy(lambda it: it.webhook_rule)),
        web.post("/sandbox/reset", lazy(lambda it: it.reset)),
    ]
