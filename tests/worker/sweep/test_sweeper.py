"""Sweeps on a real Redis, with an account by script: what is published, what is asked, who sweeps and when."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from twilio.rest import Client

from runtime.clock import StoreClock, SystemClock
from runtime.errors import ProviderBusyError, ProviderError
from runtime.metrics import Metrics
from statemachine.events import AccountSwept, ConferenceStarted
from statemachine.session import Party, Session
from statemachine.states import PartyStatus, State
from streams import event_codec, session_codec
from streams import lease as leases
from streams.connection import make_client
from streams.keys import Keys
from streams.lease import Taken
from telephony.account import Account, AccountReader
from tests.support.redis_server import RedisServer
from tests.telephony.scripted_http import ACCOUNT
from tests.telephony.test_account import ListingHttp
from worker.sweep.comparing import Difference, Finding
from worker.sweep.sweeper import FINDINGS_MAX, Sweeper, SweepTimes

pytestmark = pytest.mark.redis
PARTITIONS = 4
LONG_AGO_MS = 60_000
TIMES = SweepTimes(interval_s=0.05, first_after_s=0.0, quiet_s=5.0, settle_s=0.0)


class Scripted:
    """An account that answers what the test says."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.faults: deque[ProviderError] = deque()
        self.readings = 0
        self.waits: asyncio.Event | None = None

    async def read(self, check: Callable[[], None]) -> Account:
        self.readings += 1
        if self.waits is not None:
            await self.waits.wait()
        check()
        if self.faults:
            raise self.faults.popleft()
        return self.account


