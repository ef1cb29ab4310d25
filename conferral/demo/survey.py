"""What customers go on with after a call, in one of the demo's stories: a document of somebody else's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from conferral.demo import cast, ports

_DOCUMENT = f"<Response><Say>{cast.SURVEY}</Say><Hangup/></Response>"


@asynccontextmanager
async def survey() -> AsyncIterator[str]:
    """Serves the survey until the end of the block; yields its URL."""
    app = web.Application()
    app.router.add_post("/survey", _ask)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, ports.HOST, 0).start()
        yield f"http://{ports.HOST}:{runner.addresses[0][1]}/survey"
    finally:
        await runner.cleanup()


async def _ask(_request: web.Request) -> web.Response:
    return web.Response(text=_DOCUMENT, content_type="text/xml")
