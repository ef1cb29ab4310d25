"""The coordinator's script: who is given what; and the partition's own key. Workers that use both are in
`worker/test_ownership.py`.
"""

import pytest

from conferral.storage import coordinator as leases
from conferral.storage.coordinator import (
    TASKS,
    EpochUsedError,
    OtherWorker,
    Owner,
    Tick,
    Wants,
    WritesLostError,
    read_owners,
    send_tick,
)
from conferral.storage.keys import Keys
from tests.support.each import each
from tests.support.memory_redis import MemoryServer
from tests.support.redis_clients import full

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
    await send_tick(client, keys, tick("one", 2))
    assert await owned(client, keys, tick("two", 1, dead={"one": 3, "none": 1})) == {}
    # It has ticked since another one's clock began to wait.
    assert await owned(client, keys, tick("two", 2, dead={"one": 1})) == {}
    assert await owned(client, keys, tick("two", 3, dead={"one": 2})) == dict.fromkeys(["0", "1", "2", "3", *TASKS], 2)
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
    granted = await send_tick(client, keys, tick("one", 2, wants=Wants.NOTHING))
    assert granted is not None
    assert (granted.surplus, len(granted.epochs)) == (4, 4)
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
    lease = await leases.claim_partition(client, keys, P, "3:one")
    assert (lease.holder, lease.commit_number, lease.last_holder, lease.is_after_loss) == (
        "3:one",
        0,
        "",
        False,
    )
    assert await client.hget(keys.lease(P), "holder") == b"3:one"
    for holder in ("3:two", "2:two"):
        with pytest.raises(EpochUsedError) as refused:
            await leases.claim_partition(client, keys, P, holder)
        assert refused.value.epoch == 3
    assert (await leases.claim_partition(client, keys, P, "3:one")).holder == "3:one", "its answer was lost"
    after = await leases.claim_partition(client, keys, P, "10:two")
    assert after.last_holder == "one", "it may have died"


async def test_next_owner_learns_that_the_last_one_gave_it_back(client, keys, clock):
    first = await leases.claim_partition(client, keys, P, "1:one")
    await client.hset(keys.lease(P), "commit", 5)
    first.commit_number = 5
    await client.xadd(keys.events(P), {"type": "x"})
    await leases.confirm_partition(client, keys, P, first, is_release=True)
    assert first.waiting == 1
    second = await leases.claim_partition(client, keys, P, "2:two")
    assert (second.commit_number, second.last_holder, second.waiting) == (5, "", 1)
    assert (await leases.claim_partition(client, keys, P, "3:three")).last_holder == "two"


async def is_lost(client: object, keys: Keys, holder: str) -> bool:
    """Whether a claim finds that Redis lacks something."""
    return (await leases.claim_partition(client, keys, P, holder)).is_after_loss


@pytest.mark.parametrize("field", ["commit", "marks"])
async def test_fewer_commits_or_marks_than_the_owner_knows_are_a_loss(client, keys, field):
    await client.delete(keys.lease(P))
    lease = await leases.claim_partition(client, keys, P, "1:one")
    await client.hset(keys.lease(P), field, 5)
    lease.commit_number, lease.marks = (5, 0) if field == "commit" else (0, 5)
    await leases.confirm_partition(client, keys, P, lease)
    await client.hset(keys.lease(P), field, 4)
    with pytest.raises(WritesLostError):
        await leases.confirm_partition(client, keys, P, lease)
    assert await is_lost(client, keys, "2:two")


async def test_key_of_an_earlier_owner_is_a_loss(client, keys):
    lease = await leases.claim_partition(client, keys, P, "7:one")
    await client.hset(keys.lease(P), "holder", "6:zero")
    with pytest.raises(WritesLostError):
        await leases.confirm_partition(client, keys, P, lease)
    assert await is_lost(client, keys, "8:three")


async def test_loss_is_noted_until_each_live_session_reads(client, keys):
    """A claimer that dies forgets nothing."""
    lease = await leases.claim_partition(client, keys, P, "1:one")
    await client.hset(keys.lease(P), "commit", 4)
    lease.commit_number = 5
    with pytest.raises(WritesLostError):
        await leases.confirm_partition(client, keys, P, lease)
    await leases.claim_partition(client, keys, P, "2:two")
    third = await leases.claim_partition(client, keys, P, "3:three")
    assert third.is_after_loss
    await leases.confirm_partition(client, keys, P, third)
    await leases.confirm_partition(client, keys, P, third, reads_requested=True)
    assert await client.hget(keys.lease(P), "lost") is None
    await leases.confirm_partition(client, keys, P, third, reads_requested=True)
    assert not await is_lost(client, keys, "4:four")


async def test_owner_claims_again_if_another_had_the_partition_in_what_was_lost(client, keys):
    lease = await leases.claim_partition(client, keys, P, "1:one")
    before = await client.hgetall(keys.lease(P))
    other = await leases.claim_partition(client, keys, P, "2:two")
    await client.delete(keys.lease(P))
    await client.hset(keys.lease(P), mapping=before)
    await leases.confirm_partition(client, keys, P, lease, reads_requested=True)
    with pytest.raises(WritesLostError):
        await leases.confirm_partition(client, keys, P, other)
    with pytest.raises(WritesLostError):
        await leases.confirm_partition(client, keys, P, lease, reads_requested=True)
    assert await is_lost(client, keys, "3:one")


async def test_another_server_is_a_loss_only_for_who_follows_a_dead_owner(client, keys):
    first = await leases.claim_partition(client, keys, P, "1:one")
    await client.hset(keys.lease(P), "server", "another")
    await leases.confirm_partition(client, keys, P, first)  # its own writes are there
    assert not await is_lost(client, keys, "2:two"), "the owner has compared it"
    await client.hset(keys.lease(P), "server", "another")
    assert await is_lost(client, keys, "3:three")


async def test_owner_that_gave_the_partition_back_has_lost_nothing(client, keys):
    first = await leases.claim_partition(client, keys, P, "1:one")
    await leases.confirm_partition(client, keys, P, first, is_release=True)
    await client.hset(keys.lease(P), "server", "another")
    assert not await is_lost(client, keys, "2:two")


async def test_server_that_hides_its_run_id_is_judged_by_its_commits(keys):
    client = MemoryServer(lambda: 10**12).client()
    lease = await leases.claim_partition(client, keys, P, "1:one")
    await client.hset(keys.lease(P), "server", "")
    await leases.confirm_partition(client, keys, P, lease)
    assert not await is_lost(client, keys, "2:two")
