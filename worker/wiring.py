"""Wires one worker's parts, from the settings and the environment."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from twilio.rest import Client

from conferral.outcomes.delivery import OutcomeDelivery
from conferral.outcomes.sender import OutcomeSender
from conferral.runtime.clock import Clock, StoreClock, SystemClock
from conferral.runtime.lifecycle import process_name
from conferral.runtime.log import unreplicated_writes
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.effects import Effect
from conferral.statemachine.policy import Policy
from conferral.storage.call_index import CallIndex
from conferral.storage.connection import client as redis_client
from conferral.storage.connection.primary import primary_of
from conferral.storage.connection.url import Topology
from conferral.storage.coordinator import OUTCOMES, QUEUE, ROUTER, SWEEP, TASKS, WORKER_LIFETIME_MS
from conferral.storage.dial_limits import DialLimits
from conferral.storage.keys import Keys
from conferral.storage.outcome_queue import OutcomeQueue
from conferral.storage.partition.commit_store import CommitStore
from conferral.storage.partition.partition_store import PartitionStore
from conferral.telephony.account_lists import AccountListReader
from conferral.telephony.addresses import AllowList
from conferral.telephony.callback_urls import CallbackUrls
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.fallbacks import AddressRules
from conferral.telephony.http_client import PooledHttpClient, http_client
from conferral.telephony.parameters import CallSetup
from conferral.telephony.twilio_api import TwilioApi
from conferral.telephony.twilio_queries import twilio_now_ms
from conferral.telephony.twilio_requests import rest_client
from conferral.telephony.twiml import TwimlBuilder
from conferral.worker.core import WorkerCore, no_checkpoint
from conferral.worker.credentials import CredentialsWatch, probe_credentials
from conferral.worker.executor.execution import ExecutionContext
from conferral.worker.executor.executor import Executor
from conferral.worker.executor.outbox import OutboxWriter
from conferral.worker.held_partitions import LIFETIME_MAX_S, HeldPartitions
from conferral.worker.ownership import Ownership
from conferral.worker.partition.partition import Partition
from conferral.worker.queue.offerer import Offerer
from conferral.worker.routing.addresses import CallerIdChecker, CommandAddresses
from conferral.worker.routing.admission import CommandAdmission
from conferral.worker.routing.router import CommandRouter
from conferral.worker.sweep.diff import route_of_own_bridge
from conferral.worker.sweep.sweeper import Sweeper, SweepTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Everything a worker takes from the outside world."""

    name: Callable[[], str] = process_name
    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.Random)
    redis: Callable[..., redis_client.Client] = redis_client.make_client
    http: Callable[..., PooledHttpClient] = http_client
    lifetime_ms: int = WORKER_LIFETIME_MS
    #: By default, from the settings.
    policy: Policy | None = None
    #: Let tests end the process between steps of a batch, and around an effect's request.
    checkpoint: Callable[[str, int], Awaitable[None]] = no_checkpoint
    effect_checkpoint: Callable[[str, Effect], Awaitable[None]] = no_checkpoint


