"""Wires one worker's parts, from the settings and the environment."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from conferral.runtime.clock import Clock, SystemClock
from conferral.runtime.lifecycle import process_name
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.effects import Effect
from conferral.statemachine.policy import Policy
from conferral.storage.config import SCHEMA_VERSION
from conferral.storage.connection.client import BlockingReads, Client, make_client
from conferral.storage.coordinator import LIFETIME_MS, OUTCOMES, ROUTER, SWEEP, acquire_dial_permit
from conferral.storage.dial_limits import DialLimits
from conferral.storage.partition.partition_store import PartitionStore
from conferral.storage.partition.session_store import SessionStore
from conferral.telephony.account_lists import AccountListReader
from conferral.telephony.addresses import AllowList
from conferral.telephony.callback_urls import CallbackUrls
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.fallbacks import FallbackRules
from conferral.telephony.http_client import PooledHttpClient, http_client, rest_client
from conferral.telephony.parameters import CallSetup
from conferral.telephony.twilio_api import TwilioApi
from conferral.telephony.twilio_queries import twilio_now_ms
from conferral.telephony.twiml import TwimlBuilder
from conferral.worker.core import WorkerContext, WorkerCore, no_checkpoint
from conferral.worker.credentials import CredentialsWatch, probe_credentials
from conferral.worker.executor.execution import ExecutionContext
from conferral.worker.executor.executor import Executor
from conferral.worker.executor.outbox import OutboxWriter
from conferral.worker.executor.request_limiter import AcquirePermit
from conferral.worker.outcomes.receiver import OutcomeReceiver
from conferral.worker.outcomes.sender import OutcomeSender
from conferral.worker.ownership import Ownership
from conferral.worker.router.addresses import CallerIdChecker
from conferral.worker.router.command_router import CommandRouter, CommandRules
from conferral.worker.sweep.orphans import route_of_own_dial
from conferral.worker.sweep.session_recovery import SessionRecovery
from conferral.worker.sweep.store import SweepStore
from conferral.worker.sweep.sweeper import Sweeper, SweepTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Everything a worker takes from the outside world."""

    name: Callable[[], str] = process_name
    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.Random)
    redis: Callable[..., Client] = make_client
    http: Callable[..., PooledHttpClient] = http_client
    #: Newest schema version supported; only tests of other releases set it.
    schema_version: int = SCHEMA_VERSION
    lifetime_ms: int = LIFETIME_MS
    #: By default, from the settings.
    policy: Policy | None = None
    #: Let tests end the process between steps of a batch, and around an effect's request.
    checkpoint: Callable[[str, int], Awaitable[None]] = no_checkpoint
    effect_checkpoint: Callable[[str, Effect], Awaitable[None]] = no_checkpoint


@dataclass(frozen=True, slots=True)
class Connections:
    """A worker's connections to Redis, Twilio, and the receiver of outcomes."""

    client: Client
    blocking: Client
    reserved: Client
    reads: BlockingReads
    http: PooledHttpClient
    receiver: OutcomeReceiver | None

    @classmethod
    def open(cls, settings: ServiceSettings, environment: Environment, metrics: Metrics) -> "Connections":
        """Create the clients; each connects when it is first used."""
        url, partitions = settings.redis_url, settings.partitions
        client = environment.redis(url, max_connections=256)
        blocking = environment.redis(url, blocking=True, max_connections=partitions + 8)
        reserved = environment.redis(url, max_connections=2 * partitions + 32)
        return cls(
            client,
            blocking,
            reserved,
            BlockingReads(blocking),
            environment.http(settings, clock=environment.clock, metrics=metrics),
            OutcomeReceiver.of(settings, environment.clock),
        )

    async def close(self) -> None:
        """Close all, even if one of them fails."""
        async with AsyncExitStack() as closing:
            for client in (self.client, self.blocking, self.reserved):
                closing.push_async_callback(client.aclose)
            closing.push_async_callback(self.http.close)
            if self.receiver is not None:
                closing.push_async_callback(self.receiver.close)


