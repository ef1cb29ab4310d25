"""The coordinator's script: who is given what; and the partition's own key. Workers that use both are in
`worker/test_ownership.py`.
"""

import pytest

from conferral.storage import coordinator as leases
from conferral.storage.coordinator import (
    TASKS,
    VERIFY_S,
    EpochUsedError,
    Lease,
    OtherWorker,
    Owner,
    RolledBackError,
    Tick,
    Wants,
    read_owners,
    send_tick,
)
from conferral.storage.keys import Keys
from tests.support.each import each
from tests.support.memory_redis import MemoryServer
from tests.support.redis_clients import full
from tests.worker.executor_harness import FakeTime

KEYS = Keys("test", 8)


def tick(name: str, number: int, **more: object) -> Tick:
    return Tick(**{"name": name, "number": number, "lifetime_s": 2.0, **more})  # type: ignore[arg-type]


async def owned(client: object, keys: Keys, wanted: Tick) -> dict[str, int]:
    granted = await send_tick(client, keys, wanted)
    assert granted is not None
    return dict(granted.epochs)


async def test_first_worker_gets_everything_and_a_second_what_the_first_gives_back(client, keys):
    first = await send_tick(client, keys, tick("one", 1))
    assert first is not None
    assert first.epochs == dict.fromkeys(["0", "1", "2", "3", *TASKS], 1)
    assert (first.surplus, first.free, first.others) == (0, 0, {})
    second = await send_tick(client, keys, tick("two", 1, lifetime_s=4.5))
    assert second is not None
    assert (second.epochs, second.free) == ({}, 0)
    assert second.others == {"one": OtherWorker(1, 2.0)}

    again = await send_tick(client, keys, tick("one", 2))
    assert again is not None
    assert (again.surplus, again.others) == (2, {"two": OtherWorker(1, 4.5)})
    given = await send_tick(client, keys, tick("one", 3, ended_epochs={1: 1, 3: 1}))
    assert given is not None
    assert (given.surplus, given.free) == (0, 2)
    assert await owned(client, keys, tick("two", 2)) == {"1": 2, "3": 2}


async def test_late_request_changes_nothing(client, keys):
    await send_tick(client, keys, tick("one", 7))
    before = await client.hgetall(keys.owners)
    assert await send_tick(client, keys, tick("one", 6, ended_epochs={1: 1}, wants=Wants.TO_LEAVE)) is None
    assert await send_tick(client, keys, tick("one", 7, ended_epochs={1: 1})) is None
    assert await client.hgetall(keys.owners) == before


async def test_dead_worker_is_followed_unless_its_number_has_changed(client, keys):
    await send_tick(client, keys, tick("one", 1))
    assert await owned(client, keys, tick("two", 1, dead={"one": 2, "none": 1})) == {}
    assert await owned(client, keys, tick("two", 2, dead={"one": 1})) == dict.fromkeys(["0", "1", "2", "3", *TASKS], 2)
    assert await owned(client, keys, tick("one", 2)) == {}, "it comes back, and has lost everything"


async def test_epoch_that_has_ended_is_skipped_for_its_owner_alone(client, keys):
    await send_tick(client, keys, tick("one", 1))
    assert (await owned(client, keys, tick("one", 2, ended_epochs={1: 7, 2: 0, 9: 1})))["1"] == 8
    assert (await owned(client, keys, tick("one", 3, ended_epochs={1: 7})))["1"] == 8, "its answer was lost"
    assert (await owned(client, keys, tick("one", 4)))["2"] == 1
    await send_tick(client, keys, tick("two", 1, ended_epochs={0: 50}))
    assert (await owned(client, keys, tick("one", 5)))["0"] == 1


async def test_worker_that_wants_nothing_counts_for_no_share_and_may_keep_what_is_busy(client, keys):
    await send_tick(client, keys, tick("one", 1))
    standby = await send_tick(client, keys, tick("one", 2, wants=Wants.NOTHING))
    assert standby is not None
    assert (standby.surplus, len(standby.epochs)) == (4, 4)
    assert await owned(client, keys, tick("two", 1)) == dict.fromkeys(TASKS, 2)
    await send_tick(client, keys, tick("one", 3, wants=Wants.NOTHING, ended_epochs={0: 1, 1: 1, 2: 1}))
    assert (await owned(client, keys, tick("two", 2))).keys() == {"0", "1", "2", *TASKS}


