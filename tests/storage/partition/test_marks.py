"""Placing calls: the mark before a request that can't be verified, and whose a call is."""

from dataclasses import replace

import pytest

from conferral.statemachine import record
from conferral.statemachine.effects import CreateCall
from conferral.statemachine.parts import DialOptions
from conferral.storage import coordinator as leases
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.coordinator import Lease
from conferral.storage.offers import Claim
from conferral.storage.partition.partition_store import MarkResult
from tests.support.redis_clients import full

pytestmark = pytest.mark.redis
PARTITION = 0
DIAL = CreateCall(
    effect_id="d1",
    session_id="S1",
    party="target",
    to="client:bob",
    options=DialOptions(timeout_s=30, digits='1"sent_at_ms":5,'),
)
ENTRY = OutboxEntry(DIAL, 1_000)


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
    assert await access.mark_sent(PARTITION, lease, DIAL, 7_000) is MarkResult.MARKED
    assert await access.mark_sent(PARTITION, lease, DIAL, 8_000) is MarkResult.ALREADY_MARKED

    body = await client.hget(keys.outbox(PARTITION), "d1")
    assert effect_codec.decode(body) == replace(ENTRY, sent_at_ms=7_000)


async def test_dial_no_one_waits_for_is_not_marked(client, keys, access, lease):
    assert await access.mark_sent(PARTITION, lease, DIAL, 7_000) is MarkResult.REFUSED
    assert not await client.exists(keys.outbox(PARTITION))


@pytest.mark.usefixtures("ordered")
@pytest.mark.parametrize("claim", ["", Claim("S2", 1, 8_000).text, "S1", "another program's"])
async def test_offer_that_has_ended_is_not_marked(client, keys, access, lease, claim):
    """Its commit may take so long that the agent is offered another caller meanwhile."""
    offer = record.replace(DIAL, is_offer=True)
    if claim:
        await client.set(keys.offer("bob"), claim)
    assert await access.mark_sent(PARTITION, lease, offer, 7_000) is MarkResult.OFFER_ENDED
    assert await entry(client, keys) == ENTRY
    await client.set(keys.offer("bob"), Claim("S1", 1, 8_000).text)
    assert await access.mark_sent(PARTITION, lease, offer, 7_000) is MarkResult.MARKED
    await client.delete(keys.offer("bob"))
    assert await access.mark_sent(PARTITION, lease, offer, 8_000) is MarkResult.ALREADY_MARKED


@pytest.mark.usefixtures("ordered")
async def test_mark_passes_when_redis_is_full(client, access, lease):
    async with full(client):
        assert await access.mark_sent(PARTITION, lease, DIAL, 7_000) is MarkResult.MARKED


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
