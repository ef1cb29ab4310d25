"""TwiML server for the customer's `after` URL in one demo story; it plays another application's part."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from conferral.demo import characters, ports

_DOCUMENT = f"<Response><Say>{characters.AFTER_CALL_TEXT}</Say><Hangup/></Response>"


@asynccontextmanager
async def serve_after_call_twiml() -> AsyncIterator[str]:
    """Serve the survey's TwiML until the end of the block; yield its URL."""
    app = web.Application()
    app.router.add_post("/survey", _respond)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, ports.HOST, 0).start()
        yield f"http://{ports.HOST}:{runner.addresses[0][1]}/survey"
    finally:
        await runner.cleanup()


async def _respond(_request: web.Request) -> web.Response:
    return web.Response(text=_DOCUMENT, content_type="text/xml")