class WorkerParts:
    """The components of one worker, connected to each other."""

    def __init__(
        self,
        settings: ServiceSettings,
        environment: Environment,
        metrics: Metrics,
        directory: DirectoryFile,
        policy: Callable[[], Policy],
    ) -> None:
        self._settings, self._environment, self._directory = settings, environment, directory
        url, partitions, clock = settings.redis_url, settings.partitions, environment.clock
        delivery, keys = OutcomeDelivery.of(settings, clock), Keys(settings.prefix, partitions)
        primary = primary_of(url, settings.prefix)
        primary.replication.on_unreplicated = unreplicated_writes(metrics)
        client = environment.redis(url, primary, max_connections=256)
        reserved = environment.redis(url, primary, max_connections=2 * partitions + 32)
        blocking = environment.redis(url, primary, blocking=True, max_connections=partitions + 8)
        reads = redis_client.BlockingReads(blocking)
        limits = DialLimits(keys, settings.dials_per_session, settings.dials_per_minute)
        index = CallIndex(keys, settings.session_ttl_s)
        self._http = environment.http(settings, clock=clock, metrics=metrics)
        self.core = core = WorkerCore(
            client=client,
            reserved=reserved,
            keys=keys,
            name=environment.name(),
            clock=clock,
            store_clock=StoreClock(clock),
            metrics=metrics,
            call_index=index,
            partition_store=PartitionStore(client, reads, keys, call_index=index, dial_limits=limits),
            commit_store=CommitStore(
                reserved, keys, call_index=index, outcomes_kept=settings.outcomes_kept, metrics=metrics
            ),
            policy=policy,
            lifetime_s=environment.lifetime_ms / 1000,
            tasks=TASKS if delivery is not None else (ROUTER, SWEEP, QUEUE),
            twilio_now_ms=self._http.twilio_clock.now_ms,
            people=lambda: directory.current.agents.keys(),
            checkpoint=environment.checkpoint,
        )
        #: To Redis and Twilio. Each connects when it is first used; all are closed, even if closing one fails.
        self.connections = AsyncExitStack()
        for close in (client.aclose, blocking.aclose, reserved.aclose, self._http.close):
            self.connections.push_async_callback(close)
        rest, names = rest_client(settings, self._http), ConferenceNames.of(settings)
        lists = AccountListReader(rest, own_numbers=self._own_numbers, metrics=metrics)
        # A worker that is cut off with the former primary must stop in time, however slow that one has become.
        lifetime_max_s = LIFETIME_MAX_S if primary.topology is Topology.SERVER else core.lifetime_s
        held: HeldPartitions[Partition] = HeldPartitions(clock, core.lifetime_s, lifetime_max_s)
        self.executor = self._make_executor(make_twilio_api(settings, self._http, directory.allowed), held)
        self.ownership = Ownership(core, held, self.executor)
        self.read_own_numbers = partial(directory.own_numbers.run, client=rest)
        self.credentials = CredentialsWatch(core, partial(probe_credentials, rest, settings))
        self._http.add_observer(self.executor.limiter.observe)
        self._http.add_observer(self.credentials.note_answer)
        self.sweeper = self._make_sweeper(lists, names)
        admission = CommandAdmission(core, self._make_addresses(rest), names, limits)
        self.router = CommandRouter(core, reads, admission, partial(self.ownership.owns, ROUTER))
        self.offerer = Offerer(core, limits, partial(self.ownership.owns, QUEUE))
        self.outcomes: OutcomeSender | None = None
        if delivery is not None:
            self.outcomes = self._make_outcome_sender(reads, delivery, environment.rng)

    def _make_outcome_sender(
        self, reads: redis_client.BlockingReads, delivery: OutcomeDelivery, rng: random.Random
    ) -> OutcomeSender:
        core = self.core
        return OutcomeSender(
            OutcomeQueue(core.client, core.keys),
            partial(reads.read, core.keys.outcomes, redis_client.CHUNK),
            delivery.post,
            clock=core.clock,
            store_clock=core.store_clock,
            metrics=core.metrics,
            rng=rng,
            owns_outcomes=partial(self.ownership.owns, OUTCOMES),
        )

    def _own_numbers(self) -> tuple[str, ...]:
        return self._directory.own_numbers.configured

    def _make_addresses(self, rest: Client) -> CommandAddresses:
        directory, urls = self._directory, self._settings.return_urls
        return CommandAddresses(
            lambda: AddressRules(directory.current.destinations, directory.allowed, urls),
            CallerIdChecker(rest, self._own_numbers, self.core.clock),
        )

    def _make_sweeper(self, lists: AccountListReader, names: ConferenceNames) -> Sweeper:
        core, directory, settings = self.core, self._directory, self._settings
        return Sweeper(
            core,
            account_lists=lists,
            names=names,
            times=SweepTimes.for_interval(settings.sweep_interval_s),
            owns_sweep=partial(self.ownership.owns, SWEEP),
            twilio_now_ms=core.twilio_now_ms,
            route_of_own_bridge=route_of_own_bridge(lambda called: directory.current.inbound(called), settings.number),
            route_of=lambda called: directory.current.inbound(called),
        )

    def _make_executor(self, twilio: TwilioApi, held: HeldPartitions[Partition]) -> Executor:
        core = self.core
        account_sid, by_token = self._settings.account_sid, rest_client(self._settings, self._http, by_token=True)
        outbox = OutboxWriter(core.partition_store, core.commit_store, core.keys, held, core.store_clock.now_ms)
        context = ExecutionContext(
            core=core,
            twilio=twilio,
            outbox=outbox,
            held=held,
            fetch_twilio_now_ms=partial(twilio_now_ms, self._http.twilio_clock, by_token, account_sid),
            rng=self._environment.rng,
            checkpoint=self._environment.effect_checkpoint,
        )
        return Executor(context)


def make_twilio_api(settings: ServiceSettings, http: PooledHttpClient, allowed: AllowList) -> TwilioApi:
    """Return the Twilio client for effects."""
    urls, documents = CallbackUrls(settings.public_url), TwimlBuilder.of(settings)
    setup = CallSetup(urls, documents, own_number=settings.number, allowed=allowed)
    return TwilioApi(rest_client(settings, http), setup)
