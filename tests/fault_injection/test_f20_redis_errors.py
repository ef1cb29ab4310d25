"""Redis is there, but someone takes away what lies in it, or keeps it busy, or forbids something, or is slow."""

import asyncio

import pytest
import redis

from conferral.statemachine.events import Mute, Unmute
from conferral.storage.codecs import event_codec
from tests.fault_injection.calls import all_hang_up, transferred
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.flow_helpers import TARGET
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.redis


async def commands_within(system: FaultSystem, time_s: float) -> int:
    """How many commands Redis carries out in that time (count)."""
    await system.history.caught_up()
    before = sum(system.history.calls.values())
    await asyncio.sleep(time_s)  # a delay: the period that is counted
    await system.history.caught_up()
    return sum(system.history.calls.values()) - before


@pytest.mark.system(CONFERRAL_PARTITIONS=1)
async def test_fault_20_streams_are_deleted_while_workers_wait_for_them(system):
    customer, agent = await system.talking()
    await system.nothing_under_way()
    usual = await commands_within(system, 0.4)
    await system.client.delete(system.keys.events(0), system.keys.commands)
    without = await commands_within(system, 0.4)
    assert without <= 2 * usual + 20, f"{without} commands in 0.4 s, {usual} before"
    await transferred(system, customer)
    assert [group["name"] for group in await system.client.xinfo_groups(system.keys.events(0))] == [b"workers"]
    assert system.redirects_of(agent) == 1
    await all_hang_up(system)


async def test_fault_21_scripts_are_flushed_repeatedly(system):
    forgotten, goes_on = 0, True

    async def forget() -> None:
        nonlocal forgotten
        # Until it is reported: a cancellation can get lost inside the Redis client on Python 3.11.
        while goes_on:
            await system.client.script_flush()
            forgotten += 1
            await asyncio.sleep(0.002)

    forgetting = asyncio.create_task(forget())
    try:
        customer, agent = await system.talking()
        await transferred(system, customer)
        assert (system.redirects_of(agent), system.dials_to(TARGET)) == (1, 1)
        await system.done("complete", customer.sid)
    finally:
        goes_on = False
        await forgetting
    await all_hang_up(system)
    assert forgotten > 20
    assert system.history.calls["EVAL"] > 5, "a forgotten script is sent again"


@pytest.mark.parametrize("delay_s", [0.01, pytest.param(0.2, marks=pytest.mark.soak)])
async def test_fault_26_redis_is_slow(redis_server, delay_s):
    """Everything takes longer; no one loses a lease, and nothing is done twice."""
    async with (
        Relay(redis_server.socket) as relay,
        FaultSystem(redis_server, worker_url=relay.url, webhooks_url=relay.url, CONFERRAL_CONVERT_TIMEOUT=20) as system,
    ):
        customer, agent = await system.talking()
        relay.delay_s = delay_s
        await transferred(system, customer)
        await system.done("complete", customer.sid)
        assert (system.redirects_of(agent), system.dials_to(TARGET)) == (1, 1)
        await all_hang_up(system, outage_s=20 * delay_s)
        holders = {commit.holder for commit in system.history.commits}
        assert len(holders) == 1
        assert {holder.split(":")[0] for holder in holders} == {"1"}


def busy_script(client: "redis.Redis") -> str:
    """Blocks Redis until it is killed; returns how it ended."""
    try:
        client.eval("while true do end", 0)
    except redis.ResponseError as error:
        return str(error)
    return "it came to an end"


def is_busy(client: "redis.Redis") -> bool:
    """Whether Redis refuses everything because of a script."""
    try:
        client.ping()
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")
    return False


async def test_fault_29_foreign_script_keeps_redis_busy(own_redis):
    """It answers BUSY, or nothing at all, until that script is killed."""
    async with FaultSystem(own_redis) as system:
        await system.client.config_set("lua-time-limit", 50)
        customer, agent = await system.talking()
        with own_redis.client() as other, own_redis.client() as killer:
            converting = await system.begins("convert", customer.sid)
            busy = asyncio.create_task(asyncio.to_thread(busy_script, other))
            await system.eventually(lambda: asyncio.to_thread(is_busy, killer), "the script keeps Redis busy")
            await asyncio.sleep(0.8)  # a delay: how long the script runs
            assert system.sandbox.live_calls()
            killer.script_kill()
            assert "killed" in await busy
        assert (await system.outcome_of(converting)).status == "done"
        assert system.redirects_of(agent) == 1
        await all_hang_up(system, outage_s=1.0)


async def test_fault_61_ids_of_a_stream_go_back(system):
    """After a failover to a server whose clock is behind: what comes then has lower ids than what was decided."""
    customer, _ = await system.converted()
    await system.nothing_under_way()
    stream = system.keys.events(system.keys.partition_of(customer.sid))
    async with system.client.pipeline(transaction=True) as failover:
        failover.delete(stream)
        for number in range(6):
            event = (Mute, Unmute)[number % 2](session_id=customer.sid, token=f"c{number}", party="agent")
            failover.xadd(stream, event_codec.encode(event), id=f"{5 + number}-1")
        await failover.execute()
    await system.nothing_under_way()
    log = await system.log(customer.sid)
    decided = [entry["command"] for entry in log if entry["event"] in ("mute", "unmute")]
    assert decided == [f"c{number}" for number in range(6)], log
    await all_hang_up(system)
