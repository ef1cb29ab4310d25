"""WebSockets of pages."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress

import aiohttp
from aiohttp import web

from offhook.pace import Pace

CLOSE_S = 2.0  #: Real seconds.


class Sockets:
    """Open WebSockets, which are closed when the application ends."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._sockets: set[web.WebSocketResponse] = set()

    async def serve(
        self,
        request: web.Request,
        send: Callable[[web.WebSocketResponse], Coroutine[None, None, None]],
        receive: Callable[[aiohttp.WSMessage], None],
        message_max: int,
    ) -> web.WebSocketResponse:
        """Run `send`, and pass on each message, until the page disconnects."""
        socket = web.WebSocketResponse(heartbeat=20.0, compress=False, max_msg_size=message_max)
        await socket.prepare(request)
        self._sockets.add(socket)
        sender = asyncio.create_task(send(socket))
        try:
            with self._pace.socket():
                async for message in socket:
                    receive(message)
        finally:
            self._sockets.discard(socket)
            sender.cancel()
            # The page may have disconnected while something was sent; its reader notices, too.
            with suppress(asyncio.CancelledError, ConnectionResetError):
                await sender
        return socket

    async def close(self, _app: web.Application) -> None:
        """Disconnect all pages; they reconnect automatically."""
        code = aiohttp.WSCloseCode.GOING_AWAY
        with suppress(TimeoutError):  # aiohttp would wait without limit for a page that no longer reads
            async with asyncio.timeout(CLOSE_S):
                await asyncio.gather(*(socket.close(code=code) for socket in self._sockets))
