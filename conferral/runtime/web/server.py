"""HTTP servers: client timeouts, request logs, shared results, monitoring.

aiohttp's own logger quotes lines that it can't parse, with tokens or phone numbers. Ours only counts them.
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from conferral.runtime.clock import SystemClock
from conferral.runtime.containment import ItemKind, log_unexpected
from conferral.runtime.errors import SettingsError
from conferral.runtime.log import LogRateLimit
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.guard import (
    Connections,
    Guard,
    Refuse,
    as_response,
    reporting_requests,
)
from conferral.runtime.web.pages import without_target_host

log = structlog.get_logger()

#: How long an idle connection stays open after an answer, seconds.
KEEPALIVE_S = 75.0
#: Connections that wait to be accepted, count; the system may allow fewer.
BACKLOG = 1024
#: Minimum interval between two log lines about malformed requests, seconds; each line has their count.
MALFORMED_LOG_EVERY_S = 60.0
#: The header of this name, without the versions that aiohttp adds.
_SERVER = "conferral"
#: What listening raises: the last two for a host name that can't be encoded, such as `a..b`.
LISTEN_ERRORS = (OSError, UnicodeError, TypeError)


def port_unavailable(host: str, port: int, error: Exception) -> SettingsError:
    """Return the error for a host or port that a server can't listen on."""
    reason = _reason_of(error).lower() if isinstance(error, OSError) else "not a host name"
    if not isinstance(error, OSError) or isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        problem = f"can't listen on {host or 'an empty host'} ({reason}); choose one of this machine's addresses"
        return SettingsError((f"{problem} with --host, for example 127.0.0.1",))
    return SettingsError((f"port {port} on {host} is unavailable ({reason}); choose another with --port",))


def _reason_of(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or type(error).__name__
    return os.strerror(error.errno)  # asyncio's own text repeats the address


@asynccontextmanager
async def run_server(
    app: web.Application,
    host: str,
    port: int,
    *,
    shutdown_s: float,
    metrics: Metrics | None = None,
    refuse: Refuse = as_response,
    **options: Any,
) -> AsyncIterator[int]:
    """Serve an application inside the block; yield the port (any if 0).

    `refuse` answers requests without a route, by default as aiohttp does. Leaving the block closes the port, then idle
    connections. Open requests have twice `shutdown_s` to be answered. Raises SettingsError if the port is taken, or
    needs privileges.
    """
    metrics = metrics or Metrics()
    options = {
        "access_log": None,  # it would contain query strings; the metrics count requests
        "keepalive_timeout": KEEPALIVE_S,
        "logger": _ServerLog(metrics),
        **options,
    }
    if not app.frozen:
        app.on_response_prepare.append(_name_server)
    # A handler outlives its client: an event that was read is stored even if no one waits for the answer.
    runner = web.AppRunner(app, shutdown_timeout=shutdown_s, handler_cancellation=False, **options)
    await runner.setup()
    make_protocol = runner.server
    assert make_protocol is not None
    # Not a middleware: aiohttp then sets the current application for each request, too.
    make_protocol.request_factory = without_target_host(make_protocol.request_factory)
    make_protocol.request_handler = reporting_requests(make_protocol.request_handler, refuse)
    connections = Connections(metrics)
    loop = asyncio.get_running_loop()
    try:
        try:
            server = await loop.create_server(
                lambda: Guard(_Protocol(make_protocol, loop=loop, **options), connections),
                host,
                port,
                backlog=BACKLOG,
                reuse_address=True,
            )
        except LISTEN_ERRORS as error:
            raise port_unavailable(host, port, error) from None
        checks = loop.create_task(connections.check())
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            checks.cancel()
            server.close()
    finally:
        await runner.cleanup()


class _Protocol(web.RequestHandler):
    """aiohttp's, whose errors quote up to 100 bytes of a request."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Return the answer to a malformed request, or to a mistake of ours."""
        response = super().handle_error(request, status, exc, f"{status}\n" if message else None)
        response.headers[hdrs.SERVER] = _SERVER
        return response


async def _name_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = _SERVER


async def close_in_time(
    socket: web.WebSocketResponse,
    transport: asyncio.Transport | None,
    timeout_s: float,
    *,
    code: int,
    message: bytes = b"",
) -> None:
    """Close a socket; after the timeout, close its connection.

    aiohttp would wait without limit for a peer that no longer reads, such as a suspended laptop.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await socket.close(code=code, message=message)
    except TimeoutError:
        if transport is not None:
            transport.abort()


class _ServerLog(logging.Logger):
    """Receives aiohttp's log, and shows no texts: they quote requests."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__("aiohttp.server", logging.DEBUG)  # some malformed requests are logged at this level
        self._metrics = metrics
        self._limit = LogRateLimit(SystemClock().monotonic_s)

    def handle(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, ConnectionResetError):
            return  # the client has left before its request was complete, or its answer
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            self._count_malformed()
        elif error is not None:
            log_unexpected(ItemKind.WEBHOOK, self._metrics, error)
        elif record.levelno >= logging.WARNING:
            log.warning("library_logged", library=record.name, where=f"{record.filename}:{record.lineno}")

    def _count_malformed(self) -> None:
        self._metrics.malformed_requests.inc()
        if count := self._limit.count("malformed", MALFORMED_LOG_EVERY_S):
            log.warning("requests_malformed", count=count)


T = TypeVar("T")

#: How long a result is shared by default, seconds.
RESULT_TTL_S = 1.0


class SharedResult(Generic[T]):
    """Loads a result once for all who wait, and again once it is stale.

    An error reaches those who wait for it, and is not kept.
    """

    def __init__(self, load: Callable[[], Awaitable[T]], ttl_s: float | None = None) -> None:
        self._load = load
        self._ttl_s = ttl_s
        self._task: asyncio.Task[T] | None = None
        self._stale_at_s = 0.0

    async def __call__(self) -> T:
        """Return the running load's result, or the last one while it is fresh."""
        now_s = asyncio.get_running_loop().time()
        task = self._task
        if task is None or (task.done() and now_s >= self._stale_at_s):
            self._stale_at_s = now_s + (RESULT_TTL_S if self._ttl_s is None else self._ttl_s)
            task = self._task = asyncio.ensure_future(self._load())
            task.add_done_callback(self._drop_error)
        return await asyncio.shield(task)

    def _drop_error(self, task: asyncio.Task[T]) -> None:
        if task.cancelled() or task.exception() is not None:  # its callers have the error, or are gone
            self._stale_at_s = 0.0


#: Returns lines about the process's state.
Lines = Callable[[], Awaitable[list[str]]]


def monitoring_handlers(metrics: Metrics, problems: Lines, warnings: Lines) -> dict[str, Handler]:
    """Return the handlers of `/healthz`, `/readyz`, and `/metrics`, by path.

    `problems` make the process unready; `warnings` are only shown. Anyone may poll as often as they like, so concurrent
    requests share results; the caller shares those of `problems`.
    """

    async def render() -> bytes:
        return metrics.exposition()

    shared_metrics, shared_warnings = SharedResult(render), SharedResult(warnings)

    async def alive(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")  # a restart would not fix Redis

    async def ready(_request: web.Request) -> web.Response:
        found = await problems()
        body = {"ready": not found, "missing": found, "warnings": await shared_warnings()}
        return web.json_response(body, status=503 if found else 200)

    async def show_metrics(_request: web.Request) -> web.Response:
        # Source: Prometheus docs, exposition formats.
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=await shared_metrics(), headers=headers)

    return {"/healthz": alive, "/readyz": ready, "/metrics": show_metrics}
