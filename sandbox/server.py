"""The HTTP application around a switchboard."""

from __future__ import annotations

from aiohttp import web

from sandbox.control_routes import control_routes
from sandbox.page_routes import add_page
from sandbox.rest_routes import VERSION, rest_handler
from sandbox.switchboard import Switchboard


def make_app(sandbox: Switchboard) -> web.Application:
    """Twilio's REST paths, the sandbox's own routes, and the page with the phones."""
    app = web.Application()
    add_page(app, sandbox)
    app.router.add_routes(control_routes(sandbox))
    app.router.add_route("*", VERSION + "{tail:.*}", rest_handler(sandbox))
    return app
