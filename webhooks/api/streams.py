"""Event streams: all live sessions, as they change.

All streams of a process share one follower, so its reads do not grow with their number; desks have theirs from it, too
(`webhooks.desk`). Source: HTML Living Standard, section 9.2, Server-sent events.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web
from prometheus_client import Gauge

from conferral.operations.redis_access import RedisAccess
from conferral.operations.session_follower import AT_ONCE, POLL_EVERY_S, FollowedSession, SessionFollower
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.log import log_unreachable
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.guard import connections_max
from conferral.runtime.web.json_requests import RequestError
from conferral.runtime.web.tokens import Token, Tokens
from conferral.statemachine.session import Session
from conferral.storage.codecs.session_codec import public
from conferral.webhooks.api.parameters import EVENT_STREAM, ErrorType

#: Open streams of a process (count); fewer if it may open few connections, most of which are for Twilio.
STREAMS_MAX = 200
#: What may wait for a slow reader (bytes).
BEHIND_BYTES_MAX = 1024 * 1024
#: What the system may hold for a reader in addition (bytes); by default, it is megabytes.
_SOCKET_BUFFER_BYTES = 64 * 1024
COMMENT_EVERY_S = 15.0
#: A reader whose machine has confirmed nothing for this long is gone (ms), as in sleep: a comment is due before.
#: Source: Linux, tcp(7), TCP_USER_TIMEOUT. Other systems wait longer.
_UNCONFIRMED_MS = 30_000
#: Interval of checks whether a reader has left, seconds: aiohttp does not tell.
GONE_CHECK_EVERY_S = 1.0
#: Proxies must not collect events. Source: nginx docs, proxy_buffering.
_HEADERS = {"Content-Type": EVENT_STREAM, "X-Accel-Buffering": "no", "Cache-Control": "no-store"}


def encode_event(kind: str, data: object) -> bytes:
    """Return one event."""
    return f"event: {kind}\n".encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


#: An event without data would not reach the page.
READY = encode_event("ready", {})


@dataclass(frozen=True, eq=False)
class Followed(FollowedSession):
    """A live session, and what is sent of it."""

    @cached_property
    def public(self) -> dict[str, Any]:
        """The session's JSON."""
        return public(self.session)

    @cached_property
    def event(self) -> bytes:
        """The session's event, encoded once for all readers."""
        return encode_event("session", self.public)


class Reader:
    """A stream's other end: gets each change, or is dropped if too slow.

    `owner` is whose streams are counted together; `must_end`, whether the client has left, or lost its token.
    """

    def __init__(self, request: web.Request, owner: str, must_end: Callable[[], bool]) -> None:
        self.owner = owner
        self.wake = asyncio.Event()
        self.response = web.StreamResponse(headers=_HEADERS)
        self._request = request
        self._must_end = must_end
        self._is_over = self._is_stalled = False
        self._sent_s = asyncio.get_running_loop().time()
        self._waiting: list[bytes] = []
        self._behind_bytes = 0
        self._is_finished = False

    async def start(self) -> None:
        """Send the head of the response."""
        if (transport := self._request.transport) is not None:
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNCONFIRMED_MS)
        await self.response.prepare(self._request)

    async def send(self, events: bytes) -> None:
        """Send as fast as the reader takes it; raise ConnectionError at the end."""
        self._raise_if_over()
        self._is_stalled = True
        await self.response.write(events)
        self._is_stalled = False
        self._sent_s = asyncio.get_running_loop().time()
        await asyncio.sleep(0)  # aiohttp may not yield

    async def wait(self) -> None:
        """Wait for `wake`, for a while, and send a comment if one is due."""
        self._raise_if_over()
        if asyncio.get_running_loop().time() - self._sent_s >= COMMENT_EVERY_S:
            await self.send(b":\n\n")
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_CHECK_EVERY_S):
                await self.wake.wait()
        self.wake.clear()

    def end(self) -> None:
        """End the stream; the reader may connect again."""
        self._is_over = True
        self.wake.set()
        if self._is_stalled and self._request.transport is not None:
            self._request.transport.abort()

    @property
    def is_gone(self) -> bool:
        """Whether the stream is over, or about to be."""
        return self._is_over or self._must_end()

    def _raise_if_over(self) -> None:
        if self.is_gone:
            raise ConnectionResetError

    def push(self, event: bytes) -> bool:
        """Send soon; return whether the reader is too far behind."""
        self._waiting.append(event)
        self._behind_bytes += len(event)
        self.wake.set()
        return self._behind_bytes > BEHIND_BYTES_MAX

    def finish(self, event: bytes) -> None:
        """End the stream with an event, unless the reader reads nothing."""
        self._is_finished = True
        if self._is_stalled:
            self.end()
        else:
            self.push(event)

    async def run(self) -> None:
        """Send what is pushed, until the last event or ConnectionError."""
        while True:
            if events := b"".join(self._waiting):
                self._waiting.clear()
                await self.send(events)
                self._behind_bytes -= len(events)
            elif self._is_finished:
                return
            else:
                await self.wait()


