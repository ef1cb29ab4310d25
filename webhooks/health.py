"""Health and metrics of the webhooks: `/healthz`, `/readyz`, `/metrics`."""

from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import Draining
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.shared_result import SharedResult
from conferral.storage.connection.errors import NO_ANSWER
from conferral.storage.ingest.port import Ingest
from conferral.storage.schema import SchemaVersion
from conferral.webhooks.responses import store_timeout

#: Source: Prometheus docs, exposition formats.
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
_READY_DEADLINE_S = 2.0


class HealthRoutes:
    """Answers `/healthz`, `/readyz`, and `/metrics`, without a signature."""

    def __init__(
        self, ingest: Ingest, metrics: Metrics, schema: SchemaVersion, draining: Draining | None = None
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
