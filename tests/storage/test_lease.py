"""Leases: free and expired ones are taken, held ones are not, a lost one is noticed, all are given back."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import BusyLoadingError

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.client import make_client, server_identity
from conferral.storage.connection.cluster import ClusterClient
from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import Lease, LeaseInfo, LeaseMonitor, Renewal
from tests.storage.test_lease_times import Hands
from tests.support.redis_clients import full

pytestmark = pytest.mark.redis
KEY = "test:{0}:lease"


async def take(client, clock, name, duration_ms=5_000):
    taken, now_ms = await leases.acquire(client, KEY, name, clock, duration_ms)
    assert now_ms > 1_500_000_000_000
    return taken


async def test_free_lease_is_taken_for_its_duration(client, clock):
    lease = await take(client, clock, "one", duration_ms=5_000)
    assert isinstance(lease, Lease)
    assert lease.holder == "1:one"
    assert lease.was_released
    assert lease.is_valid(clock, margin_s=1.0)
    assert not lease.is_valid(clock, margin_s=6.0)


async def test_held_lease_is_not_acquired_and_its_holder_is_returned(client, clock):
    await take(client, clock, "one")
    other = await take(client, clock, "two")
    assert isinstance(other, LeaseInfo)
    assert other.holder == "1:one"
    assert other.until_ms > 0


async def test_expired_lease_is_taken_and_known_as_unclean(client, clock):
    await take(client, clock, "one")
    await client.hset(KEY, "until", 123)
    lease = await take(client, clock, "two")
    assert lease.holder == "2:two"
    assert not lease.was_released
    assert lease.sent_until_ms == 123


async def test_released_lease_is_taken_at_once_and_known_as_clean(client, clock):
    lease = await take(client, clock, "one")
    lease.commit = 0
    assert await leases.release(client, lease)
    other = await take(client, clock, "two")
    assert other.holder == "2:two"
    assert other.was_released
    assert other.sent_until_ms == other.acquired_at_ms


async def test_commit_number_continues_under_the_next_holder(client, clock):
    lease = await take(client, clock, "one")
    await client.hset(KEY, "commit", 41)
    await leases.release(client, lease)
    assert (await take(client, clock, "two")).commit == 41


async def test_renewal_makes_it_last_longer(client, clock):
    lease = await take(client, clock, "one")
    before, requested_at_s = int(await client.hget(KEY, "until")), clock.monotonic_s()
    renewal, _ = await leases.renew(client, lease, clock, 60_000)
    assert renewal is Renewal.RENEWED
    assert int(await client.hget(KEY, "until")) > before + 50_000
    assert lease.valid_until_s == pytest.approx(requested_at_s + 60.0, abs=1.0)


async def test_renewal_of_a_lost_lease_says_so(client, clock):
    lease = await take(client, clock, "one")
    await client.hset(KEY, "until", 1)
    await take(client, clock, "two")
    renewal, _ = await leases.renew(client, lease, clock)
    assert renewal is Renewal.LOST
    assert not lease.is_valid(clock)
    assert not await leases.release(client, lease)
    assert (await client.hget(KEY, "holder")) == b"2:two"


async def test_late_renewal_does_not_take_back_what_was_given_back(client, clock):
    """It may have been asked for right before, over another connection."""
    lease = await take(client, clock, "one")
    assert await leases.release(client, lease)
    assert (await leases.renew(client, lease, clock))[0] is Renewal.LOST
    assert not lease.is_valid(clock)
    assert (await client.hget(KEY, "until")) == b"0"
    assert isinstance(await take(client, clock, "two"), Lease)


async def test_one_of_many_concurrent_acquirers_gets_the_lease(client, clock):
    taken = await asyncio.gather(*(take(client, clock, f"worker-{n}") for n in range(20)))
    assert sum(isinstance(lease, Lease) for lease in taken) == 1


async def test_full_redis_still_renews_and_hands_over(client, clock):
    lease = await take(client, clock, "one")
    async with full(client):
        assert (await leases.renew(client, lease, clock))[0] is Renewal.RENEWED
        assert await leases.release(client, lease)
        assert isinstance(await take(client, clock, "two"), Lease)


async def test_own_lease_is_acquired_again_when_the_reply_was_lost(client, clock):
    first = await take(client, clock, "one")
    again = await take(client, clock, "one")
    assert (first.holder, again.holder) == ("1:one", "2:one")
    assert not again.was_released


async def test_history_that_went_back_is_noticed_by_the_renewal(client, clock):
    lease = await take(client, clock, "one")
    lease.commit = 7
    await client.hset(KEY, "commit", 5)
    assert (await leases.renew(client, lease, clock))[0] is Renewal.ROLLED_BACK
    assert not lease.is_valid(clock)


# ---- another server --------------------------------------------------------------------------------------------------


async def test_lease_names_the_server_that_its_holder_works_with(client, clock):
    lease = await take(client, clock, "one")
    assert lease.redis_before == ""
    assert lease.redis in (await server_identity(client))[0].split()
    await leases.renew(client, lease, clock, 5_000, lease.acquired_at_ms)
    assert await client.hget(KEY, "redis") == lease.redis.encode()
    await client.hset(KEY, "until", 1)
    again = await take(client, clock, "two")
    assert (again.redis_before, again.may_lack_writes_until_s) == (lease.redis, 0.0)


@pytest.mark.parametrize("until", [0, 1])
async def test_lease_of_another_server_is_taken_with_care_and_stays_unknown_meanwhile(client, clock, until):
    first = await take(client, clock, "one")
    await client.hset(KEY, mapping={"redis": "another", "until": until})
    lease = await take(client, clock, "two")
    assert lease.may_lack_writes_until_s == pytest.approx(clock.monotonic_s() + leases.VERIFY_AFTER_FAILOVER_S, abs=5)
    await leases.renew(client, lease, clock, 5_000, lease.acquired_at_ms)
    noted = f"-{lease.acquired_at_ms}:{lease.redis}:{lease.commit}"
    assert await client.hget(KEY, "redis") == noted.encode()
    lease.may_lack_writes_until_s = 0.0
    await leases.renew(client, lease, clock, 5_000, lease.acquired_at_ms)
    assert await client.hget(KEY, "redis") == noted.encode(), "sessions are still to be checked, and entries may wait"
    lease.has_unchecked_sessions = False
    await leases.renew(client, lease, clock, 5_000, lease.acquired_at_ms)
    assert await client.hget(KEY, "redis") == first.redis.encode()


async def test_holder_that_meets_another_server_does_not_note_it_at_once(client, clock):
    lease = await take(client, clock, "one")
    lease.redis = "another"  # it has worked with that one until now
    await leases.renew(client, lease, clock, 5_000, lease.acquired_at_ms)
    assert await client.hget(KEY, "redis") == b"another"
    await leases.renew(client, lease, clock, 5_000, lease.acquired_at_ms)
    assert await client.hget(KEY, "redis") == f"={lease.rolled_back_at_ms}:{lease.redis}:{lease.commit}".encode()
    assert lease.rolled_back_at_ms >= lease.acquired_at_ms


@pytest.mark.parametrize("before", ["=", "-", "another"])
async def test_only_a_holder_of_the_lease_on_both_servers_knows_that_no_commit_is_missing(client, clock, before):
    first = await take(client, clock, "one")
    at_ms = first.acquired_at_ms - 1_000
    noted = before if before == "another" else f"{before}{at_ms}:{first.redis}:0"
    await client.hset(KEY, mapping={"redis": noted, "until": 1})
    lease = await take(client, clock, "two")
    assert lease.has_all_commits is (before == "=")
    assert lease.may_lack_writes_until_s > clock.monotonic_s()
    assert (lease.rolled_back_at_ms == at_ms) is (before != "another")
    lease.redis = "yet another"
    await leases.renew(client, lease, clock, 5_000, lease.acquired_at_ms)
    assert lease.has_all_commits is (before == "="), "the doubt from before is not over"


async def test_commit_that_only_the_replaced_server_has_accepted_is_missing(client, clock):
    lease = await take(client, clock, "one")
    lease.redis = "another"
    request = leases.RenewalRequest([(lease, lease.acquired_at_ms)], clock, 5_000)
    lease.commit += 1  # acknowledged meanwhile, by the one before
    answer = [str(lease.acquired_at_ms), b"this", [b"0", b"", 0]]
    assert request.apply(answer)[0] == [leases.Renewal.RENEWED]
    assert not lease.has_all_commits


@pytest.mark.parametrize("until, is_careful", [(0, False), (1, True)])
async def test_where_no_server_is_noted_a_death_on_a_young_one_counts(client, clock, until, is_careful):
    """An older version has noted none."""
    await take(client, clock, "one")
    await client.hset(KEY, "until", until)
    lease = await take(client, clock, "two")
    assert lease.redis_up_s is not None
    assert (lease.may_lack_writes_until_s > clock.monotonic_s()) is (
        is_careful and lease.redis_up_s < leases.VERIFY_AFTER_FAILOVER_S
    )
    assert not await client.hexists(KEY, "redis")


# ---- clocks that are set ---------------------------------------------------------------------------------------------


async def take_watched(client, clock, watch):
    return (await leases.acquire(client, KEY, "two", clock, 5_000, watch))[0]


async def test_lease_that_seems_to_have_run_out_is_not_taken_by_who_has_seen_it_renewed(client, clock):
    """Redis's clock went forward an hour; the holder lives."""
    first = await take(client, clock, "one")
    own, watch = Hands(), LeaseMonitor(5_000)
    assert isinstance(await take_watched(client, own, watch), LeaseInfo)
    await client.hset(KEY, "until", 123)  # as if an hour had passed: it reads otherwise than it did
    assert isinstance(await take_watched(client, own, watch), LeaseInfo)
    own.now_s += 4.9
    assert isinstance(await take_watched(client, own, watch), LeaseInfo)
    assert (await leases.renew(client, first, clock))[0] is Renewal.RENEWED
    assert isinstance(await take_watched(client, own, watch), LeaseInfo)
    own.now_s += 5.1
    lease = await take_watched(client, own, watch)
    assert isinstance(lease, Lease)
    assert lease.expired_at_ms == pytest.approx(lease.acquired_at_ms - 100, abs=2)


