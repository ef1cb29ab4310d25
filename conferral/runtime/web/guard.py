"""Guard of a server's connections: deadlines both ways, and a bound.

It wraps aiohttp's protocol, and passes all bytes on unread. What it must know of requests, the handler reports.

Anyone may connect. A connection waits until its request is complete; where Twilio signs, until the signature is
verified. If too many wait, the one that has waited longest is closed. The newest never is: it may be Twilio's.
"""

import asyncio
import resource
from collections.abc import Awaitable, Callable
from itertools import count
from typing import cast

import structlog
from aiohttp import hdrs, web

from conferral.runtime.clock import SystemClock
from conferral.runtime.log import REFUSALS_LOG_EVERY_S, LogRateLimit
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.pages import HOST_MAX

#: Answers any request of a server.
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
#: Answers a request that has no route.
Refuse = Callable[[web.HTTPException], web.StreamResponse]

log = structlog.get_logger()

#: Time to send a request's head, seconds: from connecting, or on a kept-alive connection from its first byte.
HEAD_DEADLINE_S = 10.0
#: Time in which a client must read some of an answer that waits for it, seconds.
ANSWER_DEADLINE_S = 10.0
#: Interval at which a server's connections are checked, seconds.
CHECK_EVERY_S = 1.0
#: Open connections of unknown senders, count; at most half of the files that the process may open. Half of them wait,
#: the others have complete requests.
CONNECTIONS_MAX = 1_000

#: The longest path, and the longest list of entity tags (characters): the router and aiohttp's files take far more time
#: for longer ones. Ours have a tenth of it.
PATH_MAX, TAGS_MAX = 2_048, 1_024

#: Open files of a process that serves many (count): by default, systems allow 1,024 unless a process asks for more.
FILES_WANTED = 8_192