class _SessionsReader(Reader):
    """Gets each change of the sessions that it wants."""

    def __init__(
        self,
        request: web.Request,
        owner: str,
        must_end: Callable[[], bool],
        is_wanted: Callable[[Session], bool],
    ) -> None:
        super().__init__(request, owner, must_end)
        self._is_wanted = is_wanted
        #: Ids of the wanted sessions that were sent.
        self._shown: set[str] = set()

    def event_of(self, followed: Followed) -> bytes:
        """Return what to send; empty for a session that was and is unwanted."""
        name = followed.session.id
        was_shown, is_wanted = name in self._shown, self._is_wanted(followed.session)
        (self._shown.add if is_wanted and not followed.session.is_ended else self._shown.discard)(name)
        return followed.event if is_wanted or was_shown else b""


_R = TypeVar("_R", bound=Reader)


class OpenStreams(Generic[_R]):
    """The open streams of one kind, in all and for one owner limited.

    `own_max` returns the latter; `own` says in an error what they have in common. `finish_one` ends one of them, oldest
    first, for a new one of the same owner; without it, the new one is refused.
    """

    def __init__(
        self,
        streams_max: int,
        own_max: Callable[[int], int],
        own: str,
        gauge: Gauge,
        metrics: Metrics,
        *,
        finish_one: Callable[[Sequence[_R], _R], _R] | None = None,
    ) -> None:
        self._max = streams_max
        self._own_max = own_max
        self._own = own
        self._gauge = gauge
        self._metrics = metrics
        self._finish_one = finish_one
        #: Oldest first.
        self._open: dict[_R, None] = {}

    def end(self) -> None:
        """End all streams."""
        for reader in self._open:
            reader.end()

    @contextmanager
    def opened(self, reader: _R) -> Iterator[None]:
        """Count a stream; raise RequestError if there are too many."""
        own_max = self._own_max(self._max)
        own = [one for one in self._open if one.owner == reader.owner]
        if len(own) >= own_max:  # those whose client has left are about to end
            own = [one for one in own if not one.is_gone]
        if len(own) >= own_max and self._finish_one is not None:
            finished = self._finish_one(own, reader)
            own.remove(finished)
            del self._open[finished]
        if len(self._open) >= self._max or len(own) >= own_max:
            self._metrics.streams_refused.inc()
            count, of = (len(own), f" {self._own}") if len(own) >= own_max else (len(self._open), "")
            streams = "1 event stream is" if count == 1 else f"{count} event streams are"
            raise RequestError(ErrorType.TOO_MANY_STREAMS, f"{streams} already open{of}")
        self._open[reader] = None
        self._gauge.set(len(self._open))
        try:
            yield
        except ConnectionError:
            pass  # the reader has left, or the stream is over
        except StoreError as error:
            if not reader.response.prepared:
                raise
            log_unreachable(error, task="streams")  # the reader connects again, and resumes
        finally:
            self._open.pop(reader, None)
            self._gauge.set(len(self._open))


class EventStreams(SessionFollower[Followed]):
    """All open streams of the API, and what they follow."""

    def __init__(self, redis: RedisAccess, metrics: Metrics, tokens: Tokens) -> None:
        super().__init__(redis)
        self.redis = redis
        self._metrics = metrics
        streams_max = min(STREAMS_MAX, connections_max() * 2 // 5)
        self._streams = OpenStreams[Reader](streams_max, tokens.share_of, "with this token", metrics.streams, metrics)
        #: Those that have got what there was before.
        self._sessions_readers: set[_SessionsReader] = set()
        #: Called with each change, as `on_change`.
        self.listeners: list[Callable[[str, Followed | None], None]] = []

    def stop(self) -> None:
        """End all streams."""
        self._streams.end()

    async def send_sessions(
        self,
        request: web.Request,
        token: Token,
        must_end: Callable[[], bool],
        is_wanted: Callable[[Session], bool],
    ) -> web.StreamResponse:
        """Send the live sessions, then their changes; may raise StoreError.

        `must_end`: whether the client has left, or lost its token.
        """
        reader = _SessionsReader(request, token.name, must_end, is_wanted)
        with self._opened(reader):
            await self.wait_for_poll()
            # From here on, the reader gets each change.
            self._sessions_readers.add(reader)
            wanted = [one for one in self.live.values() if reader.event_of(one)]
            await reader.start()
            for start in range(0, len(wanted), AT_ONCE):
                await reader.send(b"".join(one.event for one in wanted[start : start + AT_ONCE]))
            await reader.send(READY)
            await reader.run()
        return reader.response

    async def wait_for_poll(self) -> None:
        """Wait for a poll that begins from now on: no live session is missing."""
        polls = self._polls + 2
        while self._polls < polls:
            if self.redis_error:
                raise StoreUnreachableError(self.redis_error)
            await asyncio.sleep((self.poll_every_s or POLL_EVERY_S) / 5)

    @contextmanager
    def _opened(self, reader: Reader) -> Iterator[None]:
        with self._streams.opened(reader):
            self.subscribe(reader.wake)
            try:
                yield
            finally:
                self.unsubscribe(reader.wake)
                self._sessions_readers -= {reader}

    def keep(self, session: Session) -> Followed:
        """Return the session with the event that is sent of it."""
        return Followed(session)

    def on_change(self, name: str, followed: Followed | None, /) -> None:
        """Send the change to all who follow sessions."""
        for reader in tuple(self._sessions_readers):
            if followed is None:
                reader.end()  # Redis has lost data: start over
            elif (event := reader.event_of(followed)) and reader.push(event):
                self._sessions_readers.discard(reader)
                reader.end()
                self._metrics.streams_dropped.inc()
        for listener in self.listeners:
            listener(name, followed)