async def test_lease_that_seems_to_last_for_an_hour_runs_out_all_the_same(client, clock):
    """Redis's clock went back an hour, and the holder died."""
    await take(client, clock, "one")
    until = int(await client.hget(KEY, "until")) + 3_600_000
    await client.hset(KEY, "until", until)
    own, watch = Hands(), LeaseMonitor(5_000)
    assert isinstance(await take_watched(client, own, watch), LeaseInfo)
    own.now_s += 4.9
    assert isinstance(await take_watched(client, own, watch), LeaseInfo)
    own.now_s += 0.2
    lease = await take_watched(client, own, watch)
    assert isinstance(lease, Lease)
    assert not lease.was_released


async def test_lease_that_was_given_back_is_free_whatever_was_seen_before(client, clock):
    first = await take(client, clock, "one")
    own, watch = Hands(), LeaseMonitor(5_000)
    assert isinstance(await take_watched(client, own, watch), LeaseInfo)
    await leases.release(client, first)
    assert isinstance(await take_watched(client, own, watch), Lease)


@pytest.mark.parametrize("set_ms", [3_600_000, -3_600_000])
async def test_next_holder_continues_with_the_time_of_the_previous_one(client, clock, set_ms):
    """Redis's clock shows an hour less or more than the partition's time."""
    lease = await take(client, clock, "one")
    await leases.renew(client, lease, clock, 5_000, lease.acquired_at_ms + set_ms)
    assert int(await client.hget(KEY, "clock_offset")) == pytest.approx(set_ms, abs=900)
    await leases.release(client, lease, lease.acquired_at_ms + set_ms + 10)
    other = await take(client, clock, "two")
    assert other.clock_offset_ms == pytest.approx(set_ms, abs=900)
    assert other.sent_until_ms == other.acquired_at_ms + other.clock_offset_ms


