"""The task `queue` under faults: owners that die, or are two for a moment, and answers that are lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.events import DesksLeft, Event, Offer
from conferral.statemachine.machine import step
from conferral.statemachine.session import Session
from conferral.statemachine.step import DecisionKind
from conferral.storage.agents import Agents
from conferral.storage.codecs import session_codec
from conferral.storage.dial_limits import DialLimits
from conferral.storage.keys import Keys
from conferral.storage.offers import Claim
from conferral.storage.presence_runs import SILENT_MS
from conferral.worker.queue import offerer as module
from conferral.worker.queue.matching import REPEAT_MS
from conferral.worker.queue.offerer import POLL_S, Offerer
from tests.support.entries import event_in
from tests.support.metric_values import value_of
from tests.support.people import ALICE, BOB
from tests.support.presence_times import silent_for
from tests.support.redis_clients import AnyServer, client_of
from tests.worker.cores import core_of
from tests.worker.queue.test_matching import attempt, waiting

pytestmark = pytest.mark.redis
KEYS = Keys("test", 2)


class Clock(SystemClock):
    """A clock whose monotonic time a test moves."""

    def __init__(self) -> None:
        self.passed_s = 1_000.0

    def monotonic_s(self) -> float:
        return self.passed_s


class Queue:
    """Callers, desks, and the workers that may offer."""

    def __init__(self, client: Any) -> None:
        self.client, self.agents, self.clock = client, Agents(client, KEYS), Clock()

    def offerer(self, *, owns: bool = True, per_minute: int = 0, per_session: int = 0, behind_ms: int = 0) -> Offerer:
        self.core = core = core_of(self.client, KEYS, self.clock)
        core.store_clock.observe(self.clock.wall_ms() - behind_ms, self.clock.monotonic_s())
        return Offerer(core, DialLimits(KEYS, per_session, per_minute), lambda: owns)

    async def waits(self, name: str, since_ms: int = 1, *tried: Any, **given: Any) -> Session:
        now_ms = self.clock.wall_ms()
        session = waiting(name, since_ms, (ALICE, BOB), *tried, **{"parked_until_ms": now_ms + 600_000} | given)
        await self.stores(session)
        return session

    async def stores(self, session: Session) -> None:
        await self.client.hset(KEYS.session(session.id), mapping=session_codec.encode(session))
        await self.client.hset(KEYS.queued, session.id, "")

    async def is_ready(self, identity: str = "alice", *, is_ready: bool = True) -> None:
        await self.agents.renew(identity, identity, "d1", is_ready=is_ready, is_busy=False)

    async def sent(self) -> list[Event]:
        entries = [await self.client.xrange(KEYS.events(number)) for number in range(KEYS.partitions)]
        return [event_in(fields) for partition in entries for _, fields in partition]

    async def offers(self) -> list[tuple[str, str, int]]:
        return [(one.session_id, one.to, one.number) for one in await self.sent() if isinstance(one, Offer)]


@pytest.fixture
async def queue(any_redis: AnyServer) -> AsyncIterator[Queue]:
    client = client_of(any_redis)
    yield Queue(client)
    await client.aclose()


async def test_two_offerers_offer_each_caller_and_each_agent_once(queue):
    await queue.waits("first", 1)
    await queue.waits("second", 2)
    await queue.is_ready()
    await asyncio.gather(*(queue.offerer().poll() for _ in range(4)))
    assert await queue.offers() == [("first", ALICE, 1)]


async def test_an_offer_whose_sender_died_is_sent_by_the_next_one_with_the_same_id(queue, monkeypatch):
    await queue.waits("first")
    await queue.is_ready()

    async def dies(*_arguments, **_options):
        raise StoreUnreachableError("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(module, "append_events", dies)
        with pytest.raises(StoreUnreachableError):
            await queue.offerer().poll()
    successor = queue.offerer()
    await successor.poll()
    assert await queue.offers() == [], "it may have been sent"
    claim = Claim.parse(await queue.client.get(KEYS.offer("alice")))
    queue.clock.passed_s += REPEAT_MS / 1000
    await successor.poll()
    await successor.poll()
    sent = await queue.sent()
    assert len(sent) == 2
    assert {(one.token, one.number, one.deadline_ms) for one in sent} == {
        (claim.offer_id(ALICE), claim.number, claim.deadline_ms)
    }


@pytest.mark.parametrize("behind_ms", [60_000, -60_000])
async def test_an_offer_expires_neither_by_the_clock_of_redis_nor_by_that_of_the_workers(queue, behind_ms):
    """The workers' clock stands still while their machine is suspended, and then follows Redis's slowly."""
    session = await queue.waits("first", parked_until_ms=queue.clock.wall_ms() + 600_000)
    await queue.is_ready()
    await queue.offerer(behind_ms=behind_ms).poll()
    (offered,) = await queue.sent()
    decided = step(session, offered, queue.core.store_clock.now_ms())
    assert [one.to for one in decided.session.attempts] == [ALICE]


async def test_an_offer_that_was_refused_is_followed_by_one_that_is_decided(queue):
    session = await queue.waits("first")
    await queue.is_ready()
    offerer = queue.offerer()
    await offerer.poll()
    (refused,) = await queue.sent()
    late = step(session, refused, refused.deadline_ms)
    assert late.kind is DecisionKind.REFUSED
    await queue.client.hset(KEYS.command(refused.token), "status", "rejected")
    await queue.stores(late.session)
    for _ in range(2):  # the first one ends the offer
        queue.clock.passed_s += POLL_S
        await offerer.poll()
    *_, taken = await queue.sent()
    decided = step(late.session, taken, taken.deadline_ms - 1)
    assert [(one.to, one.result) for one in decided.session.attempts] == [(ALICE, "")]


@pytest.mark.parametrize(
    "result, reason", [("no-answer", "no-answer"), ("busy", ""), ("rejected", ""), ("answered", "")]
)
@pytest.mark.parametrize("waits_on", [True, False])
async def test_a_successor_ends_an_offer_whose_caller_has_gone_on(queue, result, reason, waits_on):
    """The former owner's claim says which session it was."""
    await queue.is_ready()
    first = await queue.waits("first")
    former = queue.offerer()
    await former.poll()
    await queue.waits("first", 1, attempt(ALICE, result, queue.clock.wall_ms()), version=first.version + 1)
    if not waits_on:
        await queue.client.delete(KEYS.queued)
    await queue.offerer().poll()
    (agent,) = await queue.agents.list()
    assert agent.reason == reason
    assert not await queue.client.exists(KEYS.offer("alice"))


