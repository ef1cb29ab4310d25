"""One page's WebSocket: changes, no faster than received (backpressure).

There is no queue. Once the socket has accepted a message, the next one contains all changes since.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import structlog
from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import ValidationError

from conferral.console.access import SignIn
from conferral.console.commands import CommandTracker
from conferral.console.messages import encode_message
from conferral.console.page_view import PageMessage, View
from conferral.console.views import ViewFactory
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.runtime.web.server import close_in_time
from conferral.storage.codecs.text_codec import parse_time_ms, to_iso

log = structlog.get_logger()

#: Close code after which pages stop reconnecting and show the sign-in.
NOT_SIGNED_IN = 4401
#: Interval between checks for changes.
SEND_EVERY_S = 0.1
COMMAND_POLL_EVERY_S = 0.2
#: Longest time without a message.
TICK_EVERY_S = 2.0
#: Interval of WebSocket pings.
HEARTBEAT_S = 20.0
CLOSE_S = 2.0
#: Of a page's message.
MESSAGE_BYTES_MAX = 64 * 1024
#: Commands' status messages, the view's messages, and Redis's error.
_ViewUpdate = tuple[list[bytes], list[bytes], str]


async def reject(request: web.Request) -> web.WebSocketResponse:
    """Accept, then close with NOT_SIGNED_IN, which scripts can read."""
    socket = web.WebSocketResponse(timeout=CLOSE_S)
    await socket.prepare(request)
    await socket.close(code=NOT_SIGNED_IN, message=b"not signed in")
    return socket


class PageSocket:
    """Serves one page."""

    def __init__(self, views: ViewFactory, clock: Clock, sign_in: SignIn, *, greeting: bytes) -> None:
        self._views = views
        self._feed = views.feed
        self._clock = clock
        self._token, self._until_s, self._tokens = sign_in
        self._greeting = greeting
        self._socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_BYTES_MAX, timeout=CLOSE_S, compress=True
        )
        self._transport: asyncio.Transport | None = None
        self._wake = asyncio.Event()
        self._tracker = CommandTracker(views.redis, clock)
        self._view: View | None = None
        self._ticked_s, self._sent_redis_error = -TICK_EVERY_S, ""

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Send changes and handle messages until either side closes."""
        self._transport = request.transport
        await self._socket.prepare(request)
        self._feed.subscribe(self._wake)
        sending = asyncio.get_running_loop().create_task(self._send_changes())
        try:
            async for message in self._socket:
                self._receive(message.data)
        finally:
            self._feed.unsubscribe(self._wake)
            sending.cancel()
            await asyncio.wait({sending})
        if not sending.cancelled() and (error := sending.exception()) is not None:
            raise error
        return self._socket

    async def close(self) -> None:
        """Close because the server stops."""
        await self._close(WSCloseCode.GOING_AWAY, b"the console is stopping")

    async def _close(self, code: int, message: bytes) -> None:
        await close_in_time(self._socket, self._transport, CLOSE_S, code=code, message=message)

    def _receive(self, data: object) -> None:
        try:
            message = PageMessage.model_validate_json(data if isinstance(data, str) else "")
        except ValidationError:
            return  # perhaps from a newer page
        if message.follow is not None:
            self._tracker.add(message.follow, message.type, parse_time_ms(message.deadline))
        else:
            self._view = self._views.make(message, self._token, self._view)
        self._wake.set()

    async def _send_changes(self) -> None:
        """Send messages until the page leaves, or may read no more."""
        try:
            await self._send(self._greeting)
            while not self._is_over():
                self._wake.clear()
                started_s = self._clock.monotonic_s()
                redis_error = await self._send_new()
                await self._send_tick_if_due(redis_error or self._feed.redis_error)
                await self._wait_for_changes(started_s)
            if self._tokens.have(self._token):
                await self._close(NOT_SIGNED_IN, b"the sign-in has expired")
            else:  # the page connects again, and learns what it may do now
                await self._close(WSCloseCode.SERVICE_RESTART, b"the token was removed or changed")
        except ConnectionError:
            return  # the page has disconnected; the receiving side notices, too

    async def _send_new(self) -> str:
        """Send new messages; return Redis's error, empty while it responds."""
        answers, changes, redis_error = await self._tick_while(self._read_update(self._view))
        for message in (*answers, *changes):  # also if the page has switched views: the list may go on
            await self._send(message)
        return redis_error

    async def _read_update(self, view: View | None) -> _ViewUpdate:
        """Return answers, changes, and why Redis can't be read (empty if it can)."""
        answers: list[bytes] = []
        changes: list[bytes] = []
        try:
            answers = await self._tracker.new_messages()
            if view is not None:
                # The summary first, because it may raise, and messages that aren't returned must not count as sent.
                summary = await self._views.summary() if self._feed.is_loaded else view.sent_summary
                changes = await view.new_messages()
                if summary != view.sent_summary:
                    view.sent_summary = summary
                    changes.append(summary)
        except StoreError as error:
            return answers, [], str(error)
        return answers, changes, ""

    async def _tick_while(self, reading: Coroutine[Any, Any, _ViewUpdate]) -> _ViewUpdate:
        """Return what was read; send ticks, so that the page doesn't seem dead."""
        read = asyncio.get_running_loop().create_task(reading)
        try:
            while not (await asyncio.wait({read}, timeout=self._until_tick_s()))[0]:
                await self._send_tick_if_due(self._feed.redis_error)
            return read.result()
        finally:
            if read.cancel():
                await asyncio.wait({read})

    async def _send_tick_if_due(self, redis_error: str) -> None:
        if redis_error == self._sent_redis_error and self._until_tick_s() > 0:
            return
        self._ticked_s, self._sent_redis_error = self._clock.monotonic_s(), redis_error
        as_of_ms = self._feed.as_of_ms
        as_of = to_iso(as_of_ms) if as_of_ms else None
        await self._send(encode_message("tick", now=to_iso(self._feed.now_ms()), as_of=as_of, trouble=redis_error))

    def _until_tick_s(self) -> float:
        return max(0.0, self._ticked_s + TICK_EVERY_S - self._clock.monotonic_s())

    def _is_over(self) -> bool:
        if self._socket.closed:
            return True
        is_expired = bool(self._until_s) and self._clock.wall_ms() >= self._until_s * 1000
        return is_expired or not self._tokens.have(self._token)

    async def _wait_for_changes(self, started_s: float) -> None:
        """Wait for changes, and at least for the minimum interval."""
        await asyncio.sleep(max(0.0, started_s + SEND_EVERY_S - self._clock.monotonic_s()))
        with suppress(TimeoutError):
            async with asyncio.timeout(COMMAND_POLL_EVERY_S if self._tracker else TICK_EVERY_S / 2):
                await self._wake.wait()

    async def _send(self, message: bytes) -> None:
        await self._socket.send_frame(message, WSMsgType.TEXT)
