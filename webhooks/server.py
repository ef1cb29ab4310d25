"""The webhooks' server: health, start and stop."""

import asyncio
import gc

import structlog
from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import Draining, wait_at_most
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.server import SharedResult, run_server
from conferral.storage.agreed_config import AgreedConfig
from conferral.storage.connection.errors import NO_ANSWER
from conferral.storage.webhook_store.store import WebhookStore
from conferral.webhooks.api.app import refuse_unmatched
from conferral.webhooks.responses import store_timeout

READY_DEADLINE_S = 2.0


class Health:
    """What `/readyz` says of the webhooks."""

    def __init__(self, store: WebhookStore, agreed: AgreedConfig | None, draining: Draining | None = None) -> None:
        self._store = store
        self._agreed = agreed
        self._draining = draining
        self._redis_error = SharedResult(self._read_redis_error)

    async def problems(self) -> list[str]:
        """Return why callbacks can't be stored, one line each; empty if they can."""
        redis_error = await self._redis_error()
        found = [f"redis: {redis_error}"] if redis_error else []
        if self._draining is not None and self._draining.has_begun:
            found.append("draining")
        return found

    async def warnings(self) -> list[str]:
        """Return what may lose calls or results, though Redis takes writes."""
        found = [self._agreed.contradiction] if self._agreed and self._agreed.contradiction else []
        if await self._redis_error():
            return found
        try:
            async with store_timeout(READY_DEADLINE_S):
                return [*found, *await self._store.warnings()]
        except StoreError:
            return found

    async def _read_redis_error(self) -> str:
        try:
            async with store_timeout(READY_DEADLINE_S):
                return await self._store.redis_error()
        except StoreError:
            return NO_ANSWER


log = structlog.get_logger()

#: Time from SIGTERM to the end of the last request, seconds; the process has 10 s in total.
_STOP_S = 9.0
#: Open requests get twice this time at a stop, seconds: aiohttp waits for each handler, cancels it, and waits again.
#: Our slowest answer takes 5 s: of a callback that waits for a replica.
SHUTDOWN_MAX_S = 4.0
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
    shutdown_s = min(SHUTDOWN_MAX_S, (_STOP_S - drain_s) / 2)
    async with run_server(
        app,
        host,
        port,
        metrics=metrics,
        shutdown_s=shutdown_s,
        refuse=refuse_unmatched,
        lingering_time=_LINGER_S,
        auto_decompress=False,
    ):
        log.info("webhooks_listening", host=host, port=port)
        gc.freeze()  # the application and its modules live as long as the process
        while not stop.is_set():
            # A request that can't be parsed leaves its bytes in a reference cycle, up to eight megabytes. Those are few
            # objects, so the collector's object count would trigger far too late.
            gc.collect()
            await wait_at_most(stop, _COLLECT_EVERY_S)
    log.info("webhooks_stopped", host=host, port=port)