def raise_file_limit() -> None:
    """Let the process open as many files as it may ask for, up to a bound."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES_WANTED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES_WANTED)), hard))


def connections_max() -> int:
    """Return how many connections of unknown senders a server may have open."""
    return min(CONNECTIONS_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class Connections:
    """A server's open connections."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log_limit = LogRateLimit(SystemClock().monotonic_s)
        self._turns = count()
        #: Those that may be closed for others.
        self._waiting: set[Guard] = set()
        self._protected: set[Guard] = set()

    def add(self, guard: "Guard") -> None:
        """Let a new connection wait; if too many do, close the oldest stranger's."""
        guard.turn = next(self._turns)
        self._waiting.add(guard)
        if len(self._waiting) > max(1, connections_max() // 2):
            min(self._waiting, key=lambda waiting: (waiting.is_known, waiting.turn)).abort()
            self._metrics.connections_dropped.inc()
            if dropped := self._log_limit.count("dropped", REFUSALS_LOG_EVERY_S):
                log.warning("connections_dropped", count=dropped)

    def protect(self, guard: "Guard", *, is_known: bool) -> None:
        """Close the connection for no other until its request ends.

        If its sender is unknown, do so only while few such requests run.
        """
        if is_known:
            guard.turn = next(self._turns)  # its sender's next request is worth more than a stranger's first
        if guard in self._waiting and (is_known or len(self._protected) < connections_max() // 2):
            self._waiting.remove(guard)
            self._protected.add(guard)

    def wait(self, guard: "Guard") -> None:
        """Let a connection wait again, in its old turn."""
        if guard in self._protected:
            self._protected.remove(guard)
            self._waiting.add(guard)

    def remove(self, guard: "Guard") -> None:
        """Forget a connection."""
        self._waiting.discard(guard)
        self._protected.discard(guard)

    async def check(self) -> None:
        """Close connections with slow clients, until canceled."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            now_s = asyncio.get_running_loop().time()
            for guard in (*self._waiting, *self._protected):
                guard.check(now_s)


class Guard(asyncio.Protocol):
    """One connection: passes everything on to aiohttp's protocol."""

    def __init__(self, protocol: asyncio.Protocol, connections: Connections) -> None:
        self._protocol = protocol
        self._connections = connections
        #: Lower: it has waited longer.
        self.turn = 0
        #: Whether it has had a request whose sender is known.
        self.is_known = False
        #: Whether a handler runs.
        self._is_in_request = False
        #: Requests begun since bytes arrived between two requests, count.
        self._requests_at_once = 0
        #: Since when the rest of a head is awaited, seconds of the loop's clock; None between requests, and during one.
        self._head_since_s: float | None = None
        #: Since when the client has read nothing of an answer that waits for it, and how much waits.
        self._unread_since_s: float | None = None
        self._unread_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the deadline of the first head; make room if there is none."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=0)  # `pause_writing` is called as soon as anything is not sent
        self._connections.add(self)
        self._head_since_s = asyncio.get_running_loop().time()
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Start the deadline of a head; see asyncio."""
        if not self._is_in_request:
            self._requests_at_once = 0
            if self._head_since_s is None:
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
        self._connections.remove(self)
        self._protocol.connection_lost(exc)

    def abort(self) -> None:
        """Close the connection without sending the rest."""
        self._connections.remove(self)
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
        self._is_in_request = True
        self._requests_at_once += 1
        self._head_since_s = None

    def protect(self, *, is_known: bool) -> None:
        """Protect the request until its end."""
        self.is_known |= is_known
        self._connections.protect(self, is_known=is_known)

    def end_request(self) -> None:
        """End the request; the connection waits for the next one."""
        self._is_in_request = False
        self._connections.wait(self)

    @property
    def is_pipelined(self) -> bool:
        """Whether the client sent the request before the last one was answered."""
        return self._requests_at_once > 1


def _guard_of(request: web.BaseRequest) -> Guard | None:
    """Return the guard; None if the client has left, or in a test."""
    guard = request.transport.get_protocol() if request.transport is not None else None
    return guard if isinstance(guard, Guard) else None


def protect(request: web.Request) -> None:
    """Protect a request whose sender is known, by a signature or a token."""
    if guard := _guard_of(request):
        guard.protect(is_known=True)


def is_known(request: web.Request) -> bool:
    """Whether the connection has had a request whose sender is known."""
    return (guard := _guard_of(request)) is not None and guard.is_known


def as_response(error: web.HTTPException) -> web.Response:
    """Return what aiohttp would send for its error, without its text.

    That may quote the request, as of a WebSocket's key.
    """
    text = f"{error.status}: {error.reason}".encode()
    return web.Response(status=error.status, headers=error.headers, body=text if error.body else None)


def _check_head(request: web.BaseRequest) -> None:
    """Raise HTTPException for a head that would cost others time.

    Anyone may send 8 KB in each header. Those that aiohttp parses or quotes by itself are refused before it does.
    """
    host = request.headers.get(hdrs.HOST, "")
    if len(host) > HOST_MAX or not host.isascii():
        raise web.HTTPBadRequest
    if len(request.rel_url.raw_path) > PATH_MAX:
        raise web.HTTPRequestURITooLong
    for name in (hdrs.IF_MATCH, hdrs.IF_NONE_MATCH):
        if any(len(value) > TAGS_MAX for value in request.headers.getall(name, ())):
            raise web.HTTPRequestHeaderFieldsTooLarge
    if request.headers.get(hdrs.EXPECT, "100-continue").lower() != "100-continue":
        raise web.HTTPExpectationFailed


def reporting_requests(handle: Handler, refuse: Refuse) -> Handler:
    """Return a server's handler that reports each request to its guard.

    A request with a body is still incomplete. The second of two pipelined requests is the connection's last: no client
    of ours sends any, and thousands in one packet would keep the process busy.
    """

    async def report(request: web.BaseRequest) -> web.StreamResponse:
        if guard := _guard_of(request):
            guard.begin_request()
            if not request.body_exists:
                guard.protect(is_known=False)
        try:
            try:
                _check_head(request)
                response = await handle(request)
            except web.HTTPException as error:
                response = refuse(error)
            if guard and guard.is_pipelined:
                response.force_close()
            return response
        finally:
            if guard:
                guard.end_request()

    return report
