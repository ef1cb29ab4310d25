"""HTTP server of the console, with graceful shutdown."""

import asyncio

import structlog
from aiohttp import web

from conferral.runtime.errors import SettingsError
from conferral.runtime.web.server import PortUnavailableError, port_unavailable, run_server

log = structlog.get_logger()

#: Pending requests get twice this time at shutdown, after WebSockets have closed. The process has 10 s in all.
_SHUTDOWN_S = 3.0


async def serve(
    app: web.Application, host: str, port: int, stop: asyncio.Event, *, on_open: "asyncio.Event | None" = None
) -> None:
    """Serve until `stop` is set, then close all connections.

    Args:
        app: The application.
        host: Address to listen on.
        port: Port to listen on.
        stop: Set to shut down.
        on_open: Set once the server accepts connections.

    Raises:
        SettingsError: the port is unavailable.
    """
    try:
        async with run_server(app, host, port, shutdown_s=_SHUTDOWN_S):
            log.info("console_started", host=host, port=port)
            if on_open is not None:
                on_open.set()
            await stop.wait()
    except PortUnavailableError as error:  # another process took the port after the check
        raise SettingsError((port_unavailable(host, port, error),)) from None
    log.info("console_stopped", host=host, port=port)
