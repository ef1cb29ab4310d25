"""Limits of dials by REST: reservations for all dials of a command or for none, exact when many ask at once."""

import asyncio

import pytest

from conferral.statemachine.ids import dial_reservation
from conferral.statemachine.parts import TARGETS_MAX
from conferral.storage.dial_limits import DialLimits
from tests.support.redis_clients import client_of, full

pytestmark = pytest.mark.redis
CALL = "CA" + "1" * 32
MINUTE_MS, DAY_MS = 60_000, 86_400_000


def reservations(command_id: str, count: int = 1) -> list[str]:
    return [dial_reservation(command_id, number) for number in range(1, count + 1)]


@pytest.fixture
def limits(client, keys):
    def make(per_session=0, per_minute=0):
        return DialLimits(client, keys, per_session, per_minute)

    return make


async def test_command_with_several_targets_needs_reservations_for_all_of_them(limits, client, keys):
    three = limits(per_session=3)
    assert await three.reserve(CALL, reservations("c1", 2)) == ""
    assert await three.reserve(CALL, reservations("c2", 2)) == "session"
    assert await client.zcard(keys.call_dials(CALL)) == 2
    assert await three.reserve(CALL, reservations("c3")) == ""
    assert await three.reserve(CALL, reservations("c4")) == "session"


async def test_sessions_of_one_call_share_their_reservations_and_others_do_not(limits):
    one = limits(per_session=1)
    assert await one.reserve(f"{CALL}-2", reservations("c1")) == ""
    assert [await one.reserve(name, reservations("c2")) for name in (CALL, f"{CALL}-3")] == ["session"] * 2
    assert [await one.reserve(name, reservations("c2")) for name in ("order-7", "CA" + "2" * 32)] == [""] * 2


async def test_the_installation_dials_so_often_in_any_minute(limits, client, keys):
    two = limits(per_minute=2)
    assert await two.reserve("S1", reservations("c1")) == ""
    assert await two.reserve("S2", reservations("c2"), sent=True) == ""
    assert await two.reserve("S3", reservations("c3")) == "minute"
    assert 59_000 < await client.pttl(keys.dials) <= MINUTE_MS
    assert not await client.exists(keys.call_dials("S1"))

    (_, oldest_ms), (_, newest_ms) = await client.zrange(keys.dials, 0, -1, withscores=True)
    await client.zadd(keys.dials, {"c1#1": oldest_ms - MINUTE_MS})
    assert await two.reserve("S3", reservations("c3")) == ""
    assert await two.reserve("S4", reservations("c4")) == "minute"
    # Left by a clock that was set back by an hour.
    await client.zadd(keys.dials, {"c2#1!": newest_ms + 3_600_000})
    assert await two.reserve("S4", reservations("c4")) == ""


async def test_dials_of_a_call_count_for_a_day(limits, client, keys):
    one = limits(per_session=1)
    assert await one.reserve(CALL, reservations("c1"), sent=True) == ""
    assert DAY_MS - 1_000 < await client.pttl(keys.call_dials(CALL)) <= DAY_MS
    ((_, at_ms),) = await client.zrange(keys.call_dials(CALL), 0, -1, withscores=True)
    await client.zadd(keys.call_dials(CALL), {"c1#1!": at_ms - DAY_MS + 60_000})
    assert await one.reserve(CALL, reservations("c2")) == "session"
    await client.zadd(keys.call_dials(CALL), {"c1#1!": at_ms - DAY_MS})
    assert await one.reserve(CALL, reservations("c2")) == ""


async def test_the_same_reservation_counts_once_whether_reserved_or_sent(limits, client, keys):
    one = limits(per_session=1, per_minute=1)
    for sent in (False, False, True, True, False):
        assert await one.reserve(CALL, reservations("c1"), sent=sent) == ""
    assert await client.zrange(keys.call_dials(CALL), 0, -1) == [b"c1#1!"]
    assert await client.zrange(keys.dials, 0, -1) == [b"c1#1!"]


async def test_dial_counts_from_when_it_is_sent_and_makes_another_reservation_if_its_own_expired(limits, client, keys):
    one = limits(per_minute=1)
    assert await one.reserve("S1", reservations("c1")) == ""
    ((_, at_ms),) = await client.zrange(keys.dials, 0, -1, withscores=True)
    await client.zadd(keys.dials, {"c1#1": at_ms - MINUTE_MS + 10_000})
    assert await one.reserve("S1", reservations("c1"), sent=True) == ""
    assert (await client.zscore(keys.dials, "c1#1!")) >= at_ms

    await client.delete(keys.dials)
    assert await one.reserve("S2", reservations("c2")) == ""
    assert await one.reserve("S1", reservations("c1"), sent=True) == "minute"


async def test_nothing_is_reserved_within_one_limit_if_the_other_refuses(limits, client, keys):
    assert await limits(per_session=1).reserve(CALL, reservations("c1")) == ""
    both = limits(per_session=1, per_minute=5)
    assert await both.reserve(CALL, reservations("c2")) == "session"
    assert not await client.exists(keys.dials)
    assert await limits(per_session=5, per_minute=1).reserve(CALL, reservations("c3", 2)) == "minute"
    assert await client.zrange(keys.call_dials(CALL), 0, -1) == [b"c1#1"]


@pytest.mark.parametrize("per_session, per_minute", [(7, 0), (0, 7), (7, 9), (9, 7)])
async def test_limit_is_never_exceeded_by_many_who_ask_at_once(server, keys, per_session, per_minute):
    clients = [client_of(server) for _ in range(4)]
    limits = [DialLimits(one, keys, per_session, per_minute) for one in clients]
    asked = [(f"c{number}", 1 + number % 3) for number in range(20)] * 2  # each twice, as after a router's death
    found = await asyncio.gather(
        *(limits[at % 4].reserve(CALL, reservations(name, count)) for at, (name, count) in enumerate(asked))
    )
    granted = {name: count for (name, count), limit in zip(asked, found, strict=True) if not limit}
    key = keys.call_dials(CALL) if per_session else keys.dials
    assert sum(granted.values()) == await clients[0].zcard(key) == 7
    for one in clients:
        await one.aclose()


async def test_without_limits_redis_is_not_asked(keys):
    none = DialLimits(None, keys)
    assert await none.reserve(CALL, reservations("c1")) == ""
    assert none.reservations_of(CALL, "c1") == []
    possible = [(keys.dials, reservations("c1", TARGETS_MAX))]
    assert DialLimits(None, keys, per_minute=1).reservations_of(CALL, "c1") == possible


async def test_full_redis_still_refuses_a_dial_beyond_the_limit(limits, client):
    one = limits(per_session=1)
    assert await one.reserve(CALL, reservations("c1"), sent=True) == ""
    async with full(client):
        assert await one.reserve(CALL, reservations("c2")) == "session"
        assert await limits(per_session=2).reserve(CALL, reservations("c2")) == ""
        assert await one.reserve(CALL, reservations("c1"), sent=True) == ""
