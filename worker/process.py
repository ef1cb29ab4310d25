"""The worker process: runs its parts, shuts them down, and is monitored."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import chain

import structlog
from aiohttp import web

from conferral.runtime.containment import run_with_restarts
from conferral.runtime.errors import SettingsError, StoreError
from conferral.runtime.lifecycle import run_until_stopped, wait_at_most
from conferral.runtime.log import count_outages, log_unreachable, recent_refusal
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.web.server import Lines, SharedResult, monitoring_handlers, run_server
from conferral.statemachine.policy import Policy
from conferral.statemachine.states import State
from conferral.storage import config, outcome_queue, retention
from conferral.storage.agreed_config import AgreedConfig
from conferral.storage.connection.client import as_store_errors
from conferral.storage.queries import process_registry
from conferral.telephony.directory import Directory, DirectoryFile, load_directory
from conferral.worker.core import WorkerCore
from conferral.worker.executor.request_limiter import PROBLEMS, BreakerReason, RequestLimiter
from conferral.worker.ownership import Ownership
from conferral.worker.wiring import Environment, WorkerParts

log = structlog.get_logger()

#: Maximum duration of a shutdown, seconds; docs/operating.md promises 10 s.
STOP_S = 8.5
#: Part of `STOP_S` reserved for releasing the leases.
RELEASE_S = 1.5
CONFIG_CHECK_EVERY_S = 1.0
GAUGES_EVERY_S = 5.0
WARN_EVERY_S = 60.0
#: Beyond the longest message, for the greeting and for late callbacks, milliseconds.
VOICEMAIL_SLACK_MS = 60_000
#: Why a worker that Twilio refuses owns nothing.
REFUSED = PROBLEMS[BreakerReason.CREDENTIALS]
#: How long open requests may take after the process has stopped, seconds.
SHUTDOWN_S = 1.0


def make_policy(settings: ServiceSettings, directory: Directory | None = None) -> Policy:
    """Return the policy; raise SettingsError for a bad directory or fallback."""
    directory = directory or load_directory(settings)
    return Policy(
        ring_timeout_ms=settings.ring_timeout_s * 1000,
        own_number=settings.number,
        convert_timeout_ms=round(settings.convert_timeout_s * 1000),
        lone_grace_ms=round(settings.lone_grace_s * 1000),
        park_timeout_ms=round(settings.park_timeout_s * 1000),
        hold_limit_ms=round(settings.hold_limit_s * 1000),
        fallback=directory.transfer_fallback,
        voicemail_timeout_ms=1000 * settings.voicemail_limit_s + VOICEMAIL_SLACK_MS,
        shows_customer_number=settings.transfer_caller_id == "customer",
        confirm_phones=settings.confirm == "phones",
        record=settings.record,
    )


class Worker:
    """One worker process."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        directory: DirectoryFile | None = None,
        environment: Environment | None = None,
    ) -> None:
        self._settings = settings
        self.metrics = Metrics()
        environment = environment or Environment()
        self._directory = directory or DirectoryFile(settings)
        self._policy = environment.policy or make_policy(settings, self._directory.current)
        self._parts = WorkerParts(settings, environment, self.metrics, self._directory, self.current_policy)
        self._core, self.executor, self.ownership = self._parts.core, self._parts.executor, self._parts.ownership
        self.name, self._clock = self._core.name, self._core.clock
        self._process = process_registry.Process(self.name, "worker", version("conferral"))
        self._config = AgreedConfig(self._core.client, settings.prefix, settings.partitions, settings.account_sid)
        #: Why the worker has not started; empty once it has.
        self._start_problem = "redis: not reached yet"

    async def run(self, stop: asyncio.Event, monitoring_port: int | None = None, host: str = "127.0.0.1") -> int:
        """Run until the process is asked to stop; return the exit code.

        Raises SettingsError if Redis has another partition count, account, or schema, or may evict live calls.
        """
        count_outages(self.metrics)
        parts = self._parts
        monitoring = self._monitor(stop, monitoring_port, host)
        try:
            await self._wait_until_ready(stop)
            if self._start_problem:
                return await run_until_stopped(stop, monitoring)
            stopping = asyncio.create_task(self._stop_deadline_s(stop))
            log.info("worker_started", holder=self.name, count=self._core.keys.partitions)
            work: dict[str, Callable[[], Awaitable[None]]] = {
                "leases": lambda: parts.ownership.run(stop),
                "router": lambda: parts.router.run(stop),
                "config": lambda: self.maintain_redis(stop),
                "credentials": lambda: parts.credentials.run(stop),
                "own_numbers": lambda: parts.read_own_numbers(stop),
                "sweep": lambda: parts.sweeper.run(stop),
                "queue": lambda: parts.offerer.run(stop),
                "gauges": lambda: self.update_gauges(stop, parts),
            }
            if parts.outcomes is not None:
                work["outcomes"] = partial(parts.outcomes.run, stop)
            tasks: dict[str, Awaitable[None]] = {
                name: run_with_restarts(stop, name, action, self.metrics, passing=(SettingsError,))
                for name, action in work.items()
            }
            try:
                return await run_until_stopped(stop, tasks | monitoring)
            finally:
                stop_by_s = await stopping
                await self._drain(stop_by_s)
        finally:
            stop.set()
            await asyncio.gather(*monitoring.values(), return_exceptions=True)
            await parts.connections.aclose()

    def _monitor(self, stop: asyncio.Event, port: int | None, host: str) -> dict[str, Awaitable[None]]:
        """Start the monitoring server, before Redis answers; its end sets `stop`."""
        if port is None:
            return {}
        serving = asyncio.create_task(serve_monitoring(stop, host, port, self.metrics, self.problems, self.warnings))
        serving.add_done_callback(lambda _task: stop.set())
        return {"monitoring": serving}

    async def problems(self) -> list[str]:
        """Return why the worker is not ready, one line each; empty if it is."""
        if self._start_problem:
            return [self._start_problem]
        return await find_problems(self._core, self.ownership, self.executor.limiter)

    async def warnings(self) -> list[str]:
        """Return what else a person must change, one line each."""
        if self._start_problem:
            return []
        try:
            found = [*(await config.read_warnings(self._core.client, self._core.keys)).values()]
            problem = await outcome_queue.read_problem(self._core.client, self._core.keys)
        except StoreError:
            return []  # `problems` has it
        return [*found, *filter(None, [problem, self._config.contradiction])]

    async def _wait_until_ready(self, stop: asyncio.Event) -> None:
        """Wait for our configuration in Redis and for Twilio, or the stop."""
        while self._start_problem and not stop.is_set():
            try:
                await config.check_eviction_policy(self._core.client)
                await self._config.store_or_compare()
                await self._parts.credentials.probe_at_start()
                self._start_problem = ""
            except StoreError as error:  # even one that no retry cures, such as NOPERM: someone may cure it
                log_unreachable(error, task="start")
                self._start_problem = f"redis: {error.state}"
                await wait_at_most(stop, CONFIG_CHECK_EVERY_S)

    def current_policy(self) -> Policy:
        """Return the policy with the fallback of the current directory."""
        return replace(self._policy, fallback=self._directory.current.transfer_fallback)

    async def _drain(self, stop_by_s: float) -> None:
        left_s = stop_by_s - self._clock.monotonic_s()
        is_drained = asyncio.Event()
        handing_over = asyncio.ensure_future(self.ownership.drain(is_drained))
        await self.executor.drain(left_s - RELEASE_S)
        is_drained.set()
        try:
            async with asyncio.timeout(max(RELEASE_S, stop_by_s - self._clock.monotonic_s())):
                await handing_over
                await self.ownership.leave()
                await process_registry.deregister(self._core.client, self._core.keys, self.name)
        except (StoreError, TimeoutError) as error:
            log_unreachable(error, task="stop")
        log.info("worker_stopped", holder=self.name)

    async def _stop_deadline_s(self, stop: asyncio.Event) -> float:
        await stop.wait()
        return self._clock.monotonic_s() + STOP_S

    async def maintain_redis(self, stop: asyncio.Event) -> None:
        """Register, check Redis, and trim streams, until the stop."""
        client, keys = self._core.client, self._core.keys
        trimmed_s, warned_s = self._clock.monotonic_s(), float("-inf")
        while not stop.is_set():
            try:
                # Operator commands need the partition count, even if Redis was emptied.
                await self._config.store_or_compare()
                process = replace(self._process, stats=process_registry.stats_of(self.metrics))
                await process_registry.register(client, keys, process)
                if self._clock.monotonic_s() - warned_s >= WARN_EVERY_S:
                    warned_s = self._clock.monotonic_s()
                    await self._check_redis()
                if self._clock.monotonic_s() - trimmed_s >= retention.TRIM_EVERY_S:
                    trimmed_s = self._clock.monotonic_s()
                    await retention.trim(
                        client,
                        keys,
                        self._core.store_clock.now_ms(),
                        self._clock.wall_ms(),
                        outcomes_ttl_s=self._settings.outcomes_ttl_s,
                        dead_letters_ttl_s=self._settings.outcomes_ttl_s,  # one setting for both
                        session_ttl_s=self._settings.session_ttl_s,
                    )
                    await outcome_queue.forget_trimmed(client, keys)
            except StoreError as error:
                log_unreachable(error, task="config")
            await wait_at_most(stop, CONFIG_CHECK_EVERY_S)

    async def _check_redis(self) -> None:
        """Log and count the states of Redis that a person must change."""
        found = await config.read_warnings(self._core.client, self._core.keys)
        for kind in config.WARNING_KINDS:
            self.metrics.redis_warnings.labels(kind).set(kind in found)
        for text in found.values():
            log.error("redis_warning", reason=text)

    async def update_gauges(self, stop: asyncio.Event, parts: WorkerParts) -> None:
        """Set the gauges of what this worker holds, until the stop."""
        partitions = parts.ownership.partitions
        while not stop.is_set():
            counts = Counter(chain.from_iterable(one.states.values() for one in partitions.values()))
            for state in State:
                if state is not State.ENDED:
                    self.metrics.sessions.labels(state.value).set(counts[state.value])
            self.metrics.partition_lag.clear()
            for number, partition in partitions.items():
                self.metrics.partition_lag.labels(str(number)).set(partition.lease.waiting)
            self.metrics.sending_allowed.set(parts.ownership.held.is_sending_allowed)
            await wait_at_most(stop, GAUGES_EVERY_S)


async def find_problems(core: WorkerCore, ownership: Ownership, limiter: RequestLimiter) -> list[str]:
    """Return why the worker is not ready, one line each; empty if it is."""
    problems = []
    try:
        with as_store_errors():
            # With a write: a server that answers PING may refuse writes.
            await core.client.set(core.keys.probe, core.clock.wall_ms())
    except StoreError as error:
        problems.append(f"redis: {error.state}")
    else:
        if state := recent_refusal():  # the probe is a single command; its user may lack another
            problems.append(f"redis: {state}")
        problems += ownership.problems
    if problem := REFUSED if core.is_refused else limiter.problem:
        problems.append(problem)
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
