"""Records that another program wrote under our prefix: each loop over records skips them."""

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import SettingsError
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.storage import coordinator as leases
from conferral.storage.agents import Agents
from conferral.storage.agreed_config import AgreedConfig
from conferral.storage.codecs import session_codec
from conferral.storage.coordinator import Tick, send_tick
from conferral.storage.outcome_queue import OutcomeQueue, SendingState
from conferral.storage.queries import process_registry
from conferral.storage.queries.process_registry import Process
from conferral.storage.queries.session_reader import SessionReader

pytestmark = pytest.mark.redis
DIGITS = "9" * 5_000
ACCOUNT_SID = "AC" + "a1" * 16


@pytest.mark.parametrize(
    "name, value",
    [
        (b"worker:\xff", '{"tick":1,"lifetime_ms":2000,"takes":true}'),
        (b"worker:x y", '{"tick":1,"lifetime_ms":2000,"takes":true}'),
        (b"worker:x", f'{{"tick":{DIGITS},"lifetime_ms":2000,"takes":true}}'),
        (b"worker:x", f'{{"tick":1,"lifetime_ms":{DIGITS},"takes":true}}'),
        (b"worker:x", "abc"),
    ],
    ids=["not UTF-8", "two words", "tick", "lifetime", "no JSON"],
)
async def test_worker_that_another_program_wrote_gets_no_share(client, keys, name, value):
    await client.hset(keys.owners, name, value)
    granted = await send_tick(client, keys, Tick(name="one", number=1, lifetime_s=2.0))
    assert (granted.others, granted.free) == ({}, 0)


@pytest.mark.parametrize("value", ["abc", b"\xff", f'{{"holder":"x","epoch":{DIGITS},"renewed_at":1}}'])
async def test_owner_that_another_program_wrote_holds_nothing(client, keys, value):
    await client.hset(keys.owners, mapping={"0": value, "sweep": value, "odd": value})
    granted = await send_tick(client, keys, Tick(name="one", number=1, lifetime_s=2.0))
    assert granted.epochs.keys() >= {"0", "sweep"}


async def test_tick_of_a_worker_that_another_program_wrote_far_ahead_stops_it_not(client, keys):
    await client.hset(keys.owners, "worker:one", '{"tick":999999,"lifetime_ms":2000,"takes":true}')
    assert await send_tick(client, keys, Tick(name="one", number=5, lifetime_s=2.0)) is not None
    assert await send_tick(client, keys, Tick(name="one", number=4, lifetime_s=2.0)) is None


@pytest.mark.parametrize("due", ["-inf", "+inf"])
async def test_timer_without_a_time_is_removed_and_others_fire(access, client, keys, clock, due):
    lease = await leases.claim_partition(client, keys, 0, "1:one")
    await client.zadd(keys.timers(0), {"lone|s0": due, "lone|s1": 1, b"\xff": 2})
    assert await access.fire_timers(0, lease, 1_000, {"lone": 5}) is None
    assert await client.xlen(keys.events(0)) == 1
    assert not await client.exists(keys.timers(0))


async def test_session_that_is_no_text_stops_no_delivery(client, keys):
    queue = OutcomeQueue(client, keys)
    await client.hset(keys.sending_state, "position", "0-0")
    entry_id = await client.xadd(keys.outcomes, {"id": "o", "session": "s"})
    await queue.take([(entry_id, {b"session": b"s"})], "0-0", 5)
    await client.zadd(keys.sending_due, {b"\xff": 1})
    await client.hset(keys.sending, b"\xff", "0 1-1")
    assert [one.session for one in await queue.due(10, 5, [])] == ["s"]
    assert await client.zcard(keys.sending_due) == await client.hlen(keys.sending) == 1


async def test_position_and_undelivered_entries_that_are_no_ids_are_skipped(client, keys):
    queue = OutcomeQueue(client, keys)
    await client.hset(keys.sending_state, "position", "abc")
    await client.zadd(keys.undelivered, {b"\xff": 1, "abc": 2, f"{DIGITS}-1": 3, "5-1": 4})
    assert await queue.undelivered(9) == ["5-1"]
    assert await queue.read_state() == SendingState("", 0, 0, 4)
    await queue.begin()
    assert (await queue.read_state()).position == "0-0"


@pytest.mark.parametrize("value", ["abc", b"\xff", "[]", "5", "{}", '{"renewed_ms":"x"}', '{"renewed_ms":1e400}'])
async def test_agent_that_another_program_wrote_is_removed_and_others_stay(client, keys, value):
    agents = Agents(client, keys)
    await agents.renew("alice", "Alice", "d1", is_ready=True, is_busy=False)
    await client.hset(keys.agents, "eve", value)
    assert [one.identity for one in await agents.read((await agents.list())[0].renewed_ms)] == ["alice"]
    assert not await client.hexists(keys.agents, "eve")
    await client.hset(keys.agents, "alice", value)
    assert (await agents.renew("alice", "Alice", "d1", is_ready=True, is_busy=False)).name == "Alice"


async def test_ended_session_without_a_time_is_not_listed(client, keys):
    await client.zadd(keys.ended(0), {"s0": "-inf", "s1": "+inf", "s2": 1.5, b"\xff": 1})
    await client.hset(keys.session("s2"), mapping=session_codec.encode(Session("s2", State.ENDED)))
    page = await SessionReader(client, keys).list_sessions(limit=5)
    assert [one.id for one in page.items] == ["s2"]


@pytest.mark.parametrize("body", [DIGITS, "abc", b"\xff", f"{DIGITS} {{}}"])
async def test_process_that_another_program_wrote_blocks_no_registration(client, keys, body):
    await client.hset(keys.processes, b"odd\xff", body)
    await process_registry.register(client, keys, Process("one", "worker"))
    assert await client.hkeys(keys.processes) == [b"one"]


@pytest.mark.parametrize("field", ["partitions", "account", "schema"])
@pytest.mark.parametrize("value", ["abc", b"\xff", DIGITS, "99"])
async def test_running_process_keeps_its_settings_and_only_a_start_refuses(client, keys, field, value):
    def made() -> AgreedConfig:
        return AgreedConfig(client, keys.prefix, 4, ACCOUNT_SID)

    running = made()
    await running.store_or_compare()
    kept = await client.hget(keys.config, field)
    await client.hset(keys.config, field, value)
    with capture_logs() as lines:
        for _ in range(3):
            await running.store_or_compare()
    assert [line["event"] for line in lines] == ["config_contradicted"]
    assert keys.config in running.contradiction
    with pytest.raises(SettingsError, match=keys.config):
        await made().store_or_compare()
    await client.hset(keys.config, field, kept)
    await running.store_or_compare()
    assert running.contradiction == ""
