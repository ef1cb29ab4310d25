"""Pipelining connection: sends at once, hands out replies in order.

redis-py borrows a connection for each pipeline and awaits reply by reply; on the hot path, that is most of the cost.
Here it only opens the connection; then a protocol takes over the transport, and hiredis parses. Single servers only.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conferral.storage.connection.client import COMMAND_TIMEOUT_S

_INCOMPLETE = object()


class PipeliningConnection:
    """One connection to a server, opened at first use and after it broke.

    When it breaks, all running exchanges fail: Redis may have executed any of them, so only the caller may repeat one.
    """

    def __init__(self, client: Redis, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        self._client = client
        self._timeout_s = timeout_s
        #: The running attempt to connect, which all exchanges share.
        self._opening: asyncio.Task[_Link] | None = None
        self._link: _Link | None = None
        self._is_closed = False

    @staticmethod
    def can_serve(client: object) -> bool:
        """Whether the client is for a single server."""
        return isinstance(client, Redis)

    @staticmethod
    def pack(commands: Iterable[tuple[Any, ...]]) -> bytes:
        """Return commands as bytes in Redis's protocol, for `exchange`."""
        return b"".join(map(hiredis.pack_command, commands))

    async def exchange(self, packed: bytes, count: int) -> list[Any]:
        """Send commands; return their replies in order, refusals as values."""
        link = self._link
        if link is None or not link.is_usable:
            link = await self._open()
        return await link.send(packed, count)

    def close(self) -> None:
        """Close the connection for good; running exchanges fail."""
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _open(self) -> "_Link":
        """Return a new link; concurrent exchanges share the attempt."""
        self._raise_if_closed()
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add_done_callback(self._on_opened)
        opening = self._opening
        await asyncio.wait([opening])  # unlike `await opening`: canceling one of the two does not cancel the other
        self._raise_if_closed()
        return opening.result()

    async def _connect(self) -> "_Link":
        """Connect with redis-py, and take over its transport."""
        pool: Any = self._client.connection_pool
        connection = pool.make_connection()
        await connection.connect()
        if self._is_closed:
            await connection.disconnect(nowait=True)
        self._raise_if_closed()
        if self._link is not None:
            self._link.retire()
        self._link = _Link(connection, self._timeout_s)
        return self._link

    def _raise_if_closed(self) -> None:
        if self._is_closed:
            raise RedisConnectionError("closed")

    def _on_opened(self, opening: "asyncio.Task[_Link]") -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # read, so that asyncio does not log it: the waiting exchanges raise it


@dataclass(slots=True)
class _Exchange:
    done: asyncio.Future[list[Any]]
    count: int
    sent_at_s: float
    replies: list[Any] = field(default_factory=list)


class _Link(asyncio.Protocol):
    """The transport of an open redis-py connection."""

    def __init__(self, connection: Any, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._connection = connection
        # The writer would close the transport if it were collected.
        self._writer = connection._writer  # noqa: SLF001
        # From now on, the connection must neither read nor close.
        connection._reader = connection._writer = None  # noqa: SLF001
        self._transport = self._writer.transport
        self._transport.set_protocol(self)
        self._loop = asyncio.get_running_loop()
        self._parser = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=connection._parser.parse_error,  # noqa: SLF001
            notEnoughData=_INCOMPLETE,
        )
        self._waiting: deque[_Exchange] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at_s = 0.0
        self._is_retired = False

    @property
    def is_usable(self) -> bool:
        """Whether it is open, and the server was not demoted since."""
        return not (self._transport.is_closing() or self._connection.is_outdated)

    def send(self, packed: bytes, count: int) -> asyncio.Future[list[Any]]:
        exchange = _Exchange(self._loop.create_future(), count, self._loop.time())
        self._waiting.append(exchange)
        if self._timer is None:
            self._timer = self._loop.call_at(exchange.sent_at_s + self._timeout_s, self._check_silence)
        self._transport.write(packed)
        return exchange.done

    def retire(self) -> None:
        """Close as soon as no exchange waits for a reply."""
        self._is_retired = True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """Close at once; waiting exchanges fail."""
        self._transport.abort()  # close() would first send what is in the buffer
        self._fail(RedisConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        """Complete exchanges; replies come in the order of commands."""
        self._heard_at_s = self._loop.time()
        self._parser.feed(data)
        while (reply := self._parser.gets()) is not _INCOMPLETE:
            if not self._waiting:
                raise InvalidResponse("a reply that nothing waits for")
            if isinstance(reply, ResponseError):
                self._connection.reconnect_if_read_only(reply)
            exchange = self._waiting[0]
            exchange.replies.append(reply)
            if len(exchange.replies) == exchange.count:
                self._waiting.popleft()
                if not exchange.done.done():
                    exchange.done.set_result(exchange.replies)
        if self._is_retired and not self._waiting:  # a newer link has replaced this one
            self.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._fail(RedisConnectionError("the connection broke"))

    def _check_silence(self) -> None:
        """Break the connection if a reply is due and nothing arrived in time."""
        self._timer = None
        if not self._waiting:
            return
        due_s = max(self._waiting[0].sent_at_s, self._heard_at_s) + self._timeout_s
        if due_s > self._loop.time():
            self._timer = self._loop.call_at(due_s, self._check_silence)
            return
        self._transport.abort()
        self._fail(RedisTimeoutError("no reply in time"))

    def _fail(self, error: Exception) -> None:
        """Fail each exchange with its own copy: sharing would mix tracebacks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            exchange = self._waiting.popleft()
            if not exchange.done.done():
                exchange.done.set_exception(type(error)(*error.args))