async def test_stop_frees_everything_at_once(client, keys):
    await send_tick(client, keys, tick("one", 1))
    await send_tick(client, keys, tick("one", 2, wants=Wants.TO_LEAVE))
    assert len(await owned(client, keys, tick("two", 1))) == 4 + len(TASKS)
    assert b"worker:one" not in await client.hgetall(keys.owners)


@each("held, shares", [
    ({"a": 8}, [8]), ({"a": 8, "b": 0}, [4, 4]), ({"a": 3, "b": 3, "c": 2}, [3, 3, 2]),
    ({"a": 6, "b": 2, "c": 0}, [3, 3, 2]),
])  # fmt: skip
async def test_shares_differ_by_one_and_who_holds_more_keeps_more(held: dict[str, int], shares: list[int]) -> None:
    client, number = MemoryServer(lambda: 10**12).client(), 0
    for name, count in held.items():
        for item in range(number, number + count):
            await client.hset(KEYS.owners, str(item), f'{{"holder":"{name}","epoch":1,"renewed_at":1}}')
        number += count
        await client.hset(KEYS.owners, f"worker:{name}", '{"holder":"x","tick":1,"lifetime_ms":2000,"takes":true}')
    found = []
    for name, count in held.items():
        granted = await send_tick(client, KEYS, tick(name, 2))
        assert granted is not None
        found.append(count - granted.surplus)
    assert sorted(found, reverse=True) == [
        min(share, count) for share, count in zip(shares, sorted(held.values())[::-1], strict=True)
    ]


async def test_people_see_owner_epoch_and_time(client, keys):
    granted = await send_tick(client, keys, tick("one", 1))
    assert granted is not None
    odd = {"1": "nonsense", "2": '{"holder": 5}', "3": '{"holder": "one", "epoch": "1", "renewed_at": 1}'}
    await client.hset(keys.owners, mapping=odd)
    owners = await read_owners(client, keys)
    assert owners["0"] == Owner("one", 1, granted.now_ms)
    assert owners["commands"].name == "one"
    assert owners["1"] == owners["2"] == owners["3"] == Owner()
    for away_ms, name in ((-3_501, ""), (-3_500, "one"), (3_500, "one"), (3_501, "")):
        assert owners["0"].at(granted.now_ms + away_ms).name == name
    assert owners["0"].at(granted.now_ms + 3_501).epoch == 1


async def test_full_redis_still_renews(client, keys):
    await send_tick(client, keys, tick("one", 1))
    async with full(client):
        assert len(await owned(client, keys, tick("one", 2))) == 4 + len(TASKS)


# ---- the partition's own key: who may commit, and what shows that Redis lost something -------------------------------


P = 1


async def test_owner_claims_with_a_higher_epoch_only(client, keys, clock):
    lease = await leases.claim_partition(client, keys, P, "3:one", clock)
    assert (lease.holder, lease.commit_number, lease.last_holder, lease.writes_may_be_lost(clock)) == (
        "3:one",
        0,
        "",
        False,
    )
    assert await client.hget(keys.lease(P), "holder") == b"3:one"
    for holder in ("3:two", "2:two"):
        with pytest.raises(EpochUsedError) as refused:
            await leases.claim_partition(client, keys, P, holder, clock)
        assert refused.value.epoch == 3
    assert (await leases.claim_partition(client, keys, P, "3:one", clock)).holder == "3:one", "its answer was lost"
    after = await leases.claim_partition(client, keys, P, "10:two", clock)
    assert after.last_holder == "one", "it may have died"


async def test_next_owner_learns_that_the_last_one_gave_it_back(client, keys, clock):
    first = await leases.claim_partition(client, keys, P, "1:one", clock)
    await client.hset(keys.lease(P), "commit", 5)
    first.commit_number = 5
    await client.xadd(keys.events(P), {"type": "x"})
    await leases.confirm_partition(client, keys, P, first, is_release=True)
    assert first.waiting == 1
    second = await leases.claim_partition(client, keys, P, "2:two", clock)
    assert (second.commit_number, second.last_holder, second.waiting) == (5, "", 1)
    assert (await leases.claim_partition(client, keys, P, "3:three", clock)).last_holder == "two"