async def test_who_hangs_up_while_rung_leaves_the_desk_to_the_next_caller(queue):
    await queue.is_ready()
    first = await queue.waits("first")
    await queue.waits("second", 2)
    offerer = queue.offerer()
    await offerer.poll()
    ended = {"version": first.version + 1, "state": "ended", "ended_at_ms": queue.clock.wall_ms()}
    await queue.waits("first", 1, attempt(ALICE, "cancelled"), **ended)
    await queue.client.hdel(KEYS.queued, "first")
    await offerer.poll()
    await offerer.poll()
    assert await queue.offers() == [("first", ALICE, 1), ("second", ALICE, 1)]


async def test_who_does_not_own_the_task_offers_no_one(queue):
    await queue.waits("first")
    await queue.is_ready()
    stop = asyncio.Event()
    running = asyncio.create_task(queue.offerer(owns=False).run(stop))
    await asyncio.sleep(0)
    stop.set()
    await running
    assert await queue.sent() == []


async def test_who_has_lost_the_task_since_it_read_who_waits_offers_no_one(queue):
    """Another worker offers by now."""
    await queue.waits("first")
    await queue.is_ready()
    await queue.offerer(owns=False).poll()
    assert (await queue.sent(), await queue.client.exists(KEYS.offer("alice"))) == ([], 0)


