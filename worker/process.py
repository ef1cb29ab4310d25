"""The worker process: wires its parts together, runs them, and shuts them down."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version

import structlog

from conferral.runtime.clock import StoreClock
from conferral.runtime.containment import run_with_restarts
from conferral.runtime.errors import SettingsError, StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import pause, run_until_stopped
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import count_outages, log_unreachable
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.effects import Dial, Effect
from conferral.statemachine.policy import Policy
from conferral.statemachine.states import State
from conferral.storage import config, retention
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.partition.dial_claims import DialClaims
from conferral.storage.partition.lease import LEASE_MS
from conferral.storage.partition.partition_store import PartitionStore
from conferral.storage.partition.session_store import SessionStore
from conferral.storage.queries import process_registry
from conferral.storage.queries.process_stats import stats_of
from conferral.storage.schema import SchemaVersion
from conferral.telephony.account_lists import AccountListReader
from conferral.telephony.addresses import AllowList
from conferral.telephony.callback_urls import CallbackUrls
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.directory.model import Directory, DirectoryFile, load_directory
from conferral.telephony.http_client import PooledHttpClient, rest_client
from conferral.telephony.lost_conferences import LostConferences
from conferral.telephony.parameters.dial import CallSetup
from conferral.telephony.twilio_api import TwilioApi
from conferral.telephony.twiml import TwimlBuilder
from conferral.worker.assignment.assignment import PartitionAssigner
from conferral.worker.consumer.session_cache import SESSIONS_MAX
from conferral.worker.consumer.timers import fire_timers
from conferral.worker.consumer.worker_context import WorkerContext
from conferral.worker.environment import Environment
from conferral.worker.executor.dial_rate import DialRateLimiter
from conferral.worker.executor.executor import Executor, ExecutorPolicy, no_checkpoint
from conferral.worker.executor.outbox import OutboxWriter
from conferral.worker.executor.request_shares import RequestShares, Usage
from conferral.worker.monitoring_server import serve_monitoring
from conferral.worker.readiness import PartitionCoverage, Readiness
from conferral.worker.router.caller_ids import CallerIdChecker
from conferral.worker.router.command_router import CommandRouter
from conferral.worker.sweep.session_recovery import SessionRecovery
from conferral.worker.sweep.store import SweepStore
from conferral.worker.sweep.sweeper import Sweeper, SweepTimes

log = structlog.get_logger()

#: Maximum duration of a shutdown, seconds from the signal; the contract allows 10 s.
STOP_S = 8.5
#: Part of `STOP_S` reserved for releasing the leases, seconds.
RELEASE_S = 1.5
#: Interval at which the worker verifies the partition count in Redis, seconds.
CONFIG_CHECK_EVERY_S = 1.0
#: Interval between gauge updates, seconds.
GAUGES_EVERY_S = 2.0

Checkpoint = Callable[[str, int], Awaitable[None]]
EffectCheckpoint = Callable[[str, Effect], Awaitable[None]]


def make_policy(settings: ServiceSettings, directory: Directory | None = None) -> Policy:
    """Return the timeouts and choices that drive sessions, from the settings.

    Args:
        settings: The process's settings.
        directory: The people and destinations; loaded from the settings if omitted.

    Raises:
        SettingsError: The directory is invalid, or the transfer fallback is missing from it or may not be dialed.
    """
    directory = directory or load_directory(settings)
    return Policy(
        ring_timeout_ms=settings.ring_timeout_s * 1000,
        convert_timeout_ms=round(settings.convert_timeout_s * 1000),
        lone_grace_ms=round(settings.lone_grace_s * 1000),
        park_timeout_ms=round(settings.park_timeout_s * 1000),
        fallback=directory.fallback,
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
        metrics: Metrics | None = None,
        directory: DirectoryFile | None = None,
        lease_ms: int = LEASE_MS,
        sessions_max: int = SESSIONS_MAX,
        policy: Policy | None = None,
        checkpoint: Checkpoint = no_checkpoint,
        effect_checkpoint: EffectCheckpoint = no_checkpoint,
        environment: Environment | None = None,
    ) -> None:
        self._settings = settings
        self.metrics = metrics or Metrics()
        self._environment = environment or Environment()
        self.name = self._environment.name()
        self._lease_ms = lease_ms
        self._sessions_max = sessions_max
        self._directory = directory or DirectoryFile(settings)
        self._policy = policy or make_policy(settings, self._directory.current)
        self._checkpoint = checkpoint
        self._effect_checkpoint = effect_checkpoint
        self._clock = self._environment.clock
        self._store_clock = StoreClock(self._clock)
        self._stop_by_s = 0.0
        self._executor_policy = ExecutorPolicy()
        #: Schema version at which this worker writes, as last read from Redis.
        self.schema = SchemaVersion(self._environment.schema_version)
        self._process = process_registry.Process(self.name, "worker", self.schema.supported, version("conferral"))
        self.executor: Executor | None = None
        self.assigner: PartitionAssigner | None = None
        self.readiness: Readiness | None = None

    async def run(self, stop: asyncio.Event, monitoring_port: int | None = None, host: str = "127.0.0.1") -> int:
        """Run until the process is asked to stop; return the exit code.

        Args:
            stop: Set when the process must stop.
            monitoring_port: Port for `/healthz`, `/readyz`, and `/metrics`; None serves none of them.
            host: Address to bind the monitoring port to.

        Raises:
            SettingsError: Redis was set up with another partition count, or its eviction policy may evict live calls.
        """
        settings = self._settings
        client = self._environment.redis(settings.redis_url, max_connections=256)
        blocking = self._environment.redis(settings.redis_url, blocking=True, max_connections=settings.partitions + 8)
        # A separate pool, so commits and leases never wait for a connection, however many outcomes are being written.
        reserved = self._environment.redis(settings.redis_url, max_connections=2 * settings.partitions + 32)
        http = self._environment.http(settings, clock=self._clock, metrics=self.metrics)
        try:
            keys = await self._wait_for_config(client, stop)
            if keys is None:
                return 0
            partition_store = PartitionStore(client, blocking, keys, outcomes_kept=settings.outcomes_kept)
            call_ttl_s = max(settings.session_ttl_s, settings.replay_window_s)
            dial_claims = DialClaims(client, keys, session_ttl_s=call_ttl_s)
            assigner = self.assigner = PartitionAssigner(
                reserved, keys, self.name, self._clock, self._store_clock, self.metrics, self._lease_ms, self.schema
            )
            allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
            outbox = OutboxWriter(partition_store, dial_claims, keys, assigner.consumers, assigner.now_ms)
            shares = self._request_shares(reserved, keys)
            api = make_twilio_api(settings, http, allowed)
            executor = self.executor = self._executor(api, outbox, assigner, self._dial_permits(dial_claims), shares)
            session_store = SessionStore(reserved, keys, session_ttl_s=settings.session_ttl_s)
            reader = self._account_reader(http)
            lost = self._session_recovery(client, keys, http, reader)
            context = self._worker_context(partition_store, session_store, executor, lost, call_ttl_s)
            http.observe(executor.adaptive_limit.observe)
            coverage = PartitionCoverage(client, keys, self._clock, self._store_clock, self.metrics, self._lease_ms)
            self.readiness = Readiness(
                client, keys, assigner.consumers, coverage, executor.adaptive_limit, self.schema, self._clock
            )
            stopping = asyncio.create_task(self._set_stop_deadline(stop))
            count_outages(self.metrics)
            log.info("worker_started", holder=self.name, count=keys.partitions)
            tasks = self._with_restarts(stop, {
                "leases": lambda: assigner.run(stop, context, executor),
                "timers": lambda: fire_timers(stop, assigner, self._clock, self.metrics),
                "router": partial(self._router(client, blocking, keys, allowed, http).run, stop),
                "heartbeat": lambda: assigner.membership.heartbeat(stop),
                "rebalance_channel": lambda: assigner.membership.listen(stop),
                "config": lambda: self._maintain_config(stop, client, keys),
                "sweep": partial(self._sweeper(client, keys, reader).run, stop),
                "lost_sessions": lambda: lost.run(stop),
                "gauges": lambda: self._update_gauges(stop, partition_store, assigner, coverage),
                "request_shares": lambda: shares.run(stop),
            })  # fmt: skip
            if monitoring_port is not None:
                tasks["monitoring"] = serve_monitoring(
                    stop, host, monitoring_port, self.metrics, self.readiness.problems
                )
            try:
                return await run_until_stopped(stop, tasks)
            finally:
                await stopping
                await self._drain(client, keys, assigner, executor, shares)
        finally:
            await http.close()
            await client.aclose()
            await blocking.aclose()
            await reserved.aclose()

    def _worker_context(
        self,
        partition_store: PartitionStore,
        session_store: SessionStore,
        executor: Executor,
        lost: SessionRecovery,
        call_ttl_s: int,
    ) -> WorkerContext:
        return WorkerContext(
            partition_store=partition_store,
            session_store=session_store,
            executor=executor,
            clock=self._clock,
            metrics=self.metrics,
            policy=self._current_policy,
            session_ttl_s=call_ttl_s,
            sessions_max=max(1, self._sessions_max // self._settings.partitions),
            checkpoint=self._checkpoint,
            on_committed=lost.record_unknown,
        )

    def _with_restarts(
        self, stop: asyncio.Event, tasks: dict[str, Callable[[], Awaitable[None]]]
    ) -> dict[str, Awaitable[None]]:
        """Wrap each long-lived task so that it restarts after an error, except after a `SettingsError`."""
        return {
            name: run_with_restarts(stop, name, work, self.metrics, passing=(SettingsError,))
            for name, work in tasks.items()
        }

    async def _wait_for_config(self, client: Client, stop: asyncio.Event) -> Keys | None:
        """Wait until Redis is reachable; return None if the stop came first."""
        while not stop.is_set():
            try:
                await config.check_eviction_policy(client)
                return (await self._ensure_config(client)).keys
            except StoreUnreachableError as error:
                log_unreachable(error, task="start")
                await pause(stop, CONFIG_CHECK_EVERY_S)
        return None

    async def _ensure_config(self, client: Client) -> config.Config:
        settings = self._settings
        # If Redis was emptied, write the last known schema version: older processes may still be running.
        config_found = await config.ensure(
            client, settings.prefix, settings.partitions, schema_version=self.schema.writes_at
        )
        was_too_new, self.schema.written = self.schema.is_too_new, config_found.schema_version
        if self.schema.is_too_new and not was_too_new:
            log.error("schema_too_new", reason=self.schema.problem)
        return config_found

    def _current_policy(self) -> Policy:
        """Return the policy with the directory's current fallback; the directory may have been reloaded."""
        fallback = self._directory.current.fallback
        if fallback != self._policy.fallback:
            self._policy = replace(self._policy, fallback=fallback)
        return self._policy

    def _router(
        self, client: Client, blocking: Client, keys: Keys, allowed: AllowList, http: PooledHttpClient
    ) -> CommandRouter:
        return CommandRouter(
            client,
            blocking,
            keys,
            self.name,
            self._clock,
            self.metrics,
            schema=self.schema,
            allowed=allowed,
            names=lambda: self._directory.current.destinations,
            conference_names=ConferenceNames.of(self._settings),
            caller_ids=CallerIdChecker(rest_client(self._settings, http), self._own_numbers, self._clock),
        )

    def _own_numbers(self) -> set[str]:
        return {self._settings.number, *self._directory.current.numbers}

    def _account_reader(self, http: PooledHttpClient) -> AccountListReader:
        return AccountListReader(
            rest_client(self._settings, http),
            own_numbers=self._own_numbers,
            rng=self._environment.rng,
            metrics=self.metrics,
        )

    def _session_recovery(
        self, client: Client, keys: Keys, http: PooledHttpClient, reader: AccountListReader
    ) -> SessionRecovery:
        return SessionRecovery(
            finder=LostConferences(rest_client(self._settings, http), reader, self._own_numbers),
            store=SweepStore(client, keys),
            session_of=ConferenceNames.of(self._settings).session_of,
            clock=self._clock,
            metrics=self.metrics,
        )

    def _sweeper(self, client: Client, keys: Keys, reader: AccountListReader) -> Sweeper:
        return Sweeper(
            client,
            keys,
            self.name,
            account_lists=reader,
            names=ConferenceNames.of(self._settings),
            clock=self._clock,
            store_clock=self._store_clock,
            metrics=self.metrics,
            times=SweepTimes.for_interval(self._settings.sweep_interval_s),
            schema=self.schema,
            lease_ms=self._lease_ms,
        )

    def _executor(
        self,
        twilio: TwilioApi,
        outbox: OutboxWriter,
        assigner: PartitionAssigner,
        acquire_dial_permit: Callable[[Dial], Awaitable[None]] | None,
        shares: RequestShares,
    ) -> Executor:
        return Executor(
            twilio=twilio,
            outbox=outbox,
            may_send=assigner.may_send,
            clock=self._clock,
            now_ms=assigner.now_ms,
            metrics=self.metrics,
            policy=self._executor_policy,
            rng=self._environment.rng,
            checkpoint=self._effect_checkpoint,
            acquire_dial_permit=acquire_dial_permit,
            share=lambda: shares.current,
            is_ours=assigner.is_ours,
        )

    def _request_shares(self, client: Client, keys: Keys) -> RequestShares:
        def usage() -> Usage:
            assert self.executor is not None
            return self.executor.limiter

        budget = self._executor_policy.budget
        return RequestShares(client, keys.request_shares, self.name, self._clock, budget, usage=usage)

    def _dial_permits(self, dial_claims: DialClaims) -> Callable[[Dial], Awaitable[None]] | None:
        """Return how a dial waits for its permit, or None if no dial rate is set; then no dial asks Redis."""
        per_second = self._settings.calls_per_second
        if not per_second:
            return None
        limiter = DialRateLimiter(lambda urgent: dial_claims.acquire_dial_permit(self.name, per_second, urgent=urgent))
        return lambda dial: limiter.acquire(urgent=dial.is_urgent)

    async def _drain(
        self, client: Client, keys: Keys, assigner: PartitionAssigner, executor: Executor, shares: RequestShares
    ) -> None:
        """Finish running jobs, then release their leases, so other workers need not wait for them to expire."""
        left_s = self._stop_by_s - self._clock.monotonic_s()
        is_drained = asyncio.Event()
        handing_over = asyncio.ensure_future(assigner.drain(is_drained, executor))
        (task,) = self._with_restarts(is_drained, {"request_shares": lambda: shares.run(is_drained)}).values()
        refreshing_shares = asyncio.ensure_future(task)
        await executor.drain(max(0.0, left_s - RELEASE_S))
        is_drained.set()
        try:
            async with asyncio.timeout(max(RELEASE_S, self._stop_by_s - self._clock.monotonic_s())):
                await handing_over
                await assigner.release()
                await refreshing_shares
                await shares.release()
                await process_registry.deregister(client, keys, self.name)
        except (StoreError, TimeoutError) as error:
            log_unreachable(error, task="stop")
        finally:
            refreshing_shares.cancel()
        log.info("worker_stopped", holder=self.name)

    async def _set_stop_deadline(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stop_by_s = self._clock.monotonic_s() + STOP_S

    async def _maintain_config(self, stop: asyncio.Event, client: Client, keys: Keys) -> None:
        trimmed_s = self._clock.monotonic_s()
        while not stop.is_set():
            try:
                # Operator commands need the partition count, even if Redis was emptied in the meantime.
                await self._ensure_config(client)
                await process_registry.register(client, keys, replace(self._process, stats=stats_of(self.metrics)))
                if self._clock.monotonic_s() - trimmed_s >= retention.TRIM_EVERY_S:
                    trimmed_s = self._clock.monotonic_s()
                    now_ms = self._store_clock.store_now_ms()
                    await retention.trim(client, keys, now_ms, self._settings.outcomes_ttl_s)
            except StoreError as error:
                log_unreachable(error, task="config")
            await pause(stop, CONFIG_CHECK_EVERY_S)

    async def _update_gauges(
        self,
        stop: asyncio.Event,
        partition_store: PartitionStore,
        assigner: PartitionAssigner,
        coverage: PartitionCoverage,
    ) -> None:
        labelled: set[int] = set()
        while not stop.is_set():
            states = [
                state for consumer in assigner.consumers.values() for state in consumer.session_gauge.states.values()
            ]
            for state in State:
                if state is not State.ENDED:
                    self.metrics.sessions.labels(state.value).set(states.count(state))
            for number in labelled - assigner.consumers.keys():
                self.metrics.partition_lag.remove(str(number))
            labelled &= assigner.consumers.keys()
            try:
                for number in list(assigner.consumers):
                    self.metrics.partition_lag.labels(str(number)).set(await partition_store.pending_count(number))
                    labelled.add(number)
                await coverage.refresh()
            except StoreError as error:
                log_unreachable(error, task="gauges")
            await pause(stop, GAUGES_EVERY_S)


def make_twilio_api(settings: ServiceSettings, http: PooledHttpClient, allowed: AllowList) -> TwilioApi:
    """Return the Twilio client for effects, configured from the settings."""
    urls, documents = CallbackUrls(settings.public_url), TwimlBuilder.of(settings)
    setup = CallSetup(urls, documents, own_number=settings.number, allowed=allowed)
    return TwilioApi(rest_client(settings, http), setup)
