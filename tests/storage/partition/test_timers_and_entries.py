"""Timers move onto the stream once; entries are read from the oldest on; what can't be understood is dead-lettered."""

import pytest

from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.statemachine.events import TIMERS, LoneOverdue
from conferral.storage import coordinator as leases
from conferral.storage.dead_letters import append_dead_letter
from conferral.storage.entries import Entry
from conferral.storage.partition.partition_store import TIMERS_PER_RUN_MAX

pytestmark = pytest.mark.redis
P = 2


@pytest.fixture
async def lease(client, keys, clock):
    return await leases.claim_partition(client, keys, P, "1:one")


async def test_due_timers_become_entries_oldest_first(access, client, keys, lease):
    far = 99_999_999_999_999
    await client.zadd(keys.timers(P), {"lone|s1": 200, "calls|s2": 100, "age|s1": far})
    assert await access.fire_timers(P, lease, lease.claimed_at_ms, {}) == far
    events = [entry.event() for entry in await access.read(P, 10)]
    assert [(event.name, event.session_id, event.due_ms) for event in events] == [
        ("calls_overdue", "s2", 100),
        ("lone_overdue", "s1", 200),
    ]
    assert isinstance(events[1], LoneOverdue)
    assert await access.fire_timers(P, lease, lease.claimed_at_ms, {}) == far


async def test_timer_beyond_the_31st_bit_of_seconds_keeps_its_time(access, client, keys, lease):
    await client.zadd(keys.timers(P), {"lone|s1": 1_795_165_380_677})
    assert await access.fire_timers(P, lease, 1_795_165_380_676, {}) == 1_795_165_380_677
    assert await access.fire_timers(P, lease, 1_795_165_380_677, {}) is None


@pytest.mark.parametrize("timer", TIMERS, ids=lambda timer: timer.timer)
async def test_every_timer_can_be_read_back(access, client, keys, lease, timer):
    await client.zadd(keys.timers(P), {f"{timer.timer}|s1": 1_500_000_000_123})
    await access.fire_timers(P, lease, lease.claimed_at_ms, {})
    event = (await access.read(P, 1))[0].event()
    assert isinstance(event, timer)
    assert event.due_ms == 1_500_000_000_123


async def test_timer_whose_entry_can_not_be_written_stays(access, client, keys, lease):
    await client.zadd(keys.timers(P), {"lone|s1": 1})
    await client.set(keys.events(P), "another program's")
    with pytest.raises(StoreError):
        await access.fire_timers(P, lease, lease.claimed_at_ms, {})
    assert await client.zcard(keys.timers(P)) == 1
    await client.delete(keys.events(P))
    assert await access.fire_timers(P, lease, lease.claimed_at_ms, {}) is None
    assert await client.xlen(keys.events(P)) == 1


async def test_full_redis_still_fires_timers(access, client, keys, lease):
    await client.zadd(keys.timers(P), {"lone|s1": 1})
    await client.config_set("maxmemory", "1")
    assert await access.fire_timers(P, lease, lease.claimed_at_ms, {}) is None
    assert await client.xlen(keys.events(P)) == 1


async def test_former_owner_fires_nothing(access, client, keys, lease):
    await client.zadd(keys.timers(P), {"lone|s1": 1})
    await client.hset(keys.lease(P), "holder", "9:other")
    with pytest.raises(LeaseLostError):
        await access.fire_timers(P, lease, lease.claimed_at_ms, {})
    assert await client.zcard(keys.timers(P)) == 1


async def test_reading_always_begins_at_the_oldest_entry(access, client, keys):
    """Stream ids may go back after a failover; a reader that keeps a position would pass over what came then."""
    await client.xadd(keys.events(P), {"n": "high"}, id="5000-0")
    assert [entry.entry_id for entry in await access.read(P, 10)] == ["5000-0"]
    await client.delete(keys.events(P))
    await client.xadd(keys.events(P), {"n": "low"}, id="1000-0")
    await client.xadd(keys.events(P), {"n": "next"}, id="1001-0")
    assert [entry.entry_id for entry in await access.read(P, 1)] == ["1000-0"]


async def test_what_cannot_be_read_of_a_session_is_empty(access, client, keys):
    await client.hset(keys.session("live"), mapping={"state": "bridged"})
    await client.hset(keys.session("odd"), mapping={"state": b"\xff"})
    await client.set(keys.session("foreign"), "another program's")
    await client.sadd(keys.live(P), "live", "odd", "foreign", "unknown")
    live = await access.live_sessions(P)
    assert await access.fields_of(live, "state", "by") == {
        "foreign": ["", ""], "live": ["bridged", ""], "odd": ["\ufffd", ""], "unknown": ["", ""]
    }  # fmt: skip


async def test_dead_letter_keeps_the_entry_whole_with_where_and_why(access, client, keys):
    await append_dead_letter(client, keys, keys.events(P), Entry("7-0", {b"foo": b"\xff\x00", b"": b""}), "not UTF-8")
    ((_, letter),) = await client.xrange(keys.dead)
    assert letter == {
        b"dead_reason": b"not UTF-8",
        b"dead_stream": keys.events(P).encode(),
        b"dead_entry": b"7-0",
        b"dead_size": b"5",
        b"foo": b"\xff\x00",
        b"": b"",
    }  # fmt: skip
    larger_than_a_script_takes = Entry("7-1", {b"%d" % number: b"" for number in range(4_000)})
    assert await append_dead_letter(client, keys, "s", larger_than_a_script_takes, "why") == ""


async def test_no_more_timers_are_moved_in_one_go_than_a_script_may_take(access, client, keys, lease):
    due_ms = lease.claimed_at_ms - 1_000
    await client.zadd(keys.timers(P), {f"lone|s{number}": due_ms for number in range(TIMERS_PER_RUN_MAX + 3)})
    assert await access.fire_timers(P, lease, lease.claimed_at_ms, {}) == due_ms
    assert await client.xlen(keys.events(P)) == TIMERS_PER_RUN_MAX
    assert await access.fire_timers(P, lease, lease.claimed_at_ms, {}) is None
    assert await client.xlen(keys.events(P)) == TIMERS_PER_RUN_MAX + 3


VISITS = [f"CA{'1' * 32}{suffix}" for suffix in ("", "-2", "-3")]


@pytest.mark.parametrize(
    ("newest", "state", "is_later"),
    [
        (VISITS[2], "bridged", True), (VISITS[2], None, True), (VISITS[2], "ended", False),
        (VISITS[1], "bridged", False), (VISITS[0], "bridged", False), (None, None, False),
        (f"CA{'2' * 32}-3", "bridged", False), ("order-7", "bridged", False),
    ],
)  # fmt: skip
async def test_call_has_a_later_session_if_its_newest_is_another_live_visit(
    access, client, keys, newest, state, is_later
):
    if newest is not None:
        await client.set(keys.call(VISITS[0]), newest)
        if state is not None:
            await client.hset(keys.session(newest), "state", state)
    assert await access.has_later_session(VISITS[1], VISITS[0]) is is_later
