"""Leases: free and expired ones are taken, held ones are not, a lost one is noticed, all are given back."""

import asyncio

import pytest

from streams import lease as leases
from streams.lease import Lease, Renewal, Taken

pytestmark = pytest.mark.redis
KEY = "test:{0}:lease"


async def take(client, clock, name, duration_ms=5_000):
    taken, now_ms = await leases.take(client, KEY, name, clock, duration_ms)
    assert now_ms > 1_500_000_000_000
    return taken


async def test_free_lease_is_taken(client, clock):
    lease = await take(client, clock, "one")
    assert isinstance(lease, Lease)
    assert lease.holder == "1:one"
    assert lease.was_clean
    assert lease.is_sure(clock)


async def test_held_lease_is_not_taken_and_tells_its_holder(client, clock):
    await take(client, clock, "one")
    other = await take(client, clock, "two")
    assert isinstance(other, Taken)
    assert other.holder == "1:one"
    assert other.until_ms > 0


async def test_expired_lease_is_taken_and_known_as_unclean(client, clock):
    await take(client, clock, "one")
    await client.hset(KEY, "until", 123)
    lease = await take(client, clock, "two")
    assert lease.holder == "2:two"
    assert not lease.was_clean
    assert lease.sent_until_ms == 123


async def test_released_lease_is_taken_at_once_and_known_as_clean(client, clock):
    lease = await take(client, clock, "one")
    lease.commit = 0
    assert await leases.release(client, lease)
    other = await take(client, clock, "two")
    assert other.holder == "2:two"
    assert other.was_clean
    assert other.sent_until_ms == other.taken_ms


async def test_number_of_the_last_commit_goes_on_under_the_next_holder(client, clock):
    lease = await take(client, clock, "one")
    await client.hset(KEY, "commit", 41)
    await leases.release(client, lease)
    assert (await take(client, clock, "two")).commit == 41


async def test_renewal_makes_it_last_longer(client, clock):
    lease = await take(client, clock, "one")
    before = int(await client.hget(KEY, "until"))
    renewal, _ = await leases.renew(client, lease, clock, 60_000)
    assert renewal is Renewal.RENEWED
    assert int(await client.hget(KEY, "until")) > before + 50_000


async def test_renewal_of_a_lost_lease_says_so(client, clock):
    lease = await take(client, clock, "one")
    await client.hset(KEY, "until", 1)
    await take(client, clock, "two")
    renewal, _ = await leases.renew(client, lease, clock)
    assert renewal is Renewal.LOST
    assert not lease.is_sure(clock)
    assert not await leases.release(client, lease)
    assert (await client.hget(KEY, "holder")) == b"2:two"


async def test_lease_that_ran_out_by_our_own_clock_is_not_sure(client, clock):
    lease = await take(client, clock, "one", duration_ms=1)
    await asyncio.sleep(0.002)
    assert not lease.is_sure(clock)


async def test_of_many_who_ask_at_once_one_gets_it(client, clock):
    taken = await asyncio.gather(*(take(client, clock, f"worker-{n}") for n in range(20)))
    assert sum(isinstance(lease, Lease) for lease in taken) == 1


async def test_full_redis_still_renews_and_hands_over(client, clock):
    lease = await take(client, clock, "one")
    await client.config_set("maxmemory", "100kb")
    try:
        assert (await leases.renew(client, lease, clock))[0] is Renewal.RENEWED
        assert await leases.release(client, lease)
        assert isinstance(await take(client, clock, "two"), Lease)
    finally:
        await client.config_set("maxmemory", "0")


async def test_own_lease_is_taken_anew_when_the_answer_that_gave_it_was_lost(client, clock):
    first = await take(client, clock, "one")
    again = await take(client, clock, "one")
    assert (first.holder, again.holder) == ("1:one", "2:one")
    assert not again.was_clean


async def test_lease_is_not_sure_within_the_margin_before_its_end(client, clock):
    lease = await take(client, clock, "one", duration_ms=5_000)
    assert lease.is_sure(clock, margin_s=1.0)
    assert not lease.is_sure(clock, margin_s=6.0)


async def test_history_that_went_back_is_noticed_by_the_renewal(client, clock):
    lease = await take(client, clock, "one")
    lease.commit = 7
    await client.hset(KEY, "commit", 5)
    assert (await leases.renew(client, lease, clock))[0] is Renewal.REWOUND
    assert not lease.is_sure(clock)
