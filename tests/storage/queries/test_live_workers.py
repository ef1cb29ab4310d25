"""The list of live workers, as their ticks write it and people read it."""

from conferral.storage.coordinator import DEAD_LISTED_MS, SHOWN_DEAD_AFTER_MS, Tick, Wants, send_tick
from conferral.storage.keys import Keys
from conferral.storage.queries.live_workers import LostWorkers, has_live_worker, live_workers, read_lost_workers
from conferral.storage.server import server_time_ms
from tests.support.memory_redis import MemoryServer


def tick(name: str, number: int, wants: Wants = Wants.SHARE, dead: dict[str, int] | None = None) -> Tick:
    return Tick(name=name, number=number, lifetime_s=2.0, wants=wants, dead=dead or {})


async def test_worker_that_died_is_named_for_half_a_minute_and_one_that_stopped_is_not():
    times_ms = [1_800_000_000_000]
    client, keys = MemoryServer(lambda: times_ms[0]).client(), Keys("test", 2)
    assert not await has_live_worker(client, keys)
    for name in ("dies", "hands over", "stays", "stops"):
        await send_tick(client, keys, tick(name, 1))
    await send_tick(client, keys, tick("stops", 2, Wants.TO_LEAVE))
    await send_tick(client, keys, tick("hands over", 2, Wants.NOTHING))
    times_ms[0] += SHOWN_DEAD_AFTER_MS
    assert await live_workers(client, keys) == ["dies", "stays"]
    assert await read_lost_workers(client, keys) is None

    times_ms[0] += 1
    await send_tick(client, keys, tick("stays", 2))
    assert await live_workers(client, keys) == ["stays"]
    assert await read_lost_workers(client, keys) == LostWorkers(["dies"], [0, 1])
    await send_tick(client, keys, tick("stays", 3, dead={"dies": 1}))
    assert await read_lost_workers(client, keys) == LostWorkers(["dies"], [])

    times_ms[0] += DEAD_LISTED_MS - SHOWN_DEAD_AFTER_MS - 1
    await send_tick(client, keys, tick("stays", 4))
    assert await read_lost_workers(client, keys) is None


async def test_worker_from_before_the_clock_was_set_back_is_neither_live_nor_listed_long(client, keys):
    now_ms = await server_time_ms(client, keys.workers)
    await client.zadd(keys.workers, {"soon": now_ms + DEAD_LISTED_MS // 2, "later": now_ms + 2 * DEAD_LISTED_MS})
    await send_tick(client, keys, tick("one", 1))
    assert await live_workers(client, keys) == ["one"]
    assert set(await client.zrange(keys.workers, 0, -1)) == {b"one", b"soon"}


async def test_worker_gets_its_share_although_another_program_has_the_list(client, keys):
    await client.set(keys.workers, "another program's")
    for number, wants in enumerate((Wants.SHARE, Wants.NOTHING, Wants.SHARE), 1):
        granted = await send_tick(client, keys, tick("one", number, wants))
        assert granted is not None
    assert granted.epochs
    assert await has_live_worker(client, keys), "no one knows"
