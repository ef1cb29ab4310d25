"""Serves the application until it is asked to stop, then finishes what it has begun."""

import asyncio
import gc

import structlog
from aiohttp import web

from conferral.runtime.errors import SettingsError
from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.server import PortUnavailableError, port_unavailable, run_server

log = structlog.get_logger()

#: Requests under way are given twice this at the stop: aiohttp waits for each handler, tells it that it is cancelled,
#: and waits again. The process has 10 s in all, and our slowest answer takes 3.7 s.
_SHUTDOWN_S = 4.0
#: How long a body that was refused is still taken in, so that the sender reads the answer before the connection ends.
_LINGER_S = 1.0
#: How often garbage is collected, seconds. What was there at the start is left out, so it takes a few milliseconds.
_COLLECT_EVERY_S = 1.0


async def serve(app: web.Application, host: str, port: int, stop: asyncio.Event, metrics: Metrics | None = None) -> int:
    """Listens until `stop` is set.

    The stop closes the port first, then idle connections; requests under way are answered. What the application was
    given (Redis, Twilio) stays open until this returns.

    Args:
        app: What to serve.
        host: Address to listen on.
        port: Port to listen on.
        stop: Set when the process shall end.
        metrics: Where malformed requests are counted.

    Returns:
        0 after a stop that was asked for.

    Raises:
        SettingsError: the port is taken.
    """
    try:
        async with run_server(
            app, host, port, metrics=metrics, shutdown_s=_SHUTDOWN_S, lingering_time=_LINGER_S, auto_decompress=False
        ):
            log.info("webhooks_listening", host=host, port=port)
            while not stop.is_set():
                # A request that can't be parsed leaves its bytes in a circle of references: eight megabytes, if it has
                # as many. Those are few objects, by whose count the process would collect far too late.
                gc.collect()
                await pause(stop, _COLLECT_EVERY_S)
    except PortUnavailableError as error:
        raise SettingsError((port_unavailable(host, port, error),)) from None
    log.info("webhooks_stopped", host=host, port=port)
    return 0
