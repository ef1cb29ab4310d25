"""Redis is killed and comes back, with everything that it had acknowledged."""

import asyncio

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreError
from conferral.sandbox import RestHookEvent
from tests.fault_injection.calls import all_hang_up, many_talk, transferred
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.flow_helpers import TARGET
from tests.flows.test_visits import move, visit_of
from tests.support.local_system import AGENT, CUSTOMER
from tests.support.phones import busy, rings
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.processes]
#: How long Redis is away at a restart at most, with the pauses of those who wait for it, seconds.
AWAY_S = 3.0


def restart(server: RedisServer) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("step", ["before", pytest.param("after", marks=pytest.mark.soak)])
async def test_fault_14_redis_is_killed_around_a_dial(durable_redis, step):
    async with FaultSystem(durable_redis, CONFERRAL_CONVERT_TIMEOUT=20) as system:

        async def at(moment: RestHookEvent) -> None:
            if moment.step == step and moment.path.endswith("/Participants.json"):
                system.sandbox.on_rest = None
                restart(durable_redis)

        customer, agent = await system.talking()
        system.sandbox.on_rest = at
        await transferred(system, customer)
        assert (system.redirects_of(agent), system.dials_to(TARGET)) == (1, 1)
        await all_hang_up(system, outage_s=AWAY_S)
        assert system.history.gaps == 1


@pytest.mark.soak
async def test_fault_14_redis_is_killed_again_and_again_under_load(durable_redis):
    """Ten calls are converted and held again and again; no acknowledged command is lost, no script is missed."""
    restarts, calls = 5, 10
    async with FaultSystem(durable_redis, workers=2, CONFERRAL_CONVERT_TIMEOUT=20) as system:
        clock = SystemClock()
        talking = await many_talk(system, calls)
        given: list[str] = []
        goes_on = True

        async def give_commands(session: str) -> None:
            number = 0
            while goes_on:
                command_id = f"{session[:12]}-{number}"
                kind = ("hold", "unhold")[number % 2]
                try:
                    outcome = await system.command(kind, session, party="customer", id=command_id, timeout_s=30)
                except StoreError:  # whether it was taken no one knows: it is given again, under the same id
                    continue
                given.append(command_id)
                assert outcome.status in ("done", "failed"), outcome
                number += 1

        working = [asyncio.create_task(give_commands(customer.sid)) for customer, _ in talking]
        back_after_s = []

        async def more_are_done(count: int) -> None:
            before = len(given)
            await system.eventually(lambda: len(given) >= before + count, "commands go on")

        for _ in range(restarts):
            await more_are_done(calls)
            restart(durable_redis)
            up_s = clock.monotonic_s()
            await more_are_done(1)
            back_after_s.append(round(clock.monotonic_s() - up_s, 2))
        goes_on = False
        await asyncio.gather(*working)
        for customer, agent in talking:
            assert (customer.status, agent.status) == ("in-progress", "in-progress")
            assert system.redirects_of(agent) == 1
        await all_hang_up(system, outage_s=restarts * AWAY_S)
        assert system.history.gaps == restarts
        print(f"commands go on {back_after_s} s after Redis is back")  # noqa: T201


@pytest.mark.parametrize("visit", [1, 2])
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
