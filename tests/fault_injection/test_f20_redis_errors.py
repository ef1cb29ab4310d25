"""Redis is there, but someone takes away what lies in it, or keeps it busy."""

import asyncio

import pytest
import redis

from conferral.statemachine.events import Mute, Unmute
from conferral.storage.codecs import event_codec
from tests.fault_injection.calls import all_hang_up, transferred
from tests.fault_injection.fault_system import FaultSystem

pytestmark = pytest.mark.redis


async def commands_within(system: FaultSystem, time_s: float) -> int:
    """How many commands Redis carries out in that time (count)."""
    before = (await system.client.info("stats"))["total_commands_processed"]
    await asyncio.sleep(time_s)  # a delay: the period that is counted
    return int((await system.client.info("stats"))["total_commands_processed"]) - int(before)


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
        assert (await system.result_of(converting)).status == "done"
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
