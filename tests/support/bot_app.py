"""An app that connects callers to its bot, for documented flows.

Source: Twilio docs, TwiML `<Connect>` and `<ConversationRelay>`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from conferral.runtime.web.server import run_server

HOST = "127.0.0.1"
#: The sandbox plays the bot, and opens no WebSocket.
_TWIML = '<Response><Connect action="{}"><ConversationRelay url="wss://bot.example.com/"/></Connect></Response>'


@asynccontextmanager
async def serve_app(action_url: str) -> AsyncIterator[str]:
    """Serve the app's voice URL, and yield it; `action_url` follows the bot."""

    async def connect_bot(_request: web.Request) -> web.Response:
        return web.Response(text=_TWIML.format(action_url), content_type="text/xml")

    app = web.Application()
    app.router.add_post("/voice", connect_bot)
    async with run_server(app, HOST, 0, shutdown_s=1) as port:
        yield f"http://{HOST}:{port}/voice"
