"""TwiML server for the customer's `after` URL in one demo story; it plays another application's part."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from conferral.demo import characters, ports
from conferral.runtime.web.server import run_server

_DOCUMENT = f"<Response><Say>{characters.AFTER_CALL_TEXT}</Say><Hangup/></Response>"


@asynccontextmanager
async def serve_after_call_twiml() -> AsyncIterator[str]:
    """Serve the survey's TwiML until the end of the block; yield its URL."""
    app = web.Application()
    app.router.add_post("/survey", _respond)
    async with run_server(app, ports.HOST, 0, shutdown_s=1) as port:
        yield f"http://{ports.HOST}:{port}/survey"


async def _respond(_request: web.Request) -> web.Response:
    return web.Response(text=_DOCUMENT, content_type="text/xml")
