"""Serves the console until it is asked to stop."""

import asyncio

import structlog
from aiohttp import web

from conferral.runtime.errors import SettingsError
from conferral.runtime.web.server import PortUnavailableError, port_unavailable, run_server

log = structlog.get_logger()

#: Requests under way are given twice this at the stop; sockets are closed first. The process has 10 s in all.
_SHUTDOWN_S = 3.0


async def serve(
    app: web.Application, host: str, port: int, stop: asyncio.Event, *, on_open: "asyncio.Event | None" = None
) -> None:
    """Listens until `stop` is set, then lets everybody go.

    Args:
        app: What to serve.
        host: Address to listen on.
        port: Port to listen on.
        stop: Set when the process shall end.
        on_open: Set as soon as somebody can come in.

    Raises:
        SettingsError: the port can't be had.
    """
    try:
        async with run_server(app, host, port, shutdown_s=_SHUTDOWN_S):
            log.info("console_started", host=host, port=port)
            if on_open is not None:
                on_open.set()
            await stop.wait()
    except PortUnavailableError as error:  # another process has taken the port since it was checked
        raise SettingsError((port_unavailable(host, port, error),)) from None
    log.info("console_stopped", host=host, port=port)
