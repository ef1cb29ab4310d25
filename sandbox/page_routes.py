"""The page on which people play with the phones: its document, its files, its socket, and who may use them.

There are no credentials, since everything is on this machine. But a browser on this machine also shows pages of
others, and these must not place calls here: neither by a request across sites, nor by a name of their own that they
let point to this machine (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from aiohttp import hdrs, web

from conferral.runtime.pages.serving import add_headers, is_of_this_page, is_this_machine, page, static_routes
from conferral.sandbox.answers import ControlError, as_json, guarded, read_body
from conferral.sandbox.live import Live
from conferral.sandbox.rest_routes import VERSION
from conferral.sandbox.switchboard import Switchboard

STATIC = Path(__file__).parent / "static"
AFTER_S_MAX = 3_600.0
TIMES_MAX = 20
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_page(app: web.Application, sandbox: Switchboard) -> None:
    """Serve the page, and look at who asks before anything of the sandbox's own is answered."""
    live = Live(sandbox)
    document = page("Phones", styles=("shared/tokens.css", "phones.css"), modules=("main.js",))

    async def front(_request: web.Request) -> web.Response:
        return web.Response(text=document, content_type="text/html", headers={hdrs.CACHE_CONTROL: "no-cache"})

    async def send_again(request: web.Request) -> web.Response:
        return await _send_again(sandbox, request)

    app.router.add_get("/", front)
    app.router.add_get("/sandbox/live", live.serve)
    app.router.add_post("/sandbox/deliveries/{number:[0-9]{1,9}}/again", guarded(send_again))
    app.router.add_routes(static_routes(STATIC))
    app.middlewares.append(keep_others_out)
    app.on_response_prepare.append(_add_headers)
    app.on_shutdown.append(live.close)


@web.middleware
async def keep_others_out(request: web.Request, handler: Next) -> web.StreamResponse:
    """Refuses what a page of somebody else's asks for.

    Twilio's paths have credentials of their own, but the demo's are known to everybody: there a page changes nothing.
    """
    if request.path.startswith(VERSION):
        if hdrs.ORIGIN in request.headers:
            return as_json({"error": "no page of a browser may ask for this"}, 403)
    else:
        if not is_this_machine(request.headers.get(hdrs.HOST, "localhost")):
            return as_json({"error": "ask for it by an address of this machine, such as 127.0.0.1"}, 403)
        reads_only = request.method in {"GET", "HEAD"} and request.path != "/sandbox/live"
        if not reads_only and not is_of_this_page(request):
            return as_json({"error": "this comes from a page of somebody else's"}, 403)
    return await handler(request)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    if not request.path.startswith(VERSION):  # Twilio's answers have none of these
        await add_headers(request, response)


async def _send_again(sandbox: Switchboard, request: web.Request) -> web.Response:
    """Repeat a request to a webhook, as Twilio does when it got no answer (same token), or as if it were another one.

    `token` is `same` or `new`, `after_s` real seconds, `times` how often.
    """
    body = await read_body(request, (), ("token", "after_s", "times"))
    token, after_s, times = body.get("token", "same"), body.get("after_s", 0), body.get("times", 1)
    if token not in {"same", "new"}:
        raise ControlError(422, "token must be same or new")
    if isinstance(after_s, bool) or not isinstance(after_s, int | float) or not 0 <= after_s <= AFTER_S_MAX:
        raise ControlError(422, f"after_s must be seconds, from 0 to {AFTER_S_MAX:g}")
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= TIMES_MAX:
        raise ControlError(422, f"times must be a whole number from 1 to {TIMES_MAX}")
    number, deliveries = int(request.match_info["number"]), sandbox.ledger.deliveries
    first = deliveries.numbered(number)
    if first is None:
        raise ControlError(404, f"no delivery {number}" + (" any more" if number < deliveries.made else ""))
    again = replace(
        first,
        at_s=sandbox.now_s,
        token=first.token if token == "same" else "",  # noqa: S105  a choice, and no secret
        fault="again",
        attempts=[],
        signature="",
        answer_type="",
        answer="",
        again_of=number,
    )
    sandbox.send_again(again, after_s=after_s, times=times)
    return as_json({"number": deliveries.made - 1}, 202)
