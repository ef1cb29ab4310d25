"""HTTP server of every process: client timeouts, and request logging.

aiohttp's own logger quotes lines that it can't parse, with tokens or phone numbers. Ours only counts them.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from conferral.runtime.containment import ItemKind, log_unexpected
from conferral.runtime.errors import SettingsError
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.connection import DIRECT_HANDLERS, Connection, DirectConnection
from conferral.runtime.web.listener import Listener

log = structlog.get_logger()

#: How long an idle connection stays open after an answer, seconds.
KEEPALIVE_S = 75.0
#: Minimum interval between two log lines about malformed requests, seconds; each line has their count.
MALFORMED_LOG_EVERY_S = 60.0
#: What listening raises: the last two for a host name that can't be encoded, such as `a..b`.
LISTEN_ERRORS = (OSError, UnicodeError, TypeError)


def port_unavailable(host: str, port: int, error: Exception) -> SettingsError:
    """Return the error for a host or port that a server can't listen on."""
    reason = (error.strerror or type(error).__name__).lower() if isinstance(error, OSError) else "not a host name"
    if not isinstance(error, OSError) or isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        problem = f"can't listen on {host or 'an empty host'} ({reason}); choose one of this machine's addresses"
        return SettingsError((f"{problem} with --host, for example 127.0.0.1",))
    return SettingsError((f"port {port} on {host} is unavailable ({reason}); choose another with --port",))


@asynccontextmanager
async def run_server(
    app: web.Application, host: str, port: int, *, shutdown_s: float, metrics: Metrics | None = None, **options: Any
) -> AsyncIterator[int]:
    """Serve an application inside the block; yield the port (any if 0).

    Leaving the block closes the port, then idle connections. Open requests have twice `shutdown_s` to be answered.
    Raises SettingsError if the port is taken, or needs privileges.
    """
    # A handler outlives its client: an event that was read is stored even if no one waits for the answer.
    runner = web.AppRunner(app, shutdown_timeout=shutdown_s, handler_cancellation=False)
    await runner.setup()
    server, loop = runner.server, asyncio.get_running_loop()
    assert server is not None
    options = {
        "access_log": None,  # it would contain query strings; the metrics count requests
        "keepalive_timeout": KEEPALIVE_S,
        "logger": _ServerLog(metrics or Metrics()),
        **options,
    }
    make_connection: type[Connection] = Connection
    if DIRECT_HANDLERS in app:
        make_connection, options["handlers"] = DirectConnection, app[DIRECT_HANDLERS]
    try:
        try:
            listener = await Listener.open(lambda: make_connection(server, loop=loop, **options), host, port)
        except LISTEN_ERRORS as error:
            raise port_unavailable(host, port, error) from None
        try:
            yield listener.port
        finally:
            listener.close()
    finally:
        await runner.cleanup()


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
        self._count = 0
        self._logged_at_s: float | None = None

    def handle(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            self._count_malformed()
        elif error is not None:
            log_unexpected(ItemKind.WEBHOOK, self._metrics, error)
        elif record.levelno >= logging.WARNING:
            log.warning("library_logged", library=record.name, where=f"{record.filename}:{record.lineno}")

    def _count_malformed(self) -> None:
        self._metrics.malformed_requests.inc()
        self._count += 1
        now_s = asyncio.get_running_loop().time()
        if self._logged_at_s is None or now_s - self._logged_at_s >= MALFORMED_LOG_EVERY_S:
            log.warning("requests_malformed", count=self._count)
            self._logged_at_s, self._count = now_s, 0
