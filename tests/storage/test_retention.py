"""The outcomes stream: how long its entries are kept."""

import pytest

from conferral.storage.retention import trim

DAY_MS, DAY_S = 86_400_000, 86_400
LIFETIMES = {"outcomes_ttl_s": 100 * DAY_S, "dead_letters_ttl_s": 200 * DAY_S, "session_ttl_s": DAY_S}


async def test_outcomes_and_dead_letters_are_kept_for_so_long(client, keys):
    for stream in (keys.outcomes, keys.dead):
        for number in range(400):
            await client.xadd(stream, {"id": "x"}, id=f"{(number + 1) * DAY_MS}-0")
    await trim(client, keys, 400 * DAY_MS, 400 * DAY_MS, **LIFETIMES)
    # About: whole pieces of the stream are cut off, of 100 entries each.
    assert 100 <= await client.xlen(keys.outcomes) <= 201
    assert 200 <= await client.xlen(keys.dead) <= 301
    await trim(client, keys, 10 * DAY_MS, 10 * DAY_MS, **LIFETIMES)
    assert await client.xlen(keys.outcomes) >= 100
    await trim(client, keys, DAY_MS, DAY_MS, **LIFETIMES)
    assert await client.xlen(keys.outcomes) >= 100, "a clock of 1970 is no reason to fail"


async def test_ended_sessions_leave_the_index_of_a_quiet_partition(client, keys):
    for partition in range(keys.partitions):
        await client.zadd(keys.ended(partition), {"old": 8 * DAY_MS, "recent": 9 * DAY_MS + 1})
    await trim(client, keys, 10 * DAY_MS, 10 * DAY_MS, **LIFETIMES)
    for partition in range(keys.partitions):
        assert await client.zrange(keys.ended(partition), 0, -1) == [b"recent"]


@pytest.mark.parametrize(("store_days", "wall_days"), [(4000, 400), (400, 4000)], ids=["redis", "worker"])
async def test_one_clock_that_is_years_ahead_empties_nothing(client, keys, store_days, wall_days):
    for stream in (keys.outcomes, keys.dead):
        for number in range(300):
            await client.xadd(stream, {"id": "x"}, id=f"{400 * DAY_MS}-{number + 1}")
    await client.zadd(keys.ended(0), {"recent": 400 * DAY_MS})
    clocks_ms = (store_days * DAY_MS, wall_days * DAY_MS)
    await trim(client, keys, *clocks_ms, **LIFETIMES | {"outcomes_ttl_s": 30 * DAY_S, "dead_letters_ttl_s": 60 * DAY_S})
    assert [await client.xlen(stream) for stream in (keys.outcomes, keys.dead)] == [300, 300]
    assert await client.zrange(keys.ended(0), 0, -1) == [b"recent"]
