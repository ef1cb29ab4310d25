"""The partition's own key: who may commit, and what shows that Redis lost something."""

import pytest

from conferral.storage import coordinator as leases
from conferral.storage.coordinator import VERIFY_S, EpochUsedError, RolledBackError
from tests.support.memory_redis import MemoryServer

P = 1


async def test_owner_claims_with_a_higher_epoch_only(client, keys, clock):
    lease = await leases.claim_partition(client, keys, P, "3:one", clock)
    assert (lease.holder, lease.commit, lease.last_holder, lease.is_verifying(clock)) == ("3:one", 0, "", False)
    assert await client.hget(keys.lease(P), "holder") == b"3:one"
    for holder in ("3:two", "2:two"):
        with pytest.raises(EpochUsedError) as refused:
            await leases.claim_partition(client, keys, P, holder, clock)
        assert refused.value.epoch == 3
    assert (await leases.claim_partition(client, keys, P, "3:one", clock)).holder == "3:one", "its answer was lost"
    after = await leases.claim_partition(client, keys, P, "10:two", clock)
    assert after.last_holder == "one", "it may have died"


async def test_next_holder_learns_that_the_last_one_gave_it_back(client, keys, clock):
    first = await leases.claim_partition(client, keys, P, "1:one", clock)
    await client.hset(keys.lease(P), "commit", 5)
    first.commit = 5
    await client.xadd(keys.events(P), {"type": "x"})
    await leases.confirm_partition(client, keys, P, first, gives_back=True)
    assert first.waiting == 1
    second = await leases.claim_partition(client, keys, P, "2:two", clock)
    assert (second.commit, second.last_holder, second.waiting) == (5, "", 1)
    assert (await leases.claim_partition(client, keys, P, "3:three", clock)).last_holder == "two"


async def test_fewer_commits_than_were_made_are_a_rollback(client, keys, clock):
    lease = await leases.claim_partition(client, keys, P, "1:one", clock)
    await client.hset(keys.lease(P), "commit", 5)
    lease.commit = 5
    await leases.confirm_partition(client, keys, P, lease)
    await client.hset(keys.lease(P), "commit", 4)
    with pytest.raises(RolledBackError):
        await leases.confirm_partition(client, keys, P, lease)
    again = await leases.claim_partition(client, keys, P, "2:one", clock, is_rolled_back=True)
    assert (again.commit, again.is_verifying(clock)) == (4, True)
    await client.delete(keys.lease(P))
    with pytest.raises(RolledBackError):
        await leases.confirm_partition(client, keys, P, again)


async def test_all_holders_verify_for_one_minute_after_another_server(client, keys, clock):
    """What came after the rollback was noticed is new for each of them, such as the answer of a read."""
    first = await leases.claim_partition(client, keys, P, "1:one", clock)
    assert first.newest_id == "0-0"
    before = await client.xadd(keys.events(P), {"type": "t"})
    await client.hset(keys.lease(P), "server", "another")
    with pytest.raises(RolledBackError):
        await leases.confirm_partition(client, keys, P, first)
    second = await leases.claim_partition(client, keys, P, "2:one", clock)
    assert VERIFY_S - 5 < second.verify_until_s - clock.monotonic_s() <= VERIFY_S
    await client.xadd(keys.events(P), {"type": "t"})
    third = await leases.claim_partition(client, keys, P, "3:two", clock)
    assert third.verify_until_s == pytest.approx(second.verify_until_s, abs=1.0)
    assert second.newest_id == third.newest_id == before.decode()


async def test_verification_ends_although_the_clock_was_set_back(keys, clock):
    times_ms = [10**12]
    server = MemoryServer(lambda: times_ms[0])
    client = server.client()
    await leases.claim_partition(client, keys, P, "1:one", clock)
    await client.hset(keys.lease(P), "server", "another")
    await leases.claim_partition(client, keys, P, "2:one", clock)
    times_ms[0] -= 3_600_000
    lease = await leases.claim_partition(client, keys, P, "3:one", clock)
    assert lease.verify_until_s - clock.monotonic_s() <= VERIFY_S


async def test_server_that_hides_its_run_id_is_judged_by_its_commits(keys, clock):
    client = MemoryServer(lambda: 10**12).client()
    lease = await leases.claim_partition(client, keys, P, "1:one", clock)
    await client.hset(keys.lease(P), "server", "")
    await leases.confirm_partition(client, keys, P, lease)
    assert not (await leases.claim_partition(client, keys, P, "2:two", clock)).is_verifying(clock)