class WorkerParts:
    """The components of one worker, connected to each other."""

    def __init__(
        self,
        settings: ServiceSettings,
        environment: Environment,
        connections: Connections,
        core: WorkerCore,
        directory: DirectoryFile,
        policy: Callable[[], Policy],
    ) -> None:
        self._settings, self._environment, self.core, self._directory = settings, environment, core, directory
        client, keys, clock = core.client, core.keys, core.clock
        call_ttl_s = max(settings.session_ttl_s, settings.replay_window_s)
        limits = DialLimits(client, keys, settings.dials_per_session, settings.dials_per_minute)
        self.partition_store = PartitionStore(
            client,
            connections.reads,
            keys,
            call_ttl_s=call_ttl_s,
            outcomes_kept=settings.outcomes_kept,
            dial_limits=limits,
        )
        self.ownership = Ownership(core)
        allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
        by_token = rest_client(settings, connections.http, by_token=True)
        self._fetch_now_ms = partial(twilio_now_ms, connections.http.twilio_clock, by_token, settings.account_sid)
        twilio = make_twilio_api(settings, connections.http, allowed)
        self.executor = self._make_executor(twilio)
        rest, names = rest_client(settings, connections.http), ConferenceNames.of(settings)
        self.credentials = CredentialsWatch(core, partial(probe_credentials, rest, settings))
        connections.http.observe(self.executor.limiter.observe)
        connections.http.observe(self.credentials.observe)
        lists = AccountListReader(rest, own_numbers=self._own_numbers, metrics=core.metrics)
        self.session_recovery = SessionRecovery(
            core,
            finder=lists,
            store=SweepStore(client, keys, core.metrics),
            session_of=names.session_of,
        )
        self.sweeper = Sweeper(
            core,
            account_lists=lists,
            names=names,
            times=SweepTimes.for_interval(settings.sweep_interval_s),
            owns_sweep=partial(self.ownership.owns, SWEEP),
            twilio_now_ms=connections.http.twilio_clock.now_ms,
            route_of_own_dial=route_of_own_dial(lambda called: directory.current.inbound(called), settings.number),
        )
        rules = CommandRules(
            destinations=lambda: FallbackRules(directory.current.destinations, allowed, settings.return_urls),
            conference_names=names,
            caller_ids=CallerIdChecker(rest, self._own_numbers, clock),
            dial_limits=limits,
        )
        self.router = CommandRouter(core, connections.reads, rules, partial(self.ownership.owns, ROUTER))
        self.outcomes: OutcomeSender | None = None
        if connections.receiver is not None:
            owns_outcomes = partial(self.ownership.owns, OUTCOMES)
            self.outcomes = OutcomeSender(core, connections.receiver.post, environment.rng, owns_outcomes)
        self.context = WorkerContext(
            core=core,
            partition_store=self.partition_store,
            session_store=SessionStore(core.reserved, keys, session_ttl_s=settings.session_ttl_s),
            executor=self.executor,
            policy=policy,
            checkpoint=environment.checkpoint,
            twilio_now_ms=connections.http.twilio_clock.now_ms,
            on_committed=self.session_recovery.queue_searches,
        )

    def _own_numbers(self) -> tuple[str, ...]:
        return (self._settings.number, *self._directory.current.numbers)

    def _make_executor(self, twilio: TwilioApi) -> Executor:
        core, ownership, now_ms = self.core, self.ownership, self.core.store_clock.now_ms
        context = ExecutionContext(
            twilio=twilio,
            outbox=OutboxWriter(self.partition_store, core.keys, ownership.consumers, core.store_clock.now_ms),
            wait_to_send=ownership.wait_to_send,
            clock=core.clock,
            now_ms=now_ms,
            fetch_twilio_now_ms=self._fetch_now_ms,
            metrics=core.metrics,
            rng=self._environment.rng,
            checkpoint=self._environment.effect_checkpoint,
            worker_count=lambda: ownership.live_workers,
            may_send=ownership.may_send,
        )
        acquire_permit: AcquirePermit | None = None
        if per_second := self._settings.calls_per_second:

            async def acquire_permit(urgent: bool) -> float:
                name = f"{core.name}:{'urgent' if urgent else 'patient'}"
                return await acquire_dial_permit(core.client, core.keys, name, per_second, urgent=urgent)

        return Executor(context, acquire_permit)


def make_twilio_api(settings: ServiceSettings, http: PooledHttpClient, allowed: AllowList) -> TwilioApi:
    """Return the Twilio client for effects."""
    urls, documents = CallbackUrls(settings.public_url), TwimlBuilder.of(settings)
    setup = CallSetup(urls, documents, own_number=settings.number, allowed=allowed)
    return TwilioApi(rest_client(settings, http), setup)
