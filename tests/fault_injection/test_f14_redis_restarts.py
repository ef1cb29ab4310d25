"""Redis is killed and comes back, with everything that it had acknowledged."""

import asyncio
from pathlib import Path

import pytest

from conferral.statemachine.effects import CreateCall
from offhook.runtime import RestHookEvent
from tests.fault_injection.calls import all_hang_up
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.redis_losses import copy_of, restore
from tests.flows.test_visits import move, visit_of
from tests.support.local_system import AGENT, CUSTOMER
from tests.support.people import AGENT_PHONE
from tests.support.phones import busy, presses, rings
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.processes]


@pytest.mark.parametrize("visit", [1, pytest.param(2, marks=pytest.mark.soak)])
async def test_fault_14_call_that_came_in_while_redis_was_down_is_known_once_it_is_back(durable_redis, visit):
    async with FaultSystem(durable_redis, CONFERRAL_SWEEP_INTERVAL=600) as system:
        system.agent_phone.script_in_turn(*[busy()] * (visit - 1), rings())
        if visit == 2:
            customer = await system.customer_calls()
            await system.until(customer.sid, state="ended", end_reason="agent-busy")
        durable_redis.kill()
        if visit == 2:
            await move(system, customer, f"{system.public_url}/voice/inbound")
        else:
            customer = await system.customer_calls()
        agent = await system.dialed(AGENT, visit)
        durable_redis.start()
        agent.answer()
        session_id = visit_of(customer, visit)
        session = await system.until(session_id, state="bridged", phase="connected")
        assert (session["party.customer.address"], session["party.agent.call_sid"]) == (CUSTOMER, agent.sid)
        await system.done("convert", customer.sid)
        await system.until_talk(customer, agent)
        agent.hang_up()
        await system.everyone_is_gone(session_id, "agent-left")


def copy_before_mark(system: FaultSystem, server: RedisServer, folder: Path) -> list[Path]:
    """Copies the data once, when a dial to a gate is committed, and not yet marked."""

    async def copy_once(point: str, partition: int) -> None:
        if point == "after_commit" and not copies:
            effects = await system.client.hvals(system.keys.outbox(partition))
            if any(CreateCall.kind.encode() in effect for effect in effects):
                copies.append(copy_of(server, folder))

    copies = list[Path]()
    system.worker_options["checkpoint"] = copy_once
    return copies


@pytest.mark.parametrize("loses_mark", [False, True])
async def test_fault_14_owner_goes_on_if_redis_has_lost_nothing_in_the_middle_of_a_dial(
    durable_redis, tmp_path, loses_mark
):
    """Without the dial's mark, it claims its partition again, and doesn't send the dial again."""
    system = FaultSystem(durable_redis, CONFERRAL_SWEEP_INTERVAL=600, CONFERRAL_CONFIRM="phones")
    copies = copy_before_mark(system, durable_redis, tmp_path / "copy") if loses_mark else []
    is_seen = asyncio.Event()

    async def restart(rest: RestHookEvent) -> None:
        if rest.step == "after" and rest.method == "POST" and rest.path.endswith("/Calls.json"):
            system.sandbox.on_rest = None
            if copies:
                restore(durable_redis, copies[0])
            else:
                durable_redis.kill()
                durable_redis.start()
            with durable_redis.client() as client:
                run_id = client.info("server")["run_id"]
                await system.eventually(lambda: client.hget(lease, "server"), "the owner has seen it", equals=run_id)
            is_seen.set()

    async with system:
        customer, agent = await system.converted()
        await system.nothing_under_way()
        lease = system.keys.lease(system.keys.partition_of(customer.sid))
        before = await system.client.hgetall(lease)
        system.sandbox.on_rest = restart
        system.sandbox.phone(AGENT_PHONE).script_in_turn(presses("1", after_s=5))
        await system.begins("transfer", customer.sid, to=AGENT_PHONE, mode="warm")
        target = await system.dialed(AGENT_PHONE)
        await is_seen.wait()
        after = await system.client.hgetall(lease)
        assert len(copies) == loses_mark
        assert (after[b"holder"] == before[b"holder"]) is not loses_mark
        await system.until_hears(customer, [agent, target])
        assert system.dials_to(AGENT_PHONE) == 1
        await all_hang_up(system, outage_s=3.0)
