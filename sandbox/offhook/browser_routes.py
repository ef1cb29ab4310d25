"""What a page with the Voice SDK loads and connects to.

The page may be of another origin, such as your application's. Its WebSocket sends an access token first.
"""

import asyncio
from pathlib import Path

import aiohttp
from aiohttp import hdrs, web

from offhook.runtime import SandboxRuntime
from offhook.sockets import Sockets
from offhook.web import json_text
from offhook.web.pages import is_https

SCRIPT_PATH, SIGNALING_PATH = PATHS = ("/sandbox/voice-sdk.js", "/sandbox/signaling")
_SCRIPT = Path(__file__).parent / "static" / "voice-sdk.js"
_MESSAGE_MAX = 16_384  #: Bytes: an access token, and some more.


def add_browser_routes(app: web.Application, sandbox: SandboxRuntime) -> None:
    """Serve the script and its WebSocket."""
    sockets = Sockets(sandbox.pace)

    async def script(request: web.Request) -> web.Response:
        own_url = f"{'wss' if is_https(request) else 'ws'}://{request.host}{SIGNALING_PATH}"
        text = _SCRIPT.read_text("utf-8").replace('"SIGNALING_URL"', json_text.dumps(own_url).decode())
        others = {"Cross-Origin-Resource-Policy": "cross-origin", hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*"}
        return web.Response(text=text, content_type="text/javascript", headers=others)

    async def signaling(request: web.Request) -> web.WebSocketResponse:
        to_send: asyncio.Queue[str] = asyncio.Queue()
        browser = sandbox.browsers.connect(to_send.put_nowait)

        async def send(socket: web.WebSocketResponse) -> None:
            while True:
                await socket.send_str(await to_send.get())

        def receive(message: aiohttp.WSMessage) -> None:
            sandbox.browsers.receive(browser, message.data)

        try:
            return await sockets.serve(request, send, receive, _MESSAGE_MAX)
        finally:
            sandbox.browsers.disconnect(browser)

    app.router.add_get(SCRIPT_PATH, script)
    app.router.add_get(SIGNALING_PATH, signaling)
    app.on_shutdown.append(sockets.close)