async def test_small_differences_are_drift_and_leave_no_trace(client, clock):
    lease = await take(client, clock, "one")
    for off_ms in (-900, 700, 0):
        await leases.renew(client, lease, clock, 5_000, lease.acquired_at_ms + off_ms)
        assert await client.hget(KEY, "clock_offset") == b"0"


async def test_time_of_a_partition_never_goes_back(client, clock):
    """Redis's clock was set back while no one held it, so no one could notice."""
    lease = await take(client, clock, "one")
    await leases.renew(client, lease, clock, 5_000, lease.acquired_at_ms)
    await leases.release(client, lease, lease.acquired_at_ms)
    await client.hset(KEY, "at", lease.acquired_at_ms + 3_600_000)
    other = await take(client, clock, "two")
    assert other.acquired_at_ms + other.clock_offset_ms == lease.acquired_at_ms + 3_600_000


async def test_lease_of_no_partition_has_no_time(client, clock):
    lease = await take(client, clock, "one")
    await leases.renew(client, lease, clock)
    await leases.release(client, lease)
    assert set(await client.hkeys(KEY)) == {b"holder", b"until", b"commit"}


async def test_standings_are_read_in_one_go_and_senseless_ones_left_to_take(client, clock):
    await take(client, clock, "one")
    await client.set("test:{1}:lease", "another program's")
    await client.hset("test:{2}:lease", mapping={"holder": "1:x", "until": "soon"})
    found = await leases.read_leases(client, [KEY, "test:{1}:lease", "test:{2}:lease", "test:{3}:lease"])
    assert found[0] == LeaseInfo("1:one", int(await client.hget(KEY, "until")))
    assert found[1:] == [None, None, LeaseInfo("", 0)]


