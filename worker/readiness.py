"""Monitoring: `/healthz`, `/metrics`, and what `/readyz` checks."""

import asyncio

from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.server import Lines, SharedResult, monitoring_handlers, run_server
from conferral.storage.connection.client import store_errors
from conferral.storage.queries.redis_warnings import read_warnings
from conferral.worker.core import WorkerCore
from conferral.worker.executor.request_limiter import RequestLimiter
from conferral.worker.ownership import Ownership

#: How long open requests may take after the process has stopped, seconds.
SHUTDOWN_S = 1.0


async def find_warnings(core: WorkerCore) -> list[str]:
    """Return what else a person must change in Redis, one line each."""
    try:
        return [one.text for one in await read_warnings(core.client, core.keys)]
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
    """Serve `monitoring_handlers` until the stop.

    Raises SettingsError if the port is taken.
    """
    app = web.Application()
    for path, handler in monitoring_handlers(metrics, SharedResult(problems), warnings).items():
        app.router.add_get(path, handler)
    async with run_server(app, host, port, metrics=metrics, shutdown_s=SHUTDOWN_S):
        await stop.wait()
