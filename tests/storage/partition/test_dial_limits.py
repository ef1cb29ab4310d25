"""Limits of dials by REST: what a mark counts, exact for many workers at once, and when a command is refused."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from conferral.statemachine.effects import CreateCall
from conferral.statemachine.parts import DialOptions
from conferral.storage import coordinator as leases
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.coordinator import Lease
from conferral.storage.dial_limits import DialLimits
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import MarkResult
from tests.support.redis_clients import client_of, full
from tests.support.stores import partition_store_of

pytestmark = pytest.mark.redis
CALL = "CA" + "1" * 32
MINUTE_MS, DAY_MS = 60_000, 86_400_000
MARKED, ALREADY_MARKED = MarkResult.MARKED, MarkResult.ALREADY_MARKED
MINUTE_LIMIT, SESSION_LIMIT = MarkResult.MINUTE_LIMIT, MarkResult.SESSION_LIMIT


@dataclass
class Dialer:
    """A worker that owns all partitions."""

    client: Any
    keys: Keys
    leases: dict[int, Lease]

    def limits(self, per_session: int = 0, per_minute: int = 0) -> DialLimits:
        return DialLimits(self.keys, per_session, per_minute)

    async def order(self, name: str, session: str = CALL, *, is_redial: bool = False) -> CreateCall:
        """A dial waits in its outbox."""
        dial = CreateCall(
            effect_id=name, session_id=session, to="client:bob", options=DialOptions(timeout_s=30), is_redial=is_redial
        )
        body = effect_codec.encode(OutboxEntry(dial, 1_000))
        await self.client.hset(self.keys.outbox(self.keys.partition_of(session)), name, body)
        return dial

    async def mark(self, limits: DialLimits, dial: CreateCall, client: Any = None) -> MarkResult:
        store = partition_store_of(client or self.client, self.keys, dial_limits=limits)
        partition = self.keys.partition_of(dial.session_id)
        return await store.mark_sent(partition, self.leases[partition], dial, 7_000)

    async def dials(self, limits: DialLimits, name: str, session: str = CALL, **more: Any) -> MarkResult:
        return await self.mark(limits, await self.order(name, session, **more))

    async def counted(self, key: str) -> list[bytes]:
        return sorted(await self.client.zrange(key, 0, -1))


@pytest.fixture
async def dialer(client, keys, clock) -> Dialer:
    owned = {number: await leases.claim_partition(client, keys, number, "1:one") for number in range(keys.partitions)}
    return Dialer(client, keys, owned)


async def test_sessions_of_one_call_share_their_count_and_others_do_not(dialer):
    one = dialer.limits(per_session=1)
    assert await dialer.dials(one, "d1", f"{CALL}-2") is MARKED
    assert [await dialer.dials(one, "d2", name) for name in (CALL, f"{CALL}-3")] == [SESSION_LIMIT] * 2
    assert [await dialer.dials(one, "d3", name) for name in ("order-7", "CA" + "2" * 32)] == [MARKED] * 2


async def test_the_installation_dials_so_often_in_any_minute(dialer, client, keys):
    two = dialer.limits(per_minute=2)
    assert [await dialer.dials(two, f"d{number}", f"S{number}") for number in (1, 2)] == [MARKED] * 2
    assert await dialer.dials(two, "d3", "S3") is MINUTE_LIMIT
    assert 59_000 < await client.pttl(keys.dials) <= MINUTE_MS
    assert not await client.exists(keys.call_dials("S1"))

    (_, oldest_ms), (_, newest_ms) = await client.zrange(keys.dials, 0, -1, withscores=True)
    await client.zadd(keys.dials, {"d1": oldest_ms - MINUTE_MS})
    assert await dialer.dials(two, "d3", "S3") is MARKED
    assert await dialer.dials(two, "d4", "S4") is MINUTE_LIMIT
    # Left by a clock that was set back by an hour.
    await client.zadd(keys.dials, {"d2": newest_ms + 3_600_000})
    assert await dialer.dials(two, "d4", "S4") is MARKED
    assert await dialer.counted(keys.dials) == [b"d3", b"d4"]


async def test_dials_of_a_call_count_for_a_day(dialer, client, keys):
    one = dialer.limits(per_session=1)
    assert await dialer.dials(one, "d1") is MARKED
    assert DAY_MS - 1_000 < await client.pttl(keys.call_dials(CALL)) <= DAY_MS
    ((_, at_ms),) = await client.zrange(keys.call_dials(CALL), 0, -1, withscores=True)
    await client.zadd(keys.call_dials(CALL), {"d1": at_ms - DAY_MS + 60_000})
    assert await dialer.dials(one, "d2") is SESSION_LIMIT
    await client.zadd(keys.call_dials(CALL), {"d1": at_ms - DAY_MS})
    assert await dialer.dials(one, "d2") is MARKED


async def test_refused_dial_is_not_marked_nor_counted_within_the_other_limit(dialer, client, keys):
    assert await dialer.dials(dialer.limits(per_session=1), "d1") is MARKED
    assert await dialer.dials(dialer.limits(per_session=1, per_minute=5), "d2") is SESSION_LIMIT
    assert not await client.exists(keys.dials)
    assert await dialer.dials(dialer.limits(per_minute=1), "d3") is MARKED
    assert await dialer.dials(dialer.limits(per_session=5, per_minute=1), "d4") is MINUTE_LIMIT
    assert await dialer.counted(keys.call_dials(CALL)) == [b"d1"]

    waiting = await client.hgetall(keys.outbox(keys.partition_of(CALL)))
    marks = {name: effect_codec.decode(body).sent_at_ms for name, body in waiting.items()}
    assert marks == {b"d1": 7_000, b"d2": None, b"d3": 7_000, b"d4": None}


async def test_dial_that_was_marked_is_counted_once_and_stays_marked_beyond_the_limit(dialer, keys):
    one = dialer.limits(per_session=1, per_minute=1)
    dial = await dialer.order("d1")
    assert [await dialer.mark(one, dial) for _ in range(3)] == [MARKED, ALREADY_MARKED, ALREADY_MARKED]
    for key in (keys.dials, keys.call_dials(CALL)):
        assert await dialer.counted(key) == [b"d1"]


async def test_redial_of_what_twilio_refused_is_not_counted_again(dialer, keys):
    one = dialer.limits(per_session=1, per_minute=1)
    assert await dialer.dials(one, "d1") is MARKED
    assert await dialer.dials(one, "d2", is_redial=True) is MARKED
    assert await dialer.counted(keys.call_dials(CALL)) == [b"d1"]
    assert await dialer.dials(one, "d3") is MINUTE_LIMIT


@pytest.mark.parametrize("per_session, per_minute", [(7, 0), (0, 7), (7, 9), (9, 7)])
async def test_limit_is_never_exceeded_by_many_workers_that_dial_at_once(server, dialer, keys, per_session, per_minute):
    clients = [client_of(server) for _ in range(8)]
    limits = dialer.limits(per_session, per_minute)
    # Visits of one call are in several partitions. Each dial is tried twice, as after a lost answer.
    dials = [await dialer.order(f"d{number}", f"{CALL}-{2 + number % 5}") for number in range(20)] * 2
    found = await asyncio.gather(*(dialer.mark(limits, dial, clients[number % 8]) for number, dial in enumerate(dials)))
    marked = [dial.effect_id for dial, result in zip(dials, found, strict=True) if result is MARKED]
    assert len(marked) == len(set(marked)) == 7
    key = keys.call_dials(CALL) if per_session else keys.dials
    assert await dialer.counted(key) == sorted(name.encode() for name in marked)
    for one in clients:
        await one.aclose()


async def test_another_programs_key_keeps_no_one_from_a_dial_and_the_other_limit_holds(dialer, client, keys):
    both = dialer.limits(per_session=1, per_minute=2)
    await client.set(keys.call_dials(CALL), "another program's")
    assert [await dialer.dials(both, f"d{number}") for number in (1, 2, 3)] == [MARKED, MARKED, MINUTE_LIMIT]
    assert await both.exceeded(client, CALL, 1) == "minute"
    assert await client.get(keys.call_dials(CALL)) == b"another program's"


async def test_full_redis_still_refuses_a_dial_beyond_the_limit(dialer, client):
    one = dialer.limits(per_session=1)
    first, second = [await dialer.order(name) for name in ("d1", "d2")]
    async with full(client):
        assert await dialer.mark(one, first) is MARKED
        assert await dialer.mark(one, second) is SESSION_LIMIT


async def test_command_is_refused_by_the_counts_and_adds_none(dialer, client, keys):
    both = dialer.limits(per_session=3, per_minute=2)

    async def exceeded(count: int, session: str = CALL) -> str:
        return await both.exceeded(client, session, count)

    assert [await exceeded(2) for _ in range(3)] == [""] * 3
    assert await dialer.dials(both, "d1") is MARKED
    assert [await exceeded(count) for count in (1, 2)] == ["", "minute"]
    await client.delete(keys.dials)
    assert await dialer.dials(both, "d2") is MARKED
    assert [await exceeded(count, f"{CALL}-2") for count in (1, 2)] == ["", "minute"]
    await client.delete(keys.dials)
    assert [await exceeded(count) for count in (1, 2)] == ["", "session"]
    assert await exceeded(2, "order-7") == ""


async def test_without_limits_redis_is_not_asked_and_counts_nothing(dialer, client, keys):
    none = dialer.limits()
    assert await none.exceeded(None, CALL, 99) == ""
    assert await dialer.dials(none, "d1") is MARKED
    assert not await client.exists(keys.dials, keys.call_dials(CALL))
