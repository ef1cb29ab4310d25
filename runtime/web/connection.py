"""HTTP connections: a deadline for request heads, and direct answers.

aiohttp spends two tasks, five turns of the event loop, and a dozen objects on a request. A direct answer needs none:
the connection runs the handler's coroutine itself. aiohttp answers all unusual requests. `make bench` measures it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from conferral.runtime.web.complete_post import CompletePost, parse_complete_post
from conferral.runtime.web.json_requests import ERRORS_PAGE, RequestError

#: Time to send a request's head, seconds: from connecting, or on a kept-alive connection from its first byte.
HEAD_DEADLINE_S = 10.0
#: Answers a request; of its headers, only `Content-Type` is sent. It runs outside of any task, so it may await futures,
#: but not `asyncio.timeout`.
DirectHandler = Callable[[CompletePost], Coroutine[Any, Any, web.Response]]
#: An application's direct handlers, by path. Each path also has an ordinary handler with the same answers.
DIRECT_HANDLERS = web.AppKey("direct_handlers", dict[str, DirectHandler])


class Connection(web.RequestHandler):
    """A connection that closes if the head of a request takes too long."""

    __slots__ = ("_head_timer",)

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the deadline of the first request's head."""
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(HEAD_DEADLINE_S, self._on_head_timeout)

    def data_received(self, data: bytes) -> None:
        """Let aiohttp parse; stop the deadline at a complete head."""
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:  # the head is complete
            self._stop_timer()
        elif self._head_timer is None and self._awaits_head:
            self._head_timer = self._loop.call_later(HEAD_DEADLINE_S, self._on_head_timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the deadline's timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a malformed request in JSON; aiohttp's text would quote it."""
        answer = super().handle_error(request, status, exc, message)
        if status != HTTPStatus.BAD_REQUEST:
            return answer
        return _malformed("the request is malformed, or its first line or a header is too long")

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; aiohttp's text for an unknown `Expect` quotes it."""
        if isinstance(resp, web.HTTPExpectationFailed):
            resp = _malformed("the header Expect must be 100-continue")
        return await super().finish_response(request, resp, start_time)

    @property
    def _awaits_head(self) -> bool:
        """Whether aiohttp waits for a request, rather than answering one."""
        return self._waiter is not None and not self._waiter.done()

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._awaits_head:
            self.force_close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _malformed(reason: str) -> web.Response:
    answer = RequestError("malformed", reason).response(docs=f"{ERRORS_PAGE}#malformed")
    answer.force_close()
    return answer


class DirectConnection(Connection):
    """A connection that answers some requests itself while aiohttp has none."""

    __slots__ = ("_answering", "_early", "_finished_count", "_handlers", "_is_between_requests")

    def __init__(self, manager: web.Server, *, handlers: dict[str, DirectHandler], **options: Any) -> None:
        super().__init__(manager, **options)
        self._handlers = handlers
        self._answering: Coroutine[Any, Any, web.Response] | None = None
        #: What arrived during the direct answer.
        self._early = b""
        #: Requests that aiohttp has answered; `_request_count` are those that it has parsed.
        self._finished_count = 0
        #: Whether each read so far was one whole request; after one that was not, only aiohttp knows where one begins.
        self._is_between_requests = True

    def data_received(self, data: bytes) -> None:
        """Answer a usual request directly; give aiohttp all others."""
        if not data:  # aiohttp looks for a request in what it has kept
            super().data_received(data)
            return
        if self._answering is not None:
            self._early += data
            if self.transport is not None:
                self.transport.pause_reading()
            return
        request = parse_complete_post(data) if self._is_between_requests else None
        if request is None:
            self._is_between_requests = False
        elif (handler := self._handlers.get(request.path)) is not None and self._is_idle:
            self._begin(handler(request))
            return
        super().data_received(data)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109  # aiohttp's signature
        """Wait for the running answer, then close; see aiohttp."""
        await super().shutdown(timeout)
        if self._answering is not None:
            self._answering.close()
            self._end(None)

    @property
    def _is_idle(self) -> bool:
        """Whether aiohttp has answered all requests, and the client reads."""
        return self._finished_count == self._request_count and not (self._paused or self._close or self._force_close)

    @property
    def _awaits_head(self) -> bool:
        return self._answering is None and super()._awaits_head

    async def _handle_request(self, *arguments: Any) -> Any:
        try:
            return await super()._handle_request(*arguments)
        finally:
            self._finished_count += 1  # aiohttp's part is done, even if the handler failed

    def _process_keepalive(self) -> None:
        """Let aiohttp close an idle connection, except during a direct answer."""
        self._keepalive_handle = None
        if self._answering is None:
            super()._process_keepalive()

    def _begin(self, answering: Coroutine[Any, Any, web.Response]) -> None:
        """Run a direct handler, with aiohttp's bookkeeping."""
        self._stop_timer()
        assert self._manager is not None
        self._manager.requests_count += 1
        self._request_in_progress = True
        self._answering = answering
        self._step()

    def _step(self, _awaited: "asyncio.Future[Any] | None" = None) -> None:
        """Run the handler until it awaits something or returns."""
        answering = self._answering
        if answering is None:  # closed by the shutdown
            return
        awaited, response = None, None
        try:
            awaited = answering.send(None)
        except StopIteration as end:
            response = end.value
        finally:
            if awaited is None:
                self._end(response)
        if awaited is not None:
            # As a task does: a future marks itself while it is awaited.
            awaited._asyncio_future_blocking = False  # noqa: SLF001
            awaited.add_done_callback(self._step)

    def _end(self, response: web.Response | None) -> None:
        """Write the answer, then do what aiohttp does; without one, close."""
        self._answering = None
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if response is not None and self.transport is not None:
            body, kind = response.body or b"", response.headers.get("Content-Type")
            assert isinstance(body, bytes)  # neither a file nor a stream
            self.transport.write(_encode_head(response.status, kind, len(body), rfc822_formatted_time()) + body)
        if response is None or self._close or self._force_close:
            self.force_close()
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        if self._early and self.transport is not None:
            early, self._early = self._early, b""
            self.transport.resume_reading()
            self.data_received(early)


@lru_cache(maxsize=64)  # the same for a second
def _encode_head(status: int, kind: str | None, length: int, date: str) -> bytes:
    lines = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n" + (f"Content-Type: {kind}\r\n" if kind else "")
    lines += "" if status == HTTPStatus.NO_CONTENT else f"Content-Length: {length}\r\n"
    return f"{lines}Date: {date}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n".encode()
