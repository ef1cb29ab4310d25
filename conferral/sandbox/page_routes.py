"""The phones' page: document, files, WebSocket, cross-origin protection.

There are no credentials, because everything runs on this machine. But other sites' pages in a browser on this machine
must not place calls here, neither through cross-site requests nor through DNS rebinding.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from aiohttp import hdrs, web

from conferral.runtime.web.pages import add_headers, is_loopback, is_same_origin, page, static_routes
from conferral.sandbox.http import ControlError, json_response, read_json_object
from conferral.sandbox.page_socket import PageSockets
from conferral.sandbox.rest_routes import VERSION
from conferral.sandbox.runtime import SandboxRuntime

STATIC = Path(__file__).parent / "static"
AFTER_S_MAX = 3_600.0
REPEATS_MAX = 20
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_page_routes(app: web.Application, sandbox: SandboxRuntime) -> None:
    """Serve the page, and reject other sites' requests."""
    live = PageSockets(sandbox)
    document = page("Phones", styles=("shared/tokens.css", "phones.css"), modules=("main.js",))

    async def front(_request: web.Request) -> web.Response:
        return web.Response(text=document, content_type="text/html", headers={hdrs.CACHE_CONTROL: "no-cache"})

    app.router.add_get("/", front)
    app.router.add_get("/sandbox/live", live.serve)
    app.router.add_post("/sandbox/deliveries/{number:[0-9]{1,9}}/again", partial(_send_again, sandbox))
    app.router.add_routes(static_routes(STATIC))
    app.middlewares.append(reject_cross_origin)
    app.on_response_prepare.append(_add_headers)
    app.on_shutdown.append(live.close)


@web.middleware
async def reject_cross_origin(request: web.Request, handler: Next) -> web.StreamResponse:
    """Reject requests from other sites' pages.

    Twilio's paths have credentials of their own, but the demo's are public: there, pages can't change anything.
    """
    if request.path.startswith(VERSION):
        if hdrs.ORIGIN in request.headers:
            return json_response({"error": "no page of a browser may ask for this"}, 403)
    else:
        if not is_loopback(request.headers.get(hdrs.HOST, "localhost")):
            return json_response({"error": "open it at one of this machine's addresses, such as 127.0.0.1"}, 403)
        reads_only = request.method in {"GET", "HEAD"} and request.path != "/sandbox/live"
        if not reads_only and not is_same_origin(request):
            return json_response({"error": "this request comes from another site's page"}, 403)
    return await handler(request)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    if not request.path.startswith(VERSION):  # Twilio's responses have none of these headers
        await add_headers(request, response)


async def _send_again(sandbox: SandboxRuntime, request: web.Request) -> web.Response:
    """Repeat a logged request, with the same idempotency token or a new one."""
    body = await read_json_object(request, (), ("token", "after_s", "times"))
    token, after_s, times = body.get("token", "same"), body.get("after_s", 0), body.get("times", 1)
    if token not in ("same", "new"):
        raise ControlError(422, "token must be same or new")
    if isinstance(after_s, bool) or not isinstance(after_s, int | float) or not 0 <= after_s <= AFTER_S_MAX:
        raise ControlError(422, f"after_s must be seconds, from 0 to {AFTER_S_MAX:g}")
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= REPEATS_MAX:
        raise ControlError(422, f"times must be a whole number from 1 to {REPEATS_MAX}")
    number, deliveries = int(request.match_info["number"]), sandbox.request_log.deliveries
    first = deliveries.numbered(number)
    if first is None:
        raise ControlError(404, f"no delivery {number}" + (" any more" if number < deliveries.total else ""))
    again = replace(
        first,
        at_s=sandbox.now_s,
        token=first.token if token == "same" else "",  # noqa: S105  a choice, not a secret
        fault="again",
        attempts=[],
        signature="",
        answer_type="",
        answer="",
        again_of=number,
    )
    sandbox.dispatcher.repeat(again, after_s, times)
    return json_response({"number": deliveries.total - 1}, 202)
