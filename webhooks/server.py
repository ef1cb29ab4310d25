"""The webhooks server: serves until stopped, then finishes requests."""

import asyncio
import gc

import structlog
from aiohttp import web

from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.server import run_server

log = structlog.get_logger()

#: Time from SIGTERM to the end of the last request, seconds; the process has 10 s in total.
_STOP_S = 9.0
#: Open requests get twice this time at a stop, seconds: aiohttp waits for each handler, cancels it, and waits again.
#: Our slowest answer takes 3.7 s.
_SHUTDOWN_MAX_S = 4.0
#: How long to keep reading a refused body, seconds, so that the sender reads the answer before the connection closes.
_LINGER_S = 1.0
#: Interval of garbage collection, seconds. Objects from the start are frozen, so it takes less than a millisecond.
_COLLECT_EVERY_S = 1.0


async def serve(
    app: web.Application,
    host: str,
    port: int,
    stop: asyncio.Event,
    metrics: Metrics | None = None,
    *,
    drain_s: float = 0.0,
) -> None:
    """Serve until `stop` is set; raise SettingsError if the port is taken.

    The application's dependencies (Redis, Twilio) must stay open until this returns.

    Args:
        drain_s: How long the process serves after SIGTERM, before `stop` is set.
    """
    shutdown_s = min(_SHUTDOWN_MAX_S, (_STOP_S - drain_s) / 2)
    async with run_server(
        app, host, port, metrics=metrics, shutdown_s=shutdown_s, lingering_time=_LINGER_S, auto_decompress=False
    ):
        log.info("webhooks_listening", host=host, port=port)
        gc.freeze()  # the application and its modules, which were loaded after the process's own freeze
        while not stop.is_set():
            # A request that can't be parsed leaves its bytes in a reference cycle, up to eight megabytes. Those are few
            # objects, so the collector's object count would trigger far too late.
            gc.collect()
            await pause(stop, _COLLECT_EVERY_S)
    log.info("webhooks_stopped", host=host, port=port)
