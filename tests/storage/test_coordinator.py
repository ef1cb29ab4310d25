"""The coordinator's script: who is given what. Workers that use it are in `worker/test_ownership.py`."""

from conferral.storage.coordinator import TASKS, OtherWorker, Owner, Tick, Wants, read_owners, send_tick
from conferral.storage.keys import Keys
from tests.support.each import each
from tests.support.memory_redis import MemoryServer
from tests.support.redis_clients import full

KEYS = Keys("test", 8)


def tick(name: str, number: int, **more: object) -> Tick:
    return Tick(**{"name": name, "number": number, "lifetime_s": 2.0, **more})  # type: ignore[arg-type]


async def owned(client: object, keys: Keys, request: Tick) -> dict[str, int]:
    granted = await send_tick(client, keys, request)
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
    given = await send_tick(client, keys, tick("one", 3, gives_back=["1", "3"]))
    assert given is not None
    assert (given.surplus, given.free) == (0, 2)
    assert await owned(client, keys, tick("two", 2)) == {"1": 2, "3": 2}


async def test_late_request_changes_nothing(client, keys):
    await send_tick(client, keys, tick("one", 7))
    before = await client.hgetall(keys.owners)
    assert await send_tick(client, keys, tick("one", 6, gives_back=["1"], wants=Wants.TO_LEAVE)) is None
    assert await send_tick(client, keys, tick("one", 7, gives_back=["1"])) is None
    assert await client.hgetall(keys.owners) == before


async def test_dead_worker_is_followed_unless_its_number_has_changed(client, keys):
    await send_tick(client, keys, tick("one", 1))
    assert await owned(client, keys, tick("two", 1, dead={"one": 2, "none": 1})) == {}
    assert await owned(client, keys, tick("two", 2, dead={"one": 1})) == dict.fromkeys(["0", "1", "2", "3", *TASKS], 2)
    assert await owned(client, keys, tick("one", 2)) == {}, "it comes back, and has lost everything"


async def test_used_epoch_is_skipped_for_its_owner_alone(client, keys):
    await send_tick(client, keys, tick("one", 1))
    assert (await owned(client, keys, tick("one", 2, used_epochs={"1": 7, "2": 0, "9": 1})))["1"] == 8
    assert (await owned(client, keys, tick("one", 3)))["2"] == 1
    await send_tick(client, keys, tick("two", 1, used_epochs={"0": 50}))
    assert (await owned(client, keys, tick("one", 4)))["0"] == 1


async def test_worker_that_wants_nothing_counts_for_no_share_and_may_keep_what_is_busy(client, keys):
    await send_tick(client, keys, tick("one", 1))
    standby = await send_tick(client, keys, tick("one", 2, wants=Wants.NOTHING, gives_back=list(TASKS)))
    assert standby is not None
    assert (standby.surplus, len(standby.epochs)) == (4, 4)
    assert await owned(client, keys, tick("two", 1)) == dict.fromkeys(TASKS, 2)
    await send_tick(client, keys, tick("one", 3, wants=Wants.NOTHING, gives_back=["0", "1", "2"]))
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
        await client.hset(KEYS.owners, f"worker:{name}", '{"holder":"x","request":1,"lifetime_ms":2000,"takes":true}')
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
