"""Whether the process lives, whether it can work, and what it has counted."""

import asyncio

from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.sharing import Shared
from conferral.storage.ingest import Ingest
from conferral.storage.levels import Level
from conferral.storage.trouble import NO_ANSWER

#: Source: Prometheus docs, exposition formats.
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
_READY_DEADLINE_S = 2.0


class HealthRoutes:
    """Answers `/healthz`, `/readyz` and `/metrics`; nobody has to sign for them."""

    def __init__(self, ingest: Ingest, metrics: Metrics, level: Level) -> None:
        self._ingest = ingest
        self._metrics = metrics
        self._level = level
        # Anyone may ask, as often as they like: Redis and the metrics are asked once a second for all of them.
        self._trouble = Shared(self._asked)
        self._exposition = Shared(self._exposed)

    async def alive(self, _request: web.Request) -> web.Response:
        """The process answers. Redis is not asked: restarting us would not mend it."""
        return web.Response(text="ok\n")

    async def ready(self, _request: web.Request) -> web.Response:
        """Whether callbacks can be stored; when not, names what is missing."""
        trouble = await self._trouble()
        missing = [f"redis: {trouble}"] if trouble else []
        if self._level.problem:
            missing.append(self._level.problem)
        return web.json_response({"ready": not missing, "missing": missing}, status=503 if missing else 200)

    async def metrics(self, _request: web.Request) -> web.Response:
        """The counts, as Prometheus reads them."""
        return web.Response(body=await self._exposition(), headers={"Content-Type": _EXPOSITION})

    async def _asked(self) -> str:
        try:
            async with asyncio.timeout(_READY_DEADLINE_S):
                return await self._ingest.trouble()
        except (StoreError, TimeoutError):
            return NO_ANSWER

    async def _exposed(self) -> bytes:
        return self._metrics.exposition()
