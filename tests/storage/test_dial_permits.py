"""Placing calls: the mark before a request that can't be verified, turns of all workers, and whose a call is."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest

from conferral.statemachine.effects import CreateCall
from conferral.storage import coordinator as leases
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.coordinator import Lease, acquire_dial_permit
from conferral.storage.partition.partition_store import MarkResult
from tests.support.redis_clients import full

pytestmark = pytest.mark.redis
PARTITION = 0
DIAL = CreateCall(
    effect_id="d1", session_id="S1", party="target", to="client:bob", timeout_s=30, digits='1"sent_at_ms":5,'
)
ENTRY = OutboxEntry(DIAL, 1_000)
Permit = Callable[..., Awaitable[float]]


@pytest.fixture
def permit(client, keys) -> Permit:
    return partial(acquire_dial_permit, client, keys)


@pytest.fixture
async def lease(client, keys, clock) -> Lease:
    return await leases.claim_partition(client, keys, PARTITION, "1:one")


@pytest.fixture
async def ordered(client, keys):
    await client.hset(keys.outbox(PARTITION), "d1", effect_codec.encode(ENTRY))


async def entry(client, keys) -> OutboxEntry | None:
    return effect_codec.decode(await client.hget(keys.outbox(PARTITION), "d1"))


# ---- marks -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ordered")
async def test_first_mark_is_what_the_codec_writes_and_a_second_is_reported(client, keys, access, lease):
    assert await access.mark_sent(PARTITION, lease, "d1", 7_000) is MarkResult.MARKED
    assert await access.mark_sent(PARTITION, lease, "d1", 8_000) is MarkResult.ALREADY_MARKED

    body = await client.hget(keys.outbox(PARTITION), "d1")
    assert effect_codec.decode(body) == replace(ENTRY, sent_at_ms=7_000)


async def test_dial_no_one_waits_for_is_not_marked(client, keys, access, lease):
    assert await access.mark_sent(PARTITION, lease, "d1", 7_000) is MarkResult.REFUSED
    assert not await client.exists(keys.outbox(PARTITION))


@pytest.mark.usefixtures("ordered")
async def test_mark_passes_when_redis_is_full(client, access, lease):
    async with full(client):
        assert await access.mark_sent(PARTITION, lease, "d1", 7_000) is MarkResult.MARKED


# ---- whose a call is -------------------------------------------------------------------------------------------------


async def test_call_is_whose_notes_it_first(client, keys, access):
    assert await access.claim_call("S1", "CA1")
    assert await access.claim_call("S1", "CA1")
    assert not await access.claim_call("S2", "CA1")

    assert await client.get(keys.call("CA1")) == b"S1"
    assert await client.ttl(keys.call("CA1")) > 86_400


async def test_effect_without_a_commit_appears_in_the_outbox_once(client, keys, access):
    await access.append_effect(PARTITION, DIAL, 1_000)
    await access.append_effect(PARTITION, DIAL, 2_000)

    assert await entry(client, keys) == ENTRY


# ---- turns -----------------------------------------------------------------------------------------------------------


async def becomes_due(client, keys) -> None:
    """The time of the next turn has come."""
    await client.hset(keys.dial_rate, "next", 0)


async def asks(permit: Permit, name: str, *, urgent: bool = True) -> bool:
    return await permit(name, 0.01, urgent=urgent) == 0.0


async def test_dial_permits_are_spaced_as_requested(client, keys, permit):
    assert await permit("one", 2, urgent=True) == 0.0
    assert 0.4 < await permit("one", 2, urgent=True) <= 0.5
    assert 0.4 < await permit("two", 2, urgent=True) <= 0.5


async def test_wait_for_a_turn_that_is_far_off_is_cut_so_that_who_stops_asking_is_noticed(permit):
    assert await permit("one", 0.01, urgent=True) == 0.0
    assert await permit("two", 0.01, urgent=True) == 1.0


async def test_pause_saves_no_turns(client, keys, permit):
    assert await asks(permit, "one")
    await becomes_due(client, keys)
    assert await asks(permit, "one")
    assert not await asks(permit, "one")


async def test_slightly_late_request_does_not_slow_the_dial_rate(client, keys, permit):
    assert await asks(permit, "one")
    assert not await asks(permit, "one")
    seconds, micros = await client.time()
    now_us = seconds * 1_000_000 + micros
    # It has waited since before the turn was due, and asks three seconds after that.
    await client.hset(keys.dial_rate, "one", f"0 {now_us - 9_000_000} {now_us + 1_000_000}")
    await client.hset(keys.dial_rate, "next", now_us - 3_000_000)

    assert await asks(permit, "one")

    following_us = int(await client.hget(keys.dial_rate, "next"))
    assert following_us == now_us - 3_000_000 + 100_000_000


async def test_workers_take_turns(client, keys, permit):
    """Each always has more to dial, and asking first and most often gains nothing."""
    names = ["one", "two", "three"]
    for name in names:
        await asks(permit, name)
        await asks(permit, name)
    got: list[str] = []
    for _ in range(30):
        await becomes_due(client, keys)
        for name in ["one", "one", *names]:
            if await asks(permit, name):
                got.append(name)
                assert not await asks(permit, name)

    assert len(got) == 30
    assert {name: got.count(name) for name in names} == dict.fromkeys(names, 10)


async def test_dial_without_a_waiting_caller_gets_no_turn_before_one_with(client, keys, permit):
    assert await asks(permit, "one")
    assert not await asks(permit, "one", urgent=False)
    assert not await asks(permit, "two", urgent=True)
    for _ in range(3):
        await becomes_due(client, keys)
        assert not await asks(permit, "one", urgent=False)
        assert await asks(permit, "two", urgent=True)
        assert not await asks(permit, "two", urgent=True)

    await client.hdel(keys.dial_rate, "two")
    await becomes_due(client, keys)
    assert await asks(permit, "one", urgent=False)


async def test_dial_that_stops_asking_loses_its_place(client, keys, permit):
    assert await asks(permit, "one")
    assert not await asks(permit, "gone", urgent=True)
    await becomes_due(client, keys)
    assert not await asks(permit, "one", urgent=False)

    word, since, _ = (await client.hget(keys.dial_rate, "gone")).split()
    await client.hset(keys.dial_rate, "gone", b"%s %s 5" % (word, since))

    assert await asks(permit, "one", urgent=False)
    assert not await client.hexists(keys.dial_rate, "gone")


async def test_clock_set_back_or_raised_rate_delays_no_dial(client, keys, permit):
    seconds, _ = await client.time()
    await client.hset(keys.dial_rate, "next", (seconds + 86_400) * 1_000_000)
    await client.hset(keys.dial_rate, "gone", f"0 {(seconds + 86_000) * 1_000_000} {(seconds + 86_400) * 1_000_000}")

    assert 0.4 < await permit("one", 2, urgent=False) <= 0.5

    assert not await client.hexists(keys.dial_rate, "gone")


async def test_nonsense_in_the_key_is_passed_over(client, keys, permit):
    await client.hset(keys.dial_rate, mapping={"next": "soon", "odd": "?"})

    assert await asks(permit, "one")


async def test_unused_dial_rate_state_expires(client, keys, permit):
    await permit("one", 1, urgent=True)

    assert 0 < await client.pttl(keys.dial_rate) <= 3_000


async def test_turns_are_given_when_redis_is_full(client, permit):
    async with full(client):
        assert await asks(permit, "one")
        assert not await asks(permit, "two")