async def test_fewer_commits_than_were_made_are_a_rollback(client, keys, clock):
    lease = await leases.claim_partition(client, keys, P, "1:one", clock)
    await client.hset(keys.lease(P), "commit", 5)
    lease.commit_number = 5
    await leases.confirm_partition(client, keys, P, lease)
    await client.hset(keys.lease(P), "commit", 4)
    with pytest.raises(RolledBackError):
        await leases.confirm_partition(client, keys, P, lease)
    again = await leases.claim_partition(client, keys, P, "2:one", clock)
    assert (again.commit_number, again.writes_may_be_lost(clock)) == (4, True)
    await client.delete(keys.lease(P))
    with pytest.raises(RolledBackError):
        await leases.confirm_partition(client, keys, P, again)
    assert (await leases.claim_partition(client, keys, P, "2:two", clock)).writes_may_be_lost(clock), "the key notes it"


async def test_key_of_an_earlier_owner_is_a_rollback(client, keys, clock):
    lease = await leases.claim_partition(client, keys, P, "7:one", clock)
    await client.hset(keys.lease(P), "holder", "6:two")
    with pytest.raises(RolledBackError):
        await leases.confirm_partition(client, keys, P, lease)
    assert (await leases.claim_partition(client, keys, P, "8:three", clock)).writes_may_be_lost(clock)


async def test_all_owners_verify_for_one_minute_after_another_server(client, keys, clock):
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
    assert third.rolled_back_at_ms == second.rolled_back_at_ms == pytest.approx(second.claimed_at_ms, abs=5_000)
    assert second.newest_id == third.newest_id == before.decode()


async def test_verification_ends_although_the_clock_was_set_back(keys, clock):
    times_ms = [10**12]
    server = MemoryServer(lambda: times_ms[0])
    client = server.client()
    await leases.claim_partition(client, keys, P, "1:one", clock)
    await client.xadd(keys.events(P), {"type": "t"})
    await client.hset(keys.lease(P), "server", "another")
    await leases.claim_partition(client, keys, P, "2:one", clock)
    times_ms[0] -= 3_600_000
    lease = await leases.claim_partition(client, keys, P, "3:one", clock)
    assert lease.verify_until_s - clock.monotonic_s() <= VERIFY_S
    assert lease.rolled_back_at_ms == 10**12, "no entry that Redis had is newer"


async def test_server_that_hides_its_run_id_is_judged_by_its_commits(keys, clock):
    client = MemoryServer(lambda: 10**12).client()
    lease = await leases.claim_partition(client, keys, P, "1:one", clock)
    await client.hset(keys.lease(P), "server", "")
    await leases.confirm_partition(client, keys, P, lease)
    assert not (await leases.claim_partition(client, keys, P, "2:two", clock)).writes_may_be_lost(clock)


# ---- a restart that lost nothing -------------------------------------------------------------------------------------


class Restarted:
    """A server in memory that has restarted since its partition's owner saw it."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.server = MemoryServer(self.time.now_ms)
        self.client = self.server.client()
        self.compared = 0

    async def claim(self) -> Lease:
        """The owner has a partition, commits, and sees the server for the last time a second before it ends."""
        lease = await leases.claim_partition(self.client, KEYS, P, "1:one", self.time)
        await self.client.hset(KEYS.lease(P), "commit", 5)
        lease.commit_number = 5
        self.passes(100.0)
        assert not await self.confirm(lease)
        self.passes(1.0)
        return lease

    def restart(self, *, away_s: float = 3.0) -> None:
        self.server.stop()
        self.passes(away_s)
        self.server.start()

    def passes(self, time_s: float) -> None:
        self.time.s += time_s

    async def confirm(self, lease: Lease, *, has_all: bool = True) -> bool:
        async def compare() -> bool:
            self.compared += 1
            return has_all

        return await leases.confirm_or_resume(self.client, KEYS, P, lease, self.time, compare)

    async def is_verified(self, lease: Lease) -> bool:
        """Whether the owner takes it for a rollback, and all later ones do."""
        with pytest.raises(RolledBackError):
            await self.confirm(lease)
        return (await leases.claim_partition(self.client, KEYS, P, "2:two", self.time)).writes_may_be_lost(self.time)


@pytest.mark.parametrize("loads_s", [0.0, 30.0])
async def test_owner_goes_on_after_a_restart_that_lost_nothing(loads_s: float) -> None:
    system = Restarted()
    lease = await system.claim()
    system.restart()
    system.passes(loads_s)
    assert await system.confirm(lease)
    assert system.compared == 1
    assert (lease.holder, lease.writes_may_be_lost(system.time)) == ("1:one", False)
    assert await system.client.hget(KEYS.lease(P), "holder") == b"1:one"
    assert not await system.confirm(lease)
    later = await leases.claim_partition(system.client, KEYS, P, "2:two", system.time)
    assert not later.writes_may_be_lost(system.time), "the owner has proven it for all later ones"


async def test_successor_verifies_after_a_restart() -> None:
    """It can't know what the last owner has had acknowledged."""
    system = Restarted()
    await system.claim()
    system.restart()
    later = await leases.claim_partition(system.client, KEYS, P, "2:two", system.time)
    assert later.writes_may_be_lost(system.time)


