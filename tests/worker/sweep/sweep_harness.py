"""A real Redis with sessions in it, an account by script, and a sweeper."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from conferral.runtime.clock import StoreClock, SystemClock
from conferral.runtime.errors import ProviderError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import AccountSwept, Event, ParticipantFound
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import State
from conferral.storage.codecs import session_codec
from conferral.storage.keys import Keys
from conferral.telephony import request_context
from conferral.telephony.account_lists import AccountSnapshot, OwnCall
from conferral.telephony.conference_names import ConferenceNames
from conferral.worker.sweep.sweeper import Sweeper, SweepTimes
from tests.support.entries import event_in
from tests.support.metric_values import value_of
from tests.support.redis_clients import AnyServer, client_of
from tests.worker.cores import core_of

PARTITIONS = 4
NAMES = ConferenceNames(["secret"], "test")
LONG_AGO_MS = 60_000
#: Twilio's time.
NOW_MS = 1_800_000_000_000
TIMES = SweepTimes(interval_s=0.05, quiet_s=5.0, settle_s=0.0, again_after_s=4.0)


class ScriptedAccount:
    """An account that answers what the test says."""

    def __init__(self, account: AccountSnapshot) -> None:
        self.account = account
        self.faults: deque[ProviderError] = deque()
        self.readings = 0
        self.waits: asyncio.Event | None = None
        self.participants: dict[str, list[ParticipantFound] | ProviderError] = {}
        #: Conferences whose participants were asked for.
        self.asked: list[str] = []
        #: SIDs of calls, also of those that are over, of our numbers.
        self.own_calls: set[str] = set()
        #: Labels of all requests.
        self.labels: set[str] = set()

    async def read(self) -> AccountSnapshot:
        self.readings += 1
        self.labels.add(request_context.request_label())
        if self.waits is not None:
            await self.waits.wait()
        if self.faults:
            raise self.faults.popleft()
        old_ms = dict.fromkeys(self.account.conferences, 0)
        return replace(self.account, created_at_ms={**old_ms, **self.account.created_at_ms})

    async def participants_of(self, conference_sid: str, own_calls: Mapping[str, OwnCall]) -> list[ParticipantFound]:
        self.asked.append(conference_sid)
        self.labels.add(request_context.request_label())
        found = self.participants.get(conference_sid, [])
        if isinstance(found, ProviderError):
            raise found
        return found

    async def is_own_call(self, call_sid: str) -> bool:
        self.asked.append(call_sid)
        self.labels.add(request_context.request_label())
        return call_sid in self.own_calls


class SweepHarness:
    """Redis with some sessions in it, and a sweeper."""

    def __init__(self, server: AnyServer) -> None:
        self.client = client_of(server)
        self.keys = Keys("test", PARTITIONS)
        self.clock = SystemClock()
        self.store_clock = StoreClock(self.clock)
        self.metrics = Metrics()
        self.account = ScriptedAccount(AccountSnapshot())

    async def store(self, *sessions: Session) -> None:
        pipeline = self.client.pipeline()
        for session in sessions:
            partition = self.keys.partition_of(session.id)
            pipeline.hset(self.keys.session(session.id), mapping=session_codec.encode(session))
            if session.state is not State.ENDED:
                pipeline.sadd(self.keys.live(partition), session.id)
            for party in session.parties.values():
                pipeline.set(self.keys.call(party.call_sid), session.id)
        await pipeline.execute()

    def session(self, name: str, *calls: str, conference: str = "", **more: Any) -> Session:
        """One that has been quiet for a minute."""
        parties = {
            f"p{number}": Party(f"p{number}", f"p{number}-1", call_sid=sid, in_conference=bool(conference))
            for number, sid in enumerate(calls)
        }
        updated_at_ms = self.store_clock.now_ms() - LONG_AGO_MS
        values = {
            "state": State.CONFERENCED,
            "version": 1,
            "updated_at_ms": updated_at_ms,
            "conference_sid": conference,
        }
        return Session(name, parties=parties, **(values | more))

    def ended(self, name: str, *calls: str, ago_ms: int = LONG_AGO_MS, **more: Any) -> Session:
        return self.session(name, *calls, **more, state=State.ENDED, ended_at_ms=self.store_clock.now_ms() - ago_ms)

    def sweeper(self, name: str = "one", **more: Any) -> Sweeper:
        alive: dict[str, Any] = {"owns_sweep": lambda: True, "twilio_now_ms": lambda: NOW_MS}
        options = alive | {"account_lists": self.account, "times": TIMES, "names": NAMES} | more
        core = core_of(
            self.client, self.keys, self.clock, name,
            store_clock=self.store_clock, metrics=self.metrics,
        )  # fmt: skip
        return Sweeper(core, **options)

    def times(self, **changes: float) -> SweepTimes:
        return replace(TIMES, **changes)

    async def sweep(self, sweeps: int = 1, **more: Any) -> None:
        """Sweeps until so many sweeps were made in all."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.sweeper(**more).run(stop))
        await self.until(lambda: self.sweeps() >= sweeps)
        stop.set()
        await running
        assert not value_of(self.metrics.unexpected_errors.labels("sweep"))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.002)

    def sweeps(self, result: str = "done") -> int:
        return int(value_of(self.metrics.sweeps.labels(result)))

    async def events(self) -> list[Event]:
        """What was published, each to its session's partition."""
        found = []
        for partition in range(PARTITIONS):
            for _, fields in await self.client.xrange(self.keys.events(partition)):
                event = event_in(fields)
                assert self.keys.partition_of(event.session_id) == partition
                found.append(event)
        return found

    async def published(self) -> list[AccountSwept]:
        return [event for event in await self.events() if isinstance(event, AccountSwept)]

    async def decide_all(self) -> None:
        """What stands on the streams is decided, and leaves them."""
        await self.client.delete(*(self.keys.events(number) for number in range(PARTITIONS)))

    async def reported(self) -> set[tuple[str, str, str, str]]:
        return {(e.finding, e.session_id, e.call_sid, e.conference_sid) for e in await self.published()}
