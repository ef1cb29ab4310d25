"""The HTTP application around a switchboard."""

from __future__ import annotations

from aiohttp import hdrs, web

from conferral.sandbox.answers import as_json
from conferral.sandbox.control_routes import control_routes
from conferral.sandbox.exchange.forms import NOT_MODELED, error_answer
from conferral.sandbox.page_routes import add_page
from conferral.sandbox.rest_routes import VERSION, Handler, rest_handler
from conferral.sandbox.switchboard import Switchboard


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers in JSON what no route answers, in the form of Twilio's errors."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        body = error_answer(404, 20404, f"The requested resource {request.path} was not found", NOT_MODELED).body
        return as_json(body, 404)
    except web.HTTPMethodNotAllowed as error:
        answer = as_json(error_answer(405, 20004, f"Method not allowed: {request.method}").body, 405)
        answer.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
        return answer


def make_app(sandbox: Switchboard) -> web.Application:
    """Twilio's REST paths, the sandbox's own routes, and the page with the phones."""
    app = web.Application(middlewares=[errors_as_json])
    add_page(app, sandbox)
    app.router.add_routes(control_routes(sandbox))
    app.router.add_route("*", VERSION + "{tail:.*}", rest_handler(sandbox))
    return app
