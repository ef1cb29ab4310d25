"""Closing WebSockets in time."""

import asyncio

from aiohttp import web


async def close_in_time(
    socket: web.WebSocketResponse,
    transport: asyncio.Transport | None,
    timeout_s: float,
    *,
    code: int,
    message: bytes = b"",
) -> None:
    """Close a socket; after the timeout, close its connection.

    A peer that no longer reads, such as a suspended laptop, leaves no room in the connection's buffer for the closing
    message, and aiohttp would wait for it without limit.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await socket.close(code=code, message=message)
    except TimeoutError:
        if transport is not None:
            transport.abort()