async def test_restart_without_the_newest_commit_is_a_rollback() -> None:
    system = Restarted()
    lease = await system.claim()
    lease.commit_number += 1
    system.restart()
    assert await system.is_verified(lease)
    assert not system.compared


async def test_restart_without_a_mark_or_a_result_is_a_rollback() -> None:
    system = Restarted()
    lease = await system.claim()
    system.restart()
    with pytest.raises(RolledBackError):
        await system.confirm(lease, has_all=False)
    assert (await leases.claim_partition(system.client, KEYS, P, "2:two", system.time)).writes_may_be_lost(system.time)


async def test_replica_in_the_place_of_the_primary_is_a_rollback() -> None:
    """It has run before the primary ended, which may go on behind it, with another owner."""
    system = Restarted()
    lease = await system.claim()
    system.restart(away_s=0.0)
    system.server.started_ms -= 5_000
    assert await system.is_verified(lease)
    assert not system.compared


async def test_verification_goes_on_after_a_restart_that_lost_nothing() -> None:
    system = Restarted()
    lease = await system.claim()
    lease.commit_number += 1
    system.restart()
    assert await system.is_verified(lease)
    second = await leases.claim_partition(system.client, KEYS, P, "3:two", system.time)
    system.passes(VERIFY_S - 10)
    assert not await system.confirm(second)
    system.restart()
    assert await system.confirm(second)
    assert second.writes_may_be_lost(system.time)
    system.passes(10)
    assert not second.writes_may_be_lost(system.time)


async def test_restart_while_the_owner_compares_is_a_rollback() -> None:
    system = Restarted()
    lease = await system.claim()
    system.restart()

    async def compare() -> bool:
        system.restart()
        return True

    with pytest.raises(RolledBackError):
        await leases.confirm_or_resume(system.client, KEYS, P, lease, system.time, compare)
    assert (await leases.claim_partition(system.client, KEYS, P, "2:two", system.time)).writes_may_be_lost(system.time)


async def test_owner_verifies_if_another_has_had_the_partition_in_what_was_lost() -> None:
    system = Restarted()
    lease = await system.claim()
    before = system.server.db.snapshot()
    other = await leases.claim_partition(system.client, KEYS, P, "2:two", system.time)
    system.server.db.roll_back(before)
    system.restart()
    assert await system.confirm(lease)
    with pytest.raises(RolledBackError):
        await leases.confirm_partition(system.client, KEYS, P, other)
    with pytest.raises(RolledBackError):
        await system.confirm(lease)
    assert (await leases.claim_partition(system.client, KEYS, P, "3:one", system.time)).writes_may_be_lost(system.time)


async def test_restart_of_a_real_server_is_no_rollback(client, keys, clock):
    async def has_all() -> bool:
        return True

    info = await client.info("server")
    lease = await leases.claim_partition(client, keys, P, "1:one", clock)
    await client.hset(keys.lease(P), "server", "another")
    lease.seen_at_s = clock.monotonic_s() - info["uptime_in_seconds"] - 1
    assert await leases.confirm_or_resume(client, keys, P, lease, clock, has_all)
    assert await client.hget(keys.lease(P), "server") == info["run_id"].encode()
