"""One page's socket: what it looks at is told as it changes, and never faster than the page takes it.

Nothing is queued. When the socket has taken what was sent, the next message is made of whatever has changed since then;
a slow page gets fewer and larger ones.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import orjson
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from conferral.console.command_tracker import CommandTracker
from conferral.console.messages import encode_message
from conferral.console.views.factory import ViewFactory
from conferral.console.views.view import BadMessageError, View
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.statemachine.ids import NAME_PATTERN
from conferral.storage.codecs.timestamps import to_iso

log = structlog.get_logger()

#: Closes a socket whose page is not signed in, or not any more: it stops trying and shows the sign-in.
NOT_SIGNED_IN = 4401
#: Between two looks for something to tell, seconds.
SEND_EVERY_S = 0.1
#: Between two looks for what became of commands, seconds.
COMMAND_POLL_EVERY_S = 0.2
#: At most so long nothing is told, seconds.
TICK_EVERY_S = 2.0
#: How often the page has to show that it is there, seconds.
HEARTBEAT_S = 20.0
#: How long a page may take to say goodbye, seconds.
CLOSE_S = 2.0
#: Largest message from a page (bytes).
MESSAGE_BYTES_MAX = 64 * 1024
#: Messages that can't be understood and are told of at a time, at most (count).
ERRORS_MAX = 10
#: What became of commands, what is new in the view, and what is wrong with Redis.
_ViewUpdate = tuple[list[bytes], list[bytes], str]


async def reject(request: web.Request) -> web.WebSocketResponse:
    """Tells a page that it is not signed in. A script can't read the status of a handshake that was refused."""
    socket = web.WebSocketResponse(timeout=CLOSE_S)
    await socket.prepare(request)
    await socket.close(code=NOT_SIGNED_IN, message=b"not signed in")
    return socket


class PageSocket:
    """Talks with one page."""

    def __init__(self, views: ViewFactory, clock: Clock, until_s: int, *, greeting: bytes) -> None:
        """Does not talk yet.

        Args:
            views: Makes what the page wants to look at.
            clock: Of this machine.
            until_s: Until when the page is signed in, Unix seconds; 0 for without an end.
            greeting: What is told first.
        """
        self._views = views
        self._feed = views.feed
        self._clock = clock
        self._until_s = until_s
        self._greeting = greeting
        self._socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_BYTES_MAX, timeout=CLOSE_S, compress=True
        )
        self._wake = asyncio.Event()
        self._tracker = CommandTracker(views.redis, clock)
        self._view: View | None = None
        self._errors: list[bytes] = []
        self._ticked_s, self._sent_redis_error = -TICK_EVERY_S, ""

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Talks until one of both has enough."""
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
        """The server stops."""
        await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the console stops")

    # ---- what the page says --------------------------------------------------------------------------------------

    def _receive(self, data: object) -> None:
        try:
            message = _parse_message(data)
            if "follow" in message:
                self._track_command(message)
            else:
                self._view = self._views.make(message)
                self._feed.subscribe(self._wake, with_ended=self._view.with_ended)
        except BadMessageError as error:
            self._errors.append(encode_message("error", reason=str(error)))
            del self._errors[ERRORS_MAX:]
        self._wake.set()

    def _track_command(self, message: dict[str, Any]) -> None:
        command_id = message["follow"]
        if not isinstance(command_id, str) or not NAME_PATTERN.fullmatch(command_id):
            raise BadMessageError("follow: must be a command's id")
        type_ = message.get("type", "")
        self._tracker.add(command_id, type_[:32] if isinstance(type_, str) else "")

    # ---- what it is told -----------------------------------------------------------------------------------------

    async def _send_changes(self) -> None:
        """Tells what is new until the page is gone or its time is up."""
        try:
            await self._send(self._greeting)
            while not self._is_over():
                self._wake.clear()
                started_s = self._clock.monotonic_s()
                redis_error = await self._send_new()
                await self._send_tick_if_due(redis_error or self._feed.redis_error)
                await self._wait_for_changes(started_s)
            await self._socket.close(code=NOT_SIGNED_IN, message=b"signed in for too long")
        except ConnectionError:
            return  # the page is gone: whoever listens to it learns it too

    async def _send_new(self) -> str:
        """Tells what is new; returns what is wrong with Redis."""
        errors, self._errors = self._errors, []
        for message in errors:
            await self._send(message)
        view = self._view
        answers, changes, redis_error = await self._tick_while(self._read(view))
        for message in answers:
            await self._send(message)
        for message in changes:
            if view is not self._view:
                break  # the page looks at something else by now
            await self._send(message)
        return redis_error

    async def _read(self, view: View | None) -> _ViewUpdate:
        answers: list[bytes] = []
        try:
            answers = await self._tracker.new_messages()
            return answers, await view.new_messages() if view is not None else [], ""
        except StoreError as error:
            return answers, [], str(error)

    async def _tick_while(self, reading: Coroutine[Any, Any, _ViewUpdate]) -> _ViewUpdate:
        """What was read. A Redis that hangs lets many pages wait one after another: none may be silent meanwhile."""
        read = asyncio.get_running_loop().create_task(reading)
        try:
            while not (await asyncio.wait({read}, timeout=self._until_tick_s()))[0]:
                await self._send_tick_if_due(self._feed.redis_error)
            return read.result()
        finally:
            if read.cancel():
                await asyncio.wait({read})

    async def _send_tick_if_due(self, redis_error: str) -> None:
        """The time, and up to when what is shown is true; when it has not been told just now."""
        if redis_error == self._sent_redis_error and self._until_tick_s() > 0:
            return
        self._ticked_s, self._sent_redis_error = self._clock.monotonic_s(), redis_error
        await self._send(self._tick(redis_error))

    def _until_tick_s(self) -> float:
        return max(0.0, self._ticked_s + TICK_EVERY_S - self._clock.monotonic_s())

    def _tick(self, redis_error: str) -> bytes:
        as_of_ms = self._feed.as_of_ms
        return encode_message(
            "tick", now=to_iso(self._feed.now_ms()), as_of=to_iso(as_of_ms) if as_of_ms else None, trouble=redis_error
        )

    def _is_over(self) -> bool:
        if self._socket.closed:
            return True
        return bool(self._until_s) and self._clock.wall_ms() >= self._until_s * 1000

    async def _wait_for_changes(self, started_s: float) -> None:
        """Waits for something new, and in any case so long that a page is told so often and no more."""
        await asyncio.sleep(max(0.0, started_s + SEND_EVERY_S - self._clock.monotonic_s()))
        try:
            async with asyncio.timeout(COMMAND_POLL_EVERY_S if self._tracker else TICK_EVERY_S / 2):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _send(self, message: bytes) -> None:
        """Returns when the socket has taken it."""
        await self._socket.send_frame(message, WSMsgType.TEXT)


def _parse_message(data: object) -> dict[str, Any]:
    try:
        message = orjson.loads(data) if isinstance(data, str) else None
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict):
        raise BadMessageError("a message must be a JSON object")
    return message
