"""The sandbox's HTTP application."""

from __future__ import annotations

from aiohttp import hdrs, web

from conferral.sandbox.control_routes import control_routes
from conferral.sandbox.http import json_response
from conferral.sandbox.model.rest.form import NOT_MODELED, error_answer
from conferral.sandbox.page_routes import add_page_routes
from conferral.sandbox.rest_routes import VERSION, Handler, rest_handler
from conferral.sandbox.runtime import SandboxRuntime


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return a JSON error in Twilio's format for unknown routes."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        body = error_answer(404, 20404, f"The requested resource {request.path} was not found", NOT_MODELED).body
        return json_response(body, 404)
    except web.HTTPMethodNotAllowed as error:
        answer = json_response(error_answer(405, 20004, f"Method not allowed: {request.method}").body, 405)
        answer.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
        return answer


def make_app(sandbox: SandboxRuntime) -> web.Application:
    """Create the application: Twilio's REST API, the control routes, and the phones' page."""
    app = web.Application(middlewares=[errors_as_json])
    add_page_routes(app, sandbox)
    app.router.add_routes(control_routes(sandbox))
    app.router.add_route("*", VERSION + "{tail:.*}", rest_handler(sandbox))
    return app