async def test_lease_whose_key_is_forbidden_does_not_hide_the_others(single, client, clock):
    await take(client, clock, "one")
    await client.acl_setuser("limited", enabled=True, passwords=["+x"], keys=["test:{0}:*"], commands=["+@all"])
    limited = make_client(f"unix://limited:x@{single.socket}")
    try:
        found, forbidden = await leases.read_leases(limited, [KEY, "test:{1}:lease"])
    finally:
        await limited.aclose()
        await client.acl_deluser("limited")
    assert found is not None
    assert found.holder == "1:one"
    assert forbidden is None


@pytest.fixture
def answers(client, monkeypatch) -> list[Any]:
    """What Redis answers to the next commands: in a pipeline, or from the nodes of a cluster."""
    played: list[Any] = []

    async def execute(_pipeline, raise_on_error=True):
        assert not raise_on_error
        return played

    async def exchange(_client, _commands):
        return played

    if isinstance(client, ClusterClient):
        monkeypatch.setattr(ClusterClient, "exchange", exchange)
    else:
        monkeypatch.setattr(type(client.pipeline()), "execute", execute)
    return played


async def test_leases_are_unknown_while_redis_refuses_for_a_while(client, answers):
    answers += [BusyLoadingError("Redis is loading the dataset in memory")] * 2
    with pytest.raises(StoreUnreachableError, match="LOADING"):
        await leases.read_leases(client, [KEY, "test:{1}:lease"])


async def test_lease_that_redis_refuses_for_a_while_hides_no_other(client, answers):
    answers += [[b"1:one", b"5", None], BusyLoadingError("Redis is loading the dataset in memory")]
    found, unknown = await leases.read_leases(client, [KEY, "test:{1}:lease"])
    assert found == LeaseInfo("1:one", 5)
    assert isinstance(unknown, StoreUnreachableError)
