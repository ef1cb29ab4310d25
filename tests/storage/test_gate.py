"""Who passes our gate: one call for a dial, one dial for a contest, in whatever order they ask."""

import asyncio

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.client import make_client
from conferral.storage.ingest.writer import BatchingIngest, GateClaim
from tests.support.redis_clients import full

pytestmark = pytest.mark.redis
SESSION = "CA" + "1" * 32
ONE, TWO, THREE, RING_GROUP = "d" * 20, "e" * 20, "c" * 20, "f" * 20


async def test_a_dial_belongs_to_the_call_that_asks_first_however_often_it_asks(publisher):
    claims = [await publisher.claim_gate(SESSION, ONE, call) for call in ("CA2", "CA3", "CA2", "CA3")]

    assert claims == [GateClaim.OURS, GateClaim.ANOTHER_CALL] * 2


@pytest.mark.parametrize(("first", "second"), [(ONE, TWO), (TWO, ONE)])
async def test_a_ring_group_belongs_to_the_dial_that_asks_first_however_often_it_asks(publisher, first, second):
    async def claim(dial):
        return await publisher.claim_gate(SESSION, dial, f"CA-{dial}", RING_GROUP)

    assert [await claim(dial) for dial in (first, second, first, second)] == [GateClaim.OURS, GateClaim.LOST] * 2


@pytest.mark.parametrize(
    ("gone",          "expected"),
    [
        ([],              GateClaim.LOST),
        ([THREE],         GateClaim.LOST),      # not the one that has won
        ([ONE],           GateClaim.OURS),
        ([THREE, ONE],    GateClaim.OURS),
        ([TWO],           GateClaim.LOST),
    ],
)  # fmt: skip
async def test_a_ring_group_whose_winner_has_left_goes_to_the_next_who_asks(publisher, gone, expected):
    await publisher.claim_gate(SESSION, ONE, "CA2", RING_GROUP)

    assert await publisher.claim_gate(SESSION, TWO, "CA3", RING_GROUP, gone) is expected


async def test_claim_lost_once_stays_lost_even_after_the_winner_has_left(publisher):
    await publisher.claim_gate(SESSION, ONE, "CA2", RING_GROUP)
    await publisher.claim_gate(SESSION, TWO, "CA3", RING_GROUP)

    assert await publisher.claim_gate(SESSION, TWO, "CA3", RING_GROUP, [ONE]) is GateClaim.LOST
    assert await publisher.claim_gate(SESSION, THREE, "CA4", RING_GROUP, [ONE, TWO]) is GateClaim.OURS


async def test_a_ring_group_that_was_taken_over_stays_with_the_new_winner(publisher):
    await publisher.claim_gate(SESSION, ONE, "CA2", RING_GROUP)
    assert await publisher.claim_gate(SESSION, TWO, "CA3", RING_GROUP, [ONE]) is GateClaim.OURS

    assert await publisher.claim_gate(SESSION, TWO, "CA3", RING_GROUP, [ONE]) is GateClaim.OURS
    assert await publisher.claim_gate(SESSION, ONE, "CA2", RING_GROUP) is GateClaim.LOST
    assert await publisher.claim_gate(SESSION, THREE, "CA4", RING_GROUP, [ONE]) is GateClaim.LOST


async def test_claiming_a_dial_wins_no_ring_group(publisher):
    assert await publisher.claim_gate(SESSION, ONE, "CA2") is GateClaim.OURS
    assert await publisher.claim_gate(SESSION, TWO, "CA3", RING_GROUP) is GateClaim.OURS
    assert await publisher.claim_gate(SESSION, ONE, "CA2", RING_GROUP) is GateClaim.LOST
    assert await publisher.claim_gate(SESSION, ONE, "CA2") is GateClaim.OURS


async def test_a_call_that_does_not_have_the_dial_wins_no_ring_group_for_it(publisher):
    await publisher.claim_gate(SESSION, ONE, "CA2")

    assert await publisher.claim_gate(SESSION, ONE, "CA9", RING_GROUP) is GateClaim.ANOTHER_CALL
    assert await publisher.claim_gate(SESSION, TWO, "CA3", RING_GROUP) is GateClaim.OURS


async def test_contests_dials_and_sessions_do_not_disturb_each_other(publisher):
    """A dial and a contest of the same word too."""
    for session in (SESSION, "CA" + "2" * 32):
        assert await publisher.claim_gate(session, ONE, f"CA-{session}", TWO) is GateClaim.OURS
        assert await publisher.claim_gate(session, TWO, f"CB-{session}", ONE) is GateClaim.OURS


async def test_gate_claims_expire_after_the_longest_session(publisher, client, keys):
    await publisher.claim_gate(SESSION, ONE, "CA2", RING_GROUP)

    assert 86_399_000 < await client.pttl(keys.gates(SESSION)) <= 86_400_000


async def test_many_who_come_at_once_wait_for_a_connection_and_are_not_turned_away(single, keys, clock):
    """The webhooks' client has eight; with none free, a request got "Redis unreachable"."""
    client = make_client(single.url, max_connections=8)
    publisher = BatchingIngest(client, keys, clock)
    claims = [publisher.claim_gate(f"s{number}", ONE, "CA2") for number in range(60)]
    writes = [publisher.read(f"s{number}") for number in range(60)]
    assert await asyncio.gather(*claims) == [GateClaim.OURS] * 60
    assert await asyncio.gather(*writes) == [None] * 60
    await publisher.close()
    await client.aclose()


async def test_full_redis_rejects_gate_claims(publisher, client, keys):
    async with full(client):
        with pytest.raises(StoreUnreachableError):
            await publisher.claim_gate(SESSION, ONE, "CA2", RING_GROUP)
    assert not await client.exists(keys.gates(SESSION))
