"""Monitoring: `/healthz`, `/metrics`, and what `/readyz` checks."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.server import SharedResult, run_server
from conferral.storage.config import read_warnings
from conferral.storage.connection.client import store_errors
from conferral.worker.core import WorkerCore
from conferral.worker.executor.request_limiter import RequestLimiter
from conferral.worker.ownership import Ownership

#: How long open requests may take after the process has stopped, seconds.
SHUTDOWN_S = 1.0
#: Returns lines about the worker's state.
Lines = Callable[[], Awaitable[list[str]]]


async def find_warnings(core: WorkerCore) -> list[str]:
    """Return what else a person must change in Redis, one line each."""
    try:
        return [*(await read_warnings(core.client, core.keys)).values()]
    except StoreError:
        return []  # `find_problems` reports it


async def find_problems(core: WorkerCore, ownership: Ownership, limiter: RequestLimiter) -> list[str]:
    """Return why the worker is not ready, one line each; empty if it is."""
    problems = []
    try:
        with store_errors():
            # With a write: a server that answers PING may refuse writes.
            await core.client.set(core.keys.probe, core.clock.wall_ms())
    except StoreError as error:
        problems.append(f"redis: {error.state}")
    else:
        if core.schema.problem:
            problems.append(core.schema.problem)
        problems += ownership.problems
    if limiter.problem:
        problems.append(limiter.problem)
    return problems


async def serve_monitoring(
    stop: asyncio.Event, host: str, port: int, metrics: Metrics, problems: Lines, warnings: Lines
) -> None:
    """Serve `/healthz` (no Redis), `/readyz`, and `/metrics` until the stop.

    `problems` make the worker unready; `warnings` are only shown. Raises SettingsError if the port is taken.
    """

    async def render_metrics() -> bytes:
        return metrics.exposition()

    # Anyone may poll as often as they like, so concurrent requests share one result.
    shared_problems, shared_warnings = SharedResult(problems), SharedResult(warnings)
    shared_metrics = SharedResult(render_metrics)

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_request: web.Request) -> web.Response:
        found = await shared_problems()
        body = {"ready": not found, "missing": found, "warnings": await shared_warnings()}
        return web.json_response(body, status=503 if found else 200)

    async def exposition(_request: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=await shared_metrics(), headers=headers)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", exposition)])
    async with run_server(app, host, port, metrics=metrics, shutdown_s=SHUTDOWN_S):
        await stop.wait()
