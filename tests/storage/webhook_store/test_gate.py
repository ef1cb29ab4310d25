"""Who passes our gate: one call for a dial, one dial for a contest, in whatever order they ask."""

import asyncio

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.client import make_client
from conferral.storage.webhook_store.store import GateClaim, WebhookStore
from tests.support.redis_clients import full

pytestmark = pytest.mark.redis
SESSION = "CA" + "1" * 32
ONE, TWO, THREE, RING_GROUP = "d" * 20, "e" * 20, "c" * 20, "f" * 20


OURS, LOST, ANOTHER_CALL = GateClaim.OURS, GateClaim.LOST, GateClaim.ANOTHER_CALL
FIRST = (ONE, "CA2", RING_GROUP, [], OURS)


@pytest.mark.parametrize("claims", [
    pytest.param([(ONE, "CA2", "", [], OURS), (ONE, "CA3", "", [], ANOTHER_CALL)] * 2,
                 id="a dial belongs to the call that asks first, however often it asks"),
    *(pytest.param([(first, "CA2", RING_GROUP, [], OURS), (second, "CA3", RING_GROUP, [], LOST)] * 2,
                   id=f"a ring group belongs to the dial that asks first: {first[0]}")
      for first, second in ((ONE, TWO), (TWO, ONE))),
    *(pytest.param([FIRST, (TWO, "CA3", RING_GROUP, gone, LOST)], id="it stays with a winner who has not left")
      for gone in ([], [THREE], [TWO])),
    *(pytest.param([FIRST, (TWO, "CA3", RING_GROUP, gone, OURS)], id="whose winner has left, it goes to the next")
      for gone in ([ONE], [THREE, ONE])),
    pytest.param([FIRST, (TWO, "CA3", RING_GROUP, [], LOST), (TWO, "CA3", RING_GROUP, [ONE], LOST),
                  (THREE, "CA4", RING_GROUP, [ONE, TWO], OURS)], id="who has lost once stays out"),
    pytest.param([FIRST, *[(TWO, "CA3", RING_GROUP, [ONE], OURS)] * 2, (ONE, "CA2", RING_GROUP, [], LOST),
                  (THREE, "CA4", RING_GROUP, [ONE], LOST)], id="taken over, it stays with the new winner"),
    pytest.param([(ONE, "CA2", "", [], OURS), (TWO, "CA3", RING_GROUP, [], OURS), (ONE, "CA2", RING_GROUP, [], LOST),
                  (ONE, "CA2", "", [], OURS)], id="claiming a dial wins no ring group"),
    pytest.param([(ONE, "CA2", "", [], OURS), (ONE, "CA9", RING_GROUP, [], ANOTHER_CALL),
                  (TWO, "CA3", RING_GROUP, [], OURS)], id="nor does a call that does not have the dial"),
])  # fmt: skip
async def test_claims_of_dials_and_ring_groups_are_granted_once(publisher, claims):
    for dial, call, group, gone, expected in claims:
        assert await publisher.claim_gate(SESSION, dial, call, group, gone) is expected


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
    publisher = WebhookStore(client, keys, clock)
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
