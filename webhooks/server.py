"""The webhooks' server: health, start and stop."""

import asyncio
import gc

import structlog
from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import Draining, pause
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.server import SharedResult, run_server
from conferral.storage.config import SchemaVersion
from conferral.storage.connection.errors import NO_ANSWER
from conferral.storage.ingest.writer import BatchingIngest
from conferral.webhooks.responses import store_timeout

#: Source: Prometheus docs, exposition formats.
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
_READY_DEADLINE_S = 2.0


class HealthRoutes:
    """Answers `/healthz`, `/readyz`, and `/metrics`, without a signature."""

    def __init__(
        self, ingest: BatchingIngest, metrics: Metrics, schema: SchemaVersion, draining: Draining | None = None
    ) -> None:
        self._ingest = ingest
        self._metrics = metrics
        self._schema = schema
        self._draining = draining
        # Anyone may poll as often as they like, so Redis and the metrics are read at most once a second.
        self._redis_error = SharedResult(self._read_redis_error)
        self._warnings = SharedResult(self._read_warnings)
        self._exposition = SharedResult(self._render)

    async def alive(self, _request: web.Request) -> web.Response:
        """Answer that the process runs; a restart would not fix Redis."""
        return web.Response(text="ok\n")

    async def ready(self, _request: web.Request) -> web.Response:
        """Return whether callbacks can be stored, with problems and warnings."""
        redis_error = await self._redis_error()
        missing = [f"redis: {redis_error}"] if redis_error else []
        if self._schema.problem:
            missing.append(self._schema.problem)
        if self._draining is not None and self._draining.has_begun:
            missing.append("draining")
        warnings = [] if redis_error else await self._warnings()
        body = {"ready": not missing, "missing": missing, "warnings": warnings}
        return web.json_response(body, status=503 if missing else 200)

    async def metrics(self, _request: web.Request) -> web.Response:
        """Return the metrics in Prometheus's format."""
        return web.Response(body=await self._exposition(), headers={"Content-Type": _EXPOSITION})

    async def _read_redis_error(self) -> str:
        """Return why callbacks can't be stored; empty if they can."""
        try:
            async with store_timeout(_READY_DEADLINE_S):
                return await self._ingest.redis_error()
        except StoreError:
            return NO_ANSWER

    async def _read_warnings(self) -> list[str]:
        """Return what else operators must change in Redis."""
        try:
            async with store_timeout(_READY_DEADLINE_S):
                return await self._ingest.redis_warnings()
        except StoreError:
            return []

    async def _render(self) -> bytes:
        return self._metrics.exposition()


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
