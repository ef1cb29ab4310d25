"""Guard of a server's connections: deadlines both ways, and a bound.

It wraps aiohttp's protocol, and passes all bytes on unread. What it must know of requests, a middleware reports.
"""

import asyncio
import resource
from collections.abc import Collection
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler

#: Time to send a request's head, seconds: from connecting, or on a kept-alive connection from its first byte.
HEAD_DEADLINE_S = 10.0
#: Time in which a client must read some of an answer that waits for it, seconds.
ANSWER_DEADLINE_S = 10.0
#: Interval at which a server's connections are checked, seconds.
CHECK_EVERY_S = 1.0
#: Open connections of a server, count; at most half of the files that the process may open.
CONNECTIONS_MAX = 1_000


def connections_max() -> int:
    """Return how many connections a server may have open."""
    return min(CONNECTIONS_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class Guard(asyncio.Protocol):
    """One connection: passes everything on to aiohttp's protocol.

    Args:
        connections: All open connections of the server, the longest idle first.
    """

    def __init__(self, protocol: asyncio.Protocol, connections: dict["Guard", None]) -> None:
        self._protocol = protocol
        self._connections = connections
        #: Whether a handler runs.
        self.is_in_request = False
        #: Since when the rest of a head is awaited, seconds of the loop's clock; None between requests, and during one.
        self._head_since_s: float | None = None
        #: Since when the client has read nothing of an answer that waits for it, and how much waits.
        self._unread_since_s: float | None = None
        self._unread_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the deadline of the first head; make room if there is none."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=0)  # `pause_writing` is called as soon as anything is not sent
        self._connections[self] = None
        if len(self._connections) > connections_max():
            next(guard for guard in self._connections if not guard.is_in_request).abort()  # the new one is the last
        self._head_since_s = asyncio.get_running_loop().time()
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Start the deadline of a head; see asyncio."""
        if not self.is_in_request and self._head_since_s is None:
            self._head_since_s = asyncio.get_running_loop().time()
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        """See asyncio."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """Start the deadline for reading the answer; see asyncio."""
        self._unread_since_s = asyncio.get_running_loop().time()
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Stop the deadline for reading the answer; see asyncio."""
        self._unread_since_s = None
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; see asyncio."""
        self._connections.pop(self, None)
        self._protocol.connection_lost(exc)

    def abort(self) -> None:
        """Close the connection without sending the rest."""
        self._connections.pop(self, None)
        self.transport.abort()

    def check(self, now_s: float) -> None:
        """Close the connection if its client is too slow."""
        if self._head_since_s is not None and now_s - self._head_since_s >= HEAD_DEADLINE_S:
            self.abort()
        elif self._unread_since_s is not None:
            unread_bytes = self.transport.get_write_buffer_size()
            if unread_bytes < self._unread_bytes:
                self._unread_since_s, self._unread_bytes = now_s, unread_bytes
            elif now_s - self._unread_since_s >= ANSWER_DEADLINE_S:
                self.abort()

    def begin_request(self) -> None:
        """Start the request: its head is complete, within the deadline."""
        self.is_in_request = True
        self._head_since_s = None

    def end_request(self) -> None:
        """End the request; the connection becomes the newest idle one."""
        self.is_in_request = False
        if self in self._connections:
            self._connections[self] = self._connections.pop(self)


async def check_connections(connections: Collection[Guard]) -> None:
    """Close connections with slow clients, until canceled."""
    while True:
        await asyncio.sleep(CHECK_EVERY_S)
        now_s = asyncio.get_running_loop().time()
        for guard in tuple(connections):
            guard.check(now_s)


@web.middleware
async def report_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Report to the connection's guard where a request begins and ends."""
    guard = request.transport.get_protocol() if request.transport is not None else None
    if not isinstance(guard, Guard):  # the client has left, or a test calls the handler
        return await handler(request)
    guard.begin_request()
    try:
        return await handler(request)
    finally:
        guard.end_request()
