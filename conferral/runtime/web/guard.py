"""Guard of a server's connections: deadlines both ways, and a bound.

It wraps aiohttp's protocol, and passes all bytes on unread. What it must know of requests, a middleware reports.
"""

import asyncio
import resource
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler

#: Time to send a request's head, seconds: from connecting, or on a kept-alive connection from its first byte.
HEAD_DEADLINE_S = 10.0
#: Time in which a client must read some of an answer that waits for it, seconds.
ANSWER_DEADLINE_S = 10.0
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
        self._transport: asyncio.Transport | None = None
        #: Whether a handler runs.
        self.is_in_request = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the deadline of the first head; make room if there is none."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)  # `pause_writing` is called as soon as anything is not sent
        self._connections[self] = None
        if len(self._connections) > connections_max():
            next(guard for guard in self._connections if not guard.is_in_request).abort()  # the new one is the last
        self._start_head_timer()
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Start the deadline of a head; see asyncio."""
        if not self.is_in_request and self._head_timer is None:
            self._start_head_timer()
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        """See asyncio."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """Start the deadline for reading the answer; see asyncio."""
        self._expect_progress()
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Stop the deadline for reading the answer; see asyncio."""
        self._stop_answer_timer()
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all deadlines; see asyncio."""
        self._connections.pop(self, None)
        self._stop_head_timer()
        self._stop_answer_timer()
        self._protocol.connection_lost(exc)

    def abort(self) -> None:
        """Close the connection at once."""
        self._connections.pop(self, None)
        if self._transport is not None:
            self._transport.abort()

    def begin_request(self) -> None:
        """Note that the head of a request is complete."""
        self.is_in_request = True
        self._stop_head_timer()

    def end_request(self) -> None:
        """Note that a handler is done; the connection is the newest idle one."""
        self.is_in_request = False
        if self in self._connections:
            self._connections[self] = self._connections.pop(self)

    def _start_head_timer(self) -> None:
        self._head_timer = asyncio.get_running_loop().call_later(HEAD_DEADLINE_S, self.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _expect_progress(self, unread_bytes: int | None = None) -> None:
        """Abort unless the client has read since; then look again later."""
        assert self._transport is not None
        now_bytes = self._transport.get_write_buffer_size()
        if unread_bytes is not None and now_bytes >= unread_bytes:
            self.abort()
            return
        loop = asyncio.get_running_loop()
        self._answer_timer = loop.call_later(ANSWER_DEADLINE_S, self._expect_progress, now_bytes)


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
