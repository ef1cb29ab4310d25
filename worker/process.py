"""The worker process: everything above wired together, its signs of life, and its order of stopping."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version

import structlog

from conferral.runtime.clock import StoreClock
from conferral.runtime.containment import keep_running
from conferral.runtime.errors import SettingsError, StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import pause, until_stopped
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import count_outages, note_unreachable
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.effects import Dial, Effect, RedirectCall
from conferral.statemachine.policy import Policy
from conferral.statemachine.states import State
from conferral.storage import config, processes, retention
from conferral.storage.connection import Client
from conferral.storage.dials import DialAccess
from conferral.storage.figures import figures_of
from conferral.storage.keys import Keys
from conferral.storage.lease import LEASE_MS
from conferral.storage.levels import Level
from conferral.storage.partition import PartitionAccess
from conferral.storage.store import Store
from conferral.telephony.account import AccountReader
from conferral.telephony.addresses import AllowList
from conferral.telephony.calls import Calls
from conferral.telephony.client import PooledHttpClient, rest_client
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.dialling import CallSetup
from conferral.telephony.directory import Directory, DirectoryFile, read_directory
from conferral.telephony.documents import Documents
from conferral.telephony.lost_conferences import LostConferences
from conferral.telephony.urls import CallbackUrls
from conferral.worker.cache import SESSIONS_MAX
from conferral.worker.caller_ids import CallerIds
from conferral.worker.executor import Executor, ExecutorPolicy, pass_by
from conferral.worker.held import Surroundings
from conferral.worker.leases import LeaseKeeper
from conferral.worker.outside import Outside
from conferral.worker.pace import Pace
from conferral.worker.readiness import Holders, Readiness
from conferral.worker.recording import Recorder
from conferral.worker.request_shares import RequestShares, Usage
from conferral.worker.router import Router
from conferral.worker.status import serve_status
from conferral.worker.sweep.lost_sessions import LostSessions
from conferral.worker.sweep.records import SweepRecords
from conferral.worker.sweep.sweeper import Sweeper, SweepTimes
from conferral.worker.timers import fire_timers

log = structlog.get_logger()

#: How long a stop takes at most, seconds from the signal: the contract is 10 s.
STOP_S = 8.5
#: What of it is kept for giving the leases back, seconds.
RELEASE_S = 1.5
#: How often it is made sure that Redis knows the number of partitions, seconds.
AGREE_EVERY_S = 1.0
#: How often the gauges are taken, seconds.
GAUGES_EVERY_S = 2.0

Checkpoint = Callable[[str, int], Awaitable[None]]
EffectCheckpoint = Callable[[str, Effect], Awaitable[None]]


def policy_of(settings: ServiceSettings, directory: Directory | None = None) -> Policy:
    """The times and choices by which sessions are driven, from the settings.

    Args:
        settings: Of the process.
        directory: Whom they may name; read here where none is given.

    Raises:
        SettingsError: the directory is wrong, the fallback of transfers is none, or may not be dialled.
    """
    directory = directory or read_directory(settings)
    return Policy(
        ring_timeout_ms=settings.ring_timeout_s * 1000,
        convert_timeout_ms=round(settings.convert_timeout_s * 1000),
        lone_grace_ms=round(settings.lone_grace_s * 1000),
        park_timeout_ms=round(settings.park_timeout_s * 1000),
        fallback=directory.fallback,
        shows_customer=settings.transfer_caller_id == "customer",
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
        checkpoint: Checkpoint = pass_by,
        effect_checkpoint: EffectCheckpoint = pass_by,
        outside: Outside | None = None,
    ) -> None:
        self._settings = settings
        self.metrics = metrics or Metrics()
        self._outside = outside or Outside()
        self.name = self._outside.name()
        self._lease_ms = lease_ms
        self._sessions_max = sessions_max
        self._directory = directory or DirectoryFile(settings)
        self._policy = policy or policy_of(settings, self._directory.current)
        self._checkpoint = checkpoint
        self._effect_checkpoint = effect_checkpoint
        self._clock = self._outside.clock
        self._store_clock = StoreClock(self._clock)
        self._stop_by_s = 0.0
        self._executor_policy = ExecutorPolicy()
        #: The level at which records are written, as Redis told last.
        self.level = Level(self._outside.level)
        self._shown = processes.Process(self.name, "worker", self.level.known, version("conferral"))
        self.executor: Executor | None = None
        self.keeper: LeaseKeeper | None = None
        self.readiness: Readiness | None = None

    async def run(self, stop: asyncio.Event, status_port: int | None = None, host: str = "127.0.0.1") -> int:
        """Works until the process is asked to stop; returns the exit code.

        Args:
            stop: Set when the process shall stop.
            status_port: Where `/healthz`, `/readyz` and `/metrics` are served, if anywhere.
            host: On which address.

        Raises:
            SettingsError: Redis was set up with another number of partitions, or evicts live calls.
        """
        settings = self._settings
        client = self._outside.redis(settings.redis_url, max_connections=256)
        blocking = self._outside.redis(settings.redis_url, blocking=True, max_connections=settings.partitions + 8)
        # Commits and leases never wait for a connection, however many outcomes are written at the same time.
        reserved = self._outside.redis(settings.redis_url, max_connections=2 * settings.partitions + 32)
        http = self._outside.http(settings, clock=self._clock, metrics=self.metrics)
        try:
            keys = await self._agree(client, stop)
            if keys is None:
                return 0
            access = PartitionAccess(client, blocking, keys, outcomes_kept=settings.outcomes_kept)
            calls_kept_s = max(settings.session_ttl_s, settings.replay_window_s)
            dials = DialAccess(client, keys, session_ttl_s=calls_kept_s)
            keeper = self.keeper = LeaseKeeper(
                reserved, keys, self.name, self._clock, self._store_clock, self.metrics, self._lease_ms, self.level
            )
            allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
            records = Recorder(access, dials, keys, keeper.held, keeper.now_ms)
            shares = self._request_shares(reserved, keys)
            executor = self.executor = self._executor(
                calls_of(settings, http, allowed), records, keeper, self._turns_of(dials), shares
            )
            store = Store(reserved, keys, session_ttl_s=settings.session_ttl_s)
            reader = self._reader(http)
            lost = self._lost_sessions(client, keys, http, reader)
            around = self._surroundings(access, store, executor, lost, calls_kept_s)
            http.watch(executor.allowance.note)
            holders = Holders(client, keys, self._clock, self._store_clock, self.metrics, self._lease_ms)
            self.readiness = Readiness(client, keys, keeper.held, holders, executor.allowance, self.level, self._clock)
            stopping = asyncio.create_task(self._note_stop(stop))
            count_outages(self.metrics)
            log.info("worker_started", holder=self.name, count=keys.partitions)
            tasks = self._restarted(stop, {
                "leases": lambda: keeper.keep(stop, around, executor),
                "timers": lambda: fire_timers(stop, keeper, self._clock, self.metrics),
                "router": partial(self._router(client, blocking, keys, allowed, http).run, stop),
                "signs_of_life": lambda: keeper.company.show_life(stop),
                "hints": lambda: keeper.company.listen(stop),
                "agreement": lambda: self._keep_agreed(stop, client, keys),
                "sweep": partial(self._sweeper(client, keys, reader).run, stop),
                "lost_sessions": lambda: lost.run(stop),
                "gauges": lambda: self._take_gauges(stop, access, keeper, holders),
                "request_shares": lambda: shares.keep(stop),
            })  # fmt: skip
            if status_port is not None:
                tasks["status"] = serve_status(stop, host, status_port, self.metrics, self.readiness.missing)
            try:
                return await until_stopped(stop, tasks)
            finally:
                await stopping
                await self._wind_down(client, keys, keeper, executor, shares)
        finally:
            await http.close()
            await client.aclose()
            await blocking.aclose()
            await reserved.aclose()

    def _surroundings(
        self, access: PartitionAccess, store: Store, executor: Executor, lost: LostSessions, calls_kept_s: int
    ) -> Surroundings:
        return Surroundings(
            access=access,
            store=store,
            executor=executor,
            clock=self._clock,
            metrics=self.metrics,
            policy=self._policy_now,
            session_ttl_s=calls_kept_s,
            sessions_max=max(1, self._sessions_max // self._settings.partitions),
            checkpoint=self._checkpoint,
            committed=lost.note,
        )

    def _restarted(
        self, stop: asyncio.Event, works: dict[str, Callable[[], Awaitable[None]]]
    ) -> dict[str, Awaitable[None]]:
        """The long-lived tasks: each starts again after an error of its own, unless a setting is wrong."""
        return {
            name: keep_running(stop, name, work, self.metrics, passing=(SettingsError,)) for name, work in works.items()
        }

    async def _agree(self, client: Client, stop: asyncio.Event) -> Keys | None:
        """Waits for Redis to be there; None when the stop came first."""
        while not stop.is_set():
            try:
                await config.refuse_eviction(client)
                return (await self._agree_once(client)).keys
            except StoreUnreachableError as error:
                note_unreachable(error, task="start")
                await pause(stop, AGREE_EVERY_S)
        return None

    async def _agree_once(self, client: Client) -> config.Setup:
        settings = self._settings
        # A Redis that was emptied is told the level that was written: older processes may still run.
        setup = await config.agree(client, settings.prefix, settings.partitions, level=self.level.writes_at)
        was_too_new, self.level.written = self.level.is_too_new, setup.schema
        if self.level.is_too_new and not was_too_new:
            log.error("version_too_old", reason=self.level.problem)
        return setup

    def _policy_now(self) -> Policy:
        """The policy with the fallback that the directory names now: it may have been read again."""
        fallback = self._directory.current.fallback
        if fallback != self._policy.fallback:
            self._policy = replace(self._policy, fallback=fallback)
        return self._policy

    def _router(
        self, client: Client, blocking: Client, keys: Keys, allowed: AllowList, http: PooledHttpClient
    ) -> Router:
        return Router(
            client,
            blocking,
            keys,
            self.name,
            self._clock,
            self.metrics,
            level=self.level,
            allowed=allowed,
            names=lambda: self._directory.current.destinations,
            conferences=ConferenceNames.of(self._settings),
            caller_ids=CallerIds(rest_client(self._settings, http), self._own_numbers, self._clock),
        )

    def _own_numbers(self) -> set[str]:
        return {self._settings.number, *self._directory.current.numbers}

    def _reader(self, http: PooledHttpClient) -> AccountReader:
        return AccountReader(
            rest_client(self._settings, http),
            own_numbers=self._own_numbers,
            rng=self._outside.rng,
            metrics=self.metrics,
        )

    def _lost_sessions(self, client: Client, keys: Keys, http: PooledHttpClient, reader: AccountReader) -> LostSessions:
        return LostSessions(
            finder=LostConferences(rest_client(self._settings, http), reader, self._own_numbers),
            records=SweepRecords(client, keys),
            session_of=ConferenceNames.of(self._settings).session_of,
            clock=self._clock,
            metrics=self.metrics,
            level=self.level,
        )

    def _sweeper(self, client: Client, keys: Keys, reader: AccountReader) -> Sweeper:
        return Sweeper(
            client,
            keys,
            self.name,
            reader=reader,
            names=ConferenceNames.of(self._settings),
            clock=self._clock,
            store_clock=self._store_clock,
            metrics=self.metrics,
            times=SweepTimes.of(self._settings.sweep_interval_s),
            level=self.level,
            lease_ms=self._lease_ms,
        )

    def _executor(
        self,
        calls: Calls,
        records: Recorder,
        keeper: LeaseKeeper,
        turn: Callable[[Dial], Awaitable[None]] | None,
        shares: RequestShares,
    ) -> Executor:
        return Executor(
            calls=calls,
            records=records,
            may_send=keeper.may_send,
            clock=self._clock,
            now_ms=keeper.now_ms,
            metrics=self.metrics,
            policy=self._executor_policy,
            rng=self._outside.rng,
            checkpoint=self._effect_checkpoint,
            turn=turn,
            share=lambda: shares.now,
            is_ours=keeper.is_ours,
        )

    def _request_shares(self, client: Client, keys: Keys) -> RequestShares:
        def usage() -> Usage:
            assert self.executor is not None
            return self.executor.lanes

        budget = self._executor_policy.budget
        return RequestShares(client, keys.request_shares, self.name, self._clock, budget, usage=usage)

    def _turns_of(self, dials: DialAccess) -> Callable[[Dial], Awaitable[None]] | None:
        """How a dial waits for its turn; None where the pace is left to Twilio, so that nothing is asked of Redis."""
        per_second = self._settings.calls_per_second
        if not per_second:
            return None
        pace = Pace(lambda urgent: dials.take_turn(self.name, per_second, urgent=urgent))
        return lambda dial: pace.turn(urgent=dial.is_urgent)

    async def _wind_down(
        self, client: Client, keys: Keys, keeper: LeaseKeeper, executor: Executor, shares: RequestShares
    ) -> None:
        """What is under way is finished, then its leases are given back too: nobody has to wait for them to run out."""
        left_s = self._stop_by_s - self._clock.monotonic_s()
        is_drained = asyncio.Event()
        handing_over = asyncio.ensure_future(keeper.wind_down(is_drained, executor))
        (task,) = self._restarted(is_drained, {"request_shares": lambda: shares.keep(is_drained)}).values()
        sharing = asyncio.ensure_future(task)
        await executor.drain(max(0.0, left_s - RELEASE_S))
        is_drained.set()
        try:
            async with asyncio.timeout(max(RELEASE_S, self._stop_by_s - self._clock.monotonic_s())):
                await handing_over
                await keeper.release()
                await sharing
                await shares.leave()
                await processes.leave(client, keys, self.name)
        except (StoreError, TimeoutError) as error:
            note_unreachable(error, task="stop")
        finally:
            sharing.cancel()
        log.info("worker_stopped", holder=self.name)

    async def _note_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stop_by_s = self._clock.monotonic_s() + STOP_S

    async def _keep_agreed(self, stop: asyncio.Event, client: Client, keys: Keys) -> None:
        trimmed_s = self._clock.monotonic_s()
        while not stop.is_set():
            try:
                # Operators' commands need to know the partitions, also of a Redis that was emptied.
                await self._agree_once(client)
                await processes.show(client, keys, replace(self._shown, figures=figures_of(self.metrics)))
                if self._clock.monotonic_s() - trimmed_s >= retention.TRIM_EVERY_S:
                    trimmed_s = self._clock.monotonic_s()
                    now_ms = self._store_clock.store_now_ms()
                    await retention.trim(client, keys, now_ms, self._settings.outcomes_ttl_s)
            except StoreError as error:
                note_unreachable(error, task="agreement")
            await pause(stop, AGREE_EVERY_S)

    async def _take_gauges(
        self, stop: asyncio.Event, access: PartitionAccess, keeper: LeaseKeeper, holders: Holders
    ) -> None:
        labelled: set[int] = set()
        while not stop.is_set():
            states = [state for held in keeper.held.values() for state in held.states.by_session.values()]
            for state in State:
                if state is not State.ENDED:
                    self.metrics.sessions.labels(state.value).set(states.count(state))
            for number in labelled - keeper.held.keys():
                self.metrics.partition_lag.remove(str(number))
            labelled &= keeper.held.keys()
            try:
                for number in list(keeper.held):
                    self.metrics.partition_lag.labels(str(number)).set(await access.undecided(number))
                    labelled.add(number)
                await holders.look()
            except StoreError as error:
                note_unreachable(error, task="gauges")
            await pause(stop, GAUGES_EVERY_S)


def calls_of(settings: ServiceSettings, http: PooledHttpClient, allowed: AllowList) -> Calls:
    """What the worker asks of Twilio, with the settings that this needs."""
    urls = CallbackUrls(settings.public_url)
    documents = Documents(
        urls, language=settings.language, voice=settings.voice, with_speaker_events=settings.speaker_events
    )
    setup = CallSetup(urls, documents, own_number=settings.number, allowed=allowed)
    return Calls(rest_client(settings, http), join_document=join_document_of(documents), setup=setup)


def join_document_of(documents: Documents) -> Callable[[RedirectCall], str]:
    """The TwiML by which a redirected call joins its session's conference."""

    def join_document(effect: RedirectCall) -> str:
        return documents.join_conference(
            effect.session_id,
            effect.party,
            label=effect.label,
            room=effect.room,
            conference_name=effect.conference_name,
            attempt=effect.attempt,
            tune=effect.tune,
            attributes=effect.attributes,
        )

    return join_document