async def test_offers_count_in_no_sessions_limit(queue):
    """A caller may be offered for as long as they wait."""
    session = await queue.waits("first")
    await queue.is_ready()
    limits = DialLimits(KEYS, per_session=1)
    (per_session,) = [one.key for one in limits.of(session.id) if one.name == "session"]
    await queue.client.zadd(per_session, {"other": queue.clock.wall_ms()})
    assert await limits.exceeded(queue.client, session.id, 1) == "session"
    await queue.offerer(per_session=1).poll()
    assert len(await queue.offers()) == 1


async def test_at_the_limit_of_dials_no_one_is_offered(queue):
    await queue.waits("first")
    await queue.is_ready()
    now_ms = queue.clock.wall_ms()
    await queue.client.zadd(KEYS.dials, {"other": now_ms})
    await queue.offerer(per_minute=1).poll()
    assert (await queue.offers(), await queue.client.exists(KEYS.offer("alice"))) == ([], 0)
    await queue.offerer(per_minute=2).poll()
    assert len(await queue.offers()) == 1


async def test_offers_that_are_not_dialed_yet_count_in_the_limit(queue):
    await queue.waits("first", 1)
    await queue.waits("second", 2)
    await queue.waits("third", 3)
    await queue.is_ready()
    await queue.is_ready("bob")
    offerer = queue.offerer(per_minute=1)
    await offerer.poll()
    await offerer.poll()
    assert len(await queue.offers()) == 1


async def passes(queue: Queue, offerer: Offerer, seconds: int) -> None:
    for _ in range(seconds):
        queue.clock.passed_s += 1
        await offerer.poll()


async def test_a_minute_without_a_desk_sends_callers_on_once(queue):
    await queue.waits("first")
    offerer = queue.offerer()
    await passes(queue, offerer, 59)
    assert await queue.sent() == []
    await passes(queue, offerer, 3)
    assert {(type(one), one.token) for one in await queue.sent()} == {(DesksLeft, "desks_left:1")}


async def test_a_desk_that_is_there_begins_the_minute_again(queue):
    await queue.waits("first", 1, attempt(BOB, "rejected", queue.clock.wall_ms()))
    offerer = queue.offerer()
    await passes(queue, offerer, 50)
    await queue.is_ready("bob")
    await passes(queue, offerer, 1)
    await queue.is_ready("bob", is_ready=False)
    await passes(queue, offerer, 50)
    assert await queue.sent() == []


async def test_time_in_which_a_silent_desk_counts_as_there_does_not_count(queue):
    await queue.waits("first")
    await queue.agents.renew("alice", "Alice", "d1", is_ready=False, is_busy=True)
    await silent_for(queue.client, KEYS, SILENT_MS - 5_000)
    offerer = queue.offerer()
    await passes(queue, offerer, 100)
    assert await queue.sent() == []
    await silent_for(queue.client, KEYS, 5_000)
    await passes(queue, offerer, 62)
    assert {type(one) for one in await queue.sent()} == {DesksLeft}


async def test_a_silent_desk_is_offered_callers_if_it_was_free(queue):
    """Its way to us may be broken, while Twilio reaches it."""
    await queue.is_ready()
    await silent_for(queue.client, KEYS, SILENT_MS - 5_000)
    await queue.waits("first")
    await queue.offerer().poll()
    assert await queue.offers() == [("first", ALICE, 1)]


async def test_an_agent_whose_page_was_left_is_waited_for_but_offered_no_one(queue):
    await queue.waits("first")
    await queue.agents.renew("alice", "Alice", "d1", is_ready=True, is_busy=False)
    await queue.agents.renew("alice", "Alice", "d1", is_ready=False, is_left=True, is_busy=False)
    offerer = queue.offerer()
    await passes(queue, offerer, 62)
    assert await queue.sent() == []


async def test_metrics_show_how_many_wait_and_for_how_long(queue):
    await queue.waits("first", queue.clock.wall_ms() - 90_000)
    await queue.waits("second", queue.clock.wall_ms())
    await queue.offerer().poll()
    shown = queue.core.metrics.queue
    assert value_of(shown.callers) == 2
    assert 89 <= value_of(shown.longest_wait) < 120