class Sea:
    """Redis with some sessions in it, and whoever sweeps."""

    def __init__(self, url: str) -> None:
        self.client = make_client(url)
        self.keys = Keys("test", PARTITIONS)
        self.clock = SystemClock()
        self.store_clock = StoreClock(self.clock)
        self.metrics = Metrics()
        self.account = Scripted(Account())

    async def hold_partitions(self, duration_ms: int = 60_000) -> None:
        for number in range(PARTITIONS):
            await leases.take(self.client, self.keys.lease(number), "holder", self.clock, duration_ms)

    async def store(self, *sessions: Session) -> None:
        pipeline = self.client.pipeline(transaction=False)
        for session in sessions:
            partition = self.keys.partition_of(session.id)
            pipeline.hset(self.keys.session(session.id), mapping=session_codec.encode(session))
            if session.state is not State.ENDED:
                pipeline.sadd(self.keys.live(partition), session.id)
            for party in session.parties.values():
                pipeline.set(self.keys.call(party.call_sid), session.id)
        await pipeline.execute()

    def session(self, name: str, *calls: str, room: str = "", **more: Any) -> Session:
        """One that has been quiet for a minute."""
        parties = {f"p{number}": Party(f"p{number}", f"p{number}-1", call_sid=sid) for number, sid in enumerate(calls)}
        updated_at_ms = self.store_clock.now_ms() - LONG_AGO_MS
        values = {"state": State.CONFERENCED, "version": 1, "updated_at_ms": updated_at_ms, "conference_sid": room}
        return Session(name, parties=parties, **(values | more))

    def ended(self, name: str, *calls: str, ago_ms: int = LONG_AGO_MS) -> Session:
        return self.session(name, *calls, state=State.ENDED, ended_at_ms=self.store_clock.now_ms() - ago_ms)

    def sweeper(self, name: str = "one", **more: Any) -> Sweeper:
        options = {"reader": self.account, "times": TIMES, "lease_ms": 5_000} | more
        return Sweeper(
            self.client, self.keys, name, clock=self.clock, store_clock=self.store_clock, metrics=self.metrics,
            **options,
        )  # fmt: skip

    async def sweep(self, sweeps: int = 1, **more: Any) -> None:
        """Sweeps until so many sweeps were made in all."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.sweeper(**more).run(stop))
        await self.until(lambda: self.sweeps() >= sweeps)
        stop.set()
        await running

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(15):
            while not condition():
                await asyncio.sleep(0.002)

    def sweeps(self, result: str = "done") -> int:
        return int(self.metrics.sweeps.labels(result)._value.get())

    async def published(self) -> list[AccountSwept]:
        found = []
        for partition in range(PARTITIONS):
            for entry_id, fields in await self.client.xrange(self.keys.events(partition)):
                text = {name.decode(): value.decode() for name, value in fields.items()}
                event = event_codec.decode(text, entry_id.decode())
                assert self.keys.partition_of(event.session_id) == partition
                assert isinstance(event, AccountSwept)
                found.append(event)
        return found

    async def decide_all(self) -> None:
        """What stands on the streams is decided, and leaves them."""
        await self.client.delete(*(self.keys.events(number) for number in range(PARTITIONS)))

    async def told(self) -> set[tuple[str, str, str, str]]:
        return {(e.finding, e.session_id, e.call_sid, e.conference_sid) for e in await self.published()}


@pytest.fixture
async def sea(redis_server: RedisServer) -> AsyncIterator[Sea]:
    sea = Sea(redis_server.url)
    await sea.hold_partitions()
    yield sea
    await sea.client.aclose()


# ---- what is told ----------------------------------------------------------------------------------------------------


async def test_only_what_differs_is_published_to_its_sessions_partition(sea: Sea) -> None:
    await sea.store(
        sea.session("in-order", "CA1", "CA2", room="CF1"),
        sea.session("call-gone", "CA3", "CA4", room="CF2"),
        sea.session("room-gone", "CA5", "CA6", room="CF3"),
        sea.session("bridged", "CA7", "CA8"),
    )
    calls = frozenset(f"CA{number}" for number in range(1, 9)) - {"CA4"}
    sea.account.account = Account(calls=calls, conferences={"CF1": "in-order", "CF2": "call-gone"})

    await sea.sweep()

    assert await sea.told() == {
        ("call-missing", "call-gone", "CA4", ""),
        ("conference-missing", "room-gone", "", "CF3"),
    }


async def test_parties_that_have_left_are_not_missed(sea: Sea) -> None:
    gone = Party("agent", "agent-1", call_sid="CA2", status=PartyStatus.LEFT)
    session = sea.session("s1", "CA1")
    await sea.store(Session("s1", state=State.CONFERENCED, version=1, updated_at_ms=session.updated_at_ms,
                            parties={**session.parties, "agent": gone}))  # fmt: skip
    sea.account.account = Account(calls=frozenset({"CA1"}))

    await sea.sweep()

    assert await sea.told() == set()


async def test_call_and_conference_that_outlive_their_session_are_told_of(sea: Sea) -> None:
    await sea.store(sea.ended("over", "CA1", "CA2"), sea.ended("just-over", "CA3", ago_ms=1_000))
    sea.account.account = Account(
        calls=frozenset({"CA1", "CA3"}), conferences={"CF1": "over", "CF3": "just-over"}
    )  # fmt: skip

    await sea.sweep()

    assert await sea.told() == {("call-live", "over", "CA1", ""), ("conference-live", "over", "", "CF1")}


async def test_what_belongs_to_nobody_here_is_left_alone(sea: Sea) -> None:
    """Others use the account too; and a session that Redis does not know (yet) is none to be judged."""
    await sea.store(sea.session("live", "CA1", room="CF1"))
    await sea.client.set(sea.keys.call("CA8"), "not-decided-yet")
    # A live session's former leg, and a second room of its name.
    await sea.client.set(sea.keys.call("CA7"), "live")
    await sea.client.lpush(sea.keys.call("CA6"), "somebody else's key")
    calls = frozenset({"CA1", "CA6", "CA7", "CA8", "CA9"})
    sea.account.account = Account(calls=calls, conferences={"CF1": "live", "CF2": "live", "CF9": "lunch"})

    await sea.sweep()

    assert await sea.told() == set()


async def test_session_that_changed_a_moment_ago_is_left_alone(sea: Sea) -> None:
    now_ms = sea.store_clock.now_ms()
    await sea.store(
        sea.session("new", "CA1", updated_at_ms=now_ms - 1_000), sea.session("old", "CA2", updated_at_ms=now_ms - 6_000)
    )

    await sea.sweep()

    assert await sea.told() == {("call-missing", "old", "CA2", "")}


async def test_records_that_make_no_sense_stop_nothing(sea: Sea) -> None:
    await sea.store(sea.session("good", "CA1"))
    broken = {"no-time": {"state": "bridged"}, "odd-time": {"state": "bridged", "updated_at": "soon"},
              "binary": {"state": "bridged", "updated_at": b"\xff"}}  # fmt: skip
    for name, fields in broken.items():
        await sea.client.hset(sea.keys.session(name), mapping={**fields, "party.x.call_sid": "CA2"})
        await sea.client.sadd(sea.keys.live(sea.keys.partition_of(name)), name)
    await sea.client.set(sea.keys.session("text"), "?")
    for name in ("text", "vanished"):
        await sea.client.sadd(sea.keys.live(sea.keys.partition_of(name)), name)

    await sea.sweep()

    assert await sea.told() == {("call-missing", "good", "CA1", "")}


async def test_same_finding_has_one_token_in_an_interval_and_another_in_the_next(sea: Sea) -> None:
    await sea.store(sea.session("s1", "CA1"))
    day = SweepTimes(interval_s=86_400, first_after_s=0.0, quiet_s=5.0, settle_s=0.0)

    await sea.sweep(1, name="one", times=day)
    await sea.sweep(2, name="two", times=day)
    assert len({event.token for event in await sea.published()}) == 1
    assert len(await sea.published()) == 2

    await sea.decide_all()
    await sea.sweep(5)
    assert len({event.token for event in await sea.published()}) >= 2


async def test_findings_are_bounded_and_what_outlives_its_session_goes_first(sea: Sea) -> None:
    """A list that is wrong as a whole must not lead to a look for every session there is."""
    await sea.store(*(sea.session(f"s{number}", f"CA{number}") for number in range(FINDINGS_MAX + 50)))
    await sea.store(sea.ended("over", "CAx"))
    sea.account.account = Account(calls=frozenset({"CAx"}))
    day = SweepTimes(interval_s=86_400, first_after_s=0.0, quiet_s=5.0, settle_s=0.0)

    await sea.sweep(times=day)

    told = await sea.told()
    assert len(told) == FINDINGS_MAX
    assert ("call-live", "over", "CAx", "") in told


async def test_what_outlives_its_session_is_told_of_ever_more_seldom(sea: Sea) -> None:
    """Each time it is hung up anew; and a customer who was sent on somewhere else stays as long as he likes."""
    live = Finding(Difference.CALL_LIVE, "over", "CA1")
    missing = Finding(Difference.CALL_MISSING, "s1", "CA2")
    sweeper = sea.sweeper()

    told = [number for number in range(300) if live in sweeper._due([missing, live], number)]
    assert told == [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]
    assert sweeper._due([missing, live], 300) == [missing]

    assert sweeper._due([], 301) == []
    assert sweeper._due([live], 302) == [live]


async def test_what_could_not_be_told_of_is_told_of_in_the_next_sweep(
    sea: Sea, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.sweep.sweeper.FINDINGS_MAX", 1)
    first, second = (Finding(Difference.CALL_LIVE, "over", sid) for sid in ("CA1", "CA2"))
    sweeper = sea.sweeper()

    assert [sweeper._due([first, second], number) for number in (0, 1, 2)] == [[first], [first], [second]]


async def test_everybodys_turn_comes_when_there_is_more_to_be_told(sea: Sea, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.sweep.sweeper.FINDINGS_MAX", 1)
    # Nobody decides here, and yet nobody is to be passed over for that.
    monkeypatch.setattr("worker.sweep.records.BEHIND_MS", 1_000_000)
    await sea.store(*(sea.session(f"s{number}", f"CA{number}") for number in range(40)))

    await sea.sweep(PARTITIONS * 3)

    assert {sea.keys.partition_of(event.session_id) for event in await sea.published()} == set(range(PARTITIONS))


# ---- partitions that are behind --------------------------------------------------------------------------------------


async def test_partition_that_nobody_holds_is_left_out(sea: Sea) -> None:
    """Its sessions say what was: whatever has happened since waits on the stream."""
    await sea.store(*(sea.session(f"s{number}", f"CA{number}") for number in range(40)))
    await sea.store(*(sea.ended(f"e{number}", f"CB{number}") for number in range(40)))
    sea.account.account = Account(
        calls=frozenset(f"CB{number}" for number in range(40)), conferences={"CF1": "e1", "CF2": "e2", "CF3": "e3"}
    )
    await sea.client.hset(sea.keys.lease(0), "until", 0)
    await sea.client.hset(sea.keys.lease(1), "until", sea.store_clock.now_ms() - 1)
    await sea.client.delete(sea.keys.lease(2))

    with capture_logs() as lines:
        await sea.sweep()

    assert {sea.keys.partition_of(event.session_id) for event in await sea.published()} == {3}
    (line,) = [line for line in lines if line["event"] == "account_swept"]
    assert line["behind"] == 3


async def test_partition_whose_entries_wait_is_left_out_and_one_that_is_busy_is_not(sea: Sea) -> None:
    await sea.store(*(sea.session(f"s{number}", f"CA{number}") for number in range(40)))
    entry = event_codec.encode(ConferenceStarted(session_id="x", conference_sid="CF1"))
    now_ms = sea.store_clock.now_ms()
    await sea.client.xadd(sea.keys.events(0), entry, id=f"{now_ms - 2_000}-0")
    await sea.client.xadd(sea.keys.events(1), entry, id=f"{now_ms + 600_000}-0")
    records = sea.sweeper()._records

    kept_up = [await records.keeps_up(number, now_ms) for number in range(PARTITIONS)]

    assert kept_up == [False, True, True, True]


# ---- what it costs ---------------------------------------------------------------------------------------------------


async def test_ten_thousand_calls_in_order_cost_their_pages_and_nothing_else(sea: Sea) -> None:
    """Ten pages of calls, five of conferences of two, and one for each status in which nothing is."""
    sessions = [sea.session(f"s{n}", f"CA{2 * n}", f"CA{2 * n + 1}", room=f"CF{n}") for n in range(5_000)]
    for start in range(0, len(sessions), 1_000):
        await sea.store(*sessions[start : start + 1_000])
    http = ListingHttp({
        ("Calls", "in-progress"): [{"sid": f"CA{number}"} for number in range(10_000)],
        ("Conferences", "in-progress"): [{"sid": f"CF{n}", "friendly_name": f"s{n}"} for n in range(5_000)],
    })  # fmt: skip
    client = Client(username=ACCOUNT, password="token", account_sid=ACCOUNT, http_client=http)

    async def no_pause(_seconds: float) -> None:
        await asyncio.sleep(0)

    with capture_logs() as lines:
        day = SweepTimes(interval_s=86_400, first_after_s=0.0, quiet_s=5.0, settle_s=0.0)
        await sea.sweep(reader=AccountReader(client, sleep=no_pause), times=day)

    asked = [(kind, status) for kind, status, _ in http.asked]
    assert {one: asked.count(one) for one in asked} == {
        ("Calls", "queued"): 1, ("Calls", "ringing"): 1, ("Calls", "in-progress"): 10,
        ("Conferences", "init"): 1, ("Conferences", "in-progress"): 5,
    }  # fmt: skip
    assert await sea.told() == set()
    (line,) = [line for line in lines if line["event"] == "account_swept"]
    told = {name: line[name] for name in ("calls", "conferences", "pages", "sessions", "findings", "behind", "reason")}
    assert told == {
        "calls": 10_000, "conferences": 5_000, "pages": 18, "sessions": 5_000, "findings": 0, "behind": 0, "reason": "",
    }  # fmt: skip


async def test_sweep_is_counted(sea: Sea) -> None:
    await sea.store(sea.session("s1", "CA1", "CA2"))
    sea.account.account = Account(call_pages=12, conference_pages=6, has_all_conferences=False)

    with capture_logs() as lines:
        await sea.sweep(times=SweepTimes(86_400, 0.0, 5.0, 0.0))

    text = sea.metrics.exposition().decode()
    assert 'conferral_sweep_pages_total{kind="calls"} 12.0' in text
    assert 'conferral_sweep_pages_total{kind="conferences"} 6.0' in text
    assert 'conferral_sweep_findings_total{kind="call-missing"} 1.0' in text
    assert "conferral_sweep_seconds_count 1.0" in text
    age_s = sea.clock.wall_ms() / 1000 - sea.metrics.sweep_finished._value.get()
    assert 0 <= age_s < 15
    (line,) = [line for line in lines if line["event"] == "account_swept"]
    assert line["reason"] == "more is live than is read"


# ---- who sweeps, and when --------------------------------------------------------------------------------------------


async def test_one_worker_sweeps_at_a_time_and_the_next_when_it_has_stopped(sea: Sea) -> None:
    accounts = [Scripted(Account()), Scripted(Account())]
    stops = [asyncio.Event(), asyncio.Event()]
    first = asyncio.create_task(sea.sweeper("one", reader=accounts[0]).run(stops[0]))
    await sea.until(lambda: accounts[0].readings > 0)
    second = asyncio.create_task(sea.sweeper("two", reader=accounts[1]).run(stops[1]))
    await sea.until(lambda: accounts[0].readings > 3)
    assert accounts[1].readings == 0

    stops[0].set()
    await first
    assert await sea.client.hget(sea.keys.sweep_lease, "until") == b"0"
    await sea.until(lambda: accounts[1].readings > 0)
    stops[1].set()
    await second


async def test_lease_of_a_worker_that_died_is_taken_when_it_has_run_out(sea: Sea) -> None:
    dead, _ = await leases.take(sea.client, sea.keys.sweep_lease, "dead", sea.clock, 500)
    assert not isinstance(dead, Taken)

    await sea.sweep()

    assert sea.clock.monotonic_s() >= dead.sure_until_s
    assert (await sea.client.hget(sea.keys.sweep_lease, "holder")).startswith(b"2:")


async def test_first_sweep_comes_a_moment_after_the_lease(sea: Sea) -> None:
    times = SweepTimes(interval_s=86_400, first_after_s=0.3, quiet_s=5.0, settle_s=0.0)
    began_s = sea.clock.monotonic_s()

    await sea.sweep(times=times)

    assert sea.clock.monotonic_s() - began_s >= 0.3
    assert sea.account.readings == 1


async def test_lease_is_kept_while_a_list_is_long_in_coming(sea: Sea) -> None:
    sea.account.waits = asyncio.Event()
    stop = asyncio.Event()
    running = asyncio.create_task(sea.sweeper(lease_ms=300).run(stop))
    await sea.until(lambda: sea.account.readings > 0)
    holder = await sea.client.hget(sea.keys.sweep_lease, "holder")
    await asyncio.sleep(0.6)  # twice the lease

    taken, _ = await leases.take(sea.client, sea.keys.sweep_lease, "two", sea.clock, 300)

    assert isinstance(taken, Taken)
    assert taken.holder == holder.decode()
    sea.account.waits.set()
    await sea.until(lambda: sea.sweeps() == 1)
    stop.set()
    await running


async def test_whoever_has_lost_the_lease_publishes_nothing(sea: Sea) -> None:
    await sea.store(sea.session("s1", "CA1"))
    sea.account.waits = asyncio.Event()
    stop = asyncio.Event()
    running = asyncio.create_task(sea.sweeper(lease_ms=300).run(stop))
    await sea.until(lambda: sea.account.readings > 0)
    until = sea.store_clock.now_ms() + 60_000
    await sea.client.hset(sea.keys.sweep_lease, mapping={"holder": "9:two", "until": until})
    with capture_logs() as lines:
        await sea.until(lambda: any(line["event"] == "lease_lost" for line in lines))
        sea.account.waits.set()
        await sea.until(lambda: sea.sweeps("given-up") == 1)

    assert await sea.published() == []
    stop.set()
    await running
    assert await sea.client.hget(sea.keys.sweep_lease, "holder") == b"9:two"


async def test_stop_does_not_wait_for_a_list(sea: Sea) -> None:
    sea.account.waits = asyncio.Event()
    stop = asyncio.Event()
    running = asyncio.create_task(sea.sweeper().run(stop))
    await sea.until(lambda: sea.account.readings > 0)

    stop.set()
    async with asyncio.timeout(2):
        await running

    assert (sea.sweeps(), sea.sweeps("given-up")) == (0, 0)
    assert await sea.client.hget(sea.keys.sweep_lease, "until") == b"0"


# ---- what goes wrong -------------------------------------------------------------------------------------------------


async def test_twilio_that_refuses_costs_one_sweep(sea: Sea) -> None:
    await sea.store(sea.session("s1", "CA1"))
    sea.account.faults.append(ProviderBusyError(http_status=429, code=20429))

    with capture_logs() as lines:
        await sea.sweep()

    assert sea.sweeps("given-up") == 1
    (line,) = [line for line in lines if line["event"] == "sweep_given_up"]
    assert (line["error_type"], line["status"], line["code"]) == ("ProviderBusyError", 429, 20429)
    assert ("call-missing", "s1", "CA1", "") in await sea.told()


async def test_redis_that_refuses_costs_one_sweep(sea: Sea) -> None:
    await sea.store(sea.session("s1", "CA1"))
    live = sea.keys.live(sea.keys.partition_of("s1"))
    await sea.client.rename(live, "aside")
    await sea.client.set(live, "?")
    stop = asyncio.Event()
    running = asyncio.create_task(sea.sweeper().run(stop))
    await sea.until(lambda: sea.sweeps("given-up") >= 1)

    await sea.client.rename("aside", live)
    await sea.until(lambda: sea.sweeps() >= 1)
    stop.set()
    await running

    assert ("call-missing", "s1", "CA1", "") in await sea.told()


async def test_redis_that_is_away_for_a_while_is_waited_for(sea: Sea) -> None:
    stop = asyncio.Event()
    await sea.client.config_set("min-replicas-to-write", 1)
    with capture_logs() as lines:
        running = asyncio.create_task(sea.sweeper().run(stop))
        await sea.until(lambda: any(line["event"] == "store_unreachable" for line in lines))
    assert sea.account.readings == 0

    await sea.client.config_set("min-replicas-to-write", 0)
    await sea.until(lambda: sea.sweeps() >= 1)
    stop.set()
    await running


def test_times_are_shorter_where_the_interval_is_short() -> None:
    assert SweepTimes.of(30) == SweepTimes(interval_s=30, first_after_s=10, quiet_s=5, settle_s=2)
    assert SweepTimes.of(1) == SweepTimes(interval_s=1, first_after_s=1, quiet_s=0.5, settle_s=0.25)
