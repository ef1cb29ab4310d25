"""Redis loses everything while people talk: the sweep finds our conferences, and no one is left alone."""

from typing import Any

import pytest

from conferral.sandbox import CallHandle, PhoneScript
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import CUSTOMER, DEADLINE_S, NUMBER, LocalSystem
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
INTERVAL_S = 0.5


async def forget(system: LocalSystem) -> None:
    """As a Redis that comes back empty."""
    await system.client.flushall()


async def found(system: LocalSystem, session_id: str, **fields: str) -> dict[str, str]:
    session = await system.until(session_id, **fields)
    events = [entry["event"] for entry in await system.log(session_id)]
    assert events[0] == "conference_found", events
    return session


def world_of(redis_server: RedisServer, **settings: Any) -> LocalSystem:
    return LocalSystem(redis_server.url, CONFERRAL_SWEEP_INTERVAL=INTERVAL_S, **settings)


async def test_two_talking_parties_are_found_after_data_loss_and_continue(redis_server: RedisServer) -> None:
    async with world_of(redis_server) as system:
        customer, agent = await system.converted()
        await forget(system)
        session = await found(system, customer.sid, state="conferenced")
        assert session["party.agent.call_sid"] == agent.sid
        assert session["direction"] == "inbound"
        assert {customer.status, agent.status} == {"in-progress"}

        target = system.sandbox.phone(TARGET).script(answer_after_s=0.02)
        outcome = await system.command("transfer", customer.sid, to=TARGET, mode="warm")
        assert outcome.status == "done", outcome
        assert (await system.command("complete", customer.sid)).status == "done"
        assert len(target.call_sids) == 1
        customer.hang_up()
        await system.settled()


async def test_party_found_alone_after_a_rollback_is_released(redis_server: RedisServer) -> None:
    async with world_of(redis_server) as system:
        system.end_calls_in_test()
        customer, agent = await system.converted()
        system.sandbox.faults.lose_callbacks("*", count=1_000)
        system.sandbox.faults.fail_fetches("/voice/dial-action", status=500, count=100)
        await forget(system)
        agent.hang_up()
        await found(system, customer.sid, state="ended", end_reason="agent-left")
        await system.settled()
        assert customer.status == "completed"


async def test_consult_continues_as_a_consult_after_redis_loss(redis_server: RedisServer) -> None:
    async with world_of(redis_server) as system:
        customer, _ = await system.converted()
        system.sandbox.phone(TARGET).script(answer_after_s=0.02)
        assert (await system.command("transfer", customer.sid, to=TARGET, mode="consult")).status == "done"
        await forget(system)
        session = await found(system, customer.sid, state="transferring", phase="consult")
        assert session["party.customer.held"] == "true"
        assert (await system.command("complete", customer.sid)).status == "done"
        session = await system.until(customer.sid, state="conferenced")
        assert session["party.customer.held"] == "false"
        customer.hang_up()
        await system.settled()


@pytest.mark.soak
async def test_conferences_of_others_are_left_alone_though_they_are_named_as_ours(redis_server: RedisServer) -> None:
    async with world_of(redis_server) as system:
        foreign = system.sandbox.add_foreign_conference("CA" + "7" * 32, age_s=60)
        customer, _ = await system.converted()
        await forget(system)
        await found(system, customer.sid, state="conferenced")

        async def swept_on() -> bool:
            return int(system.workers[0].metrics.sweeps.labels("done")._value.get()) >= 6

        await system.eventually(swept_on, "six sweeps")
        touching = [(entry.method, entry.path) for entry in system.sandbox.request_log.rest if foreign in entry.path]
        assert touching == [("GET", f"/Conferences/{foreign}/Participants.json")]
        assert not await system.client.exists(system.keys.session("CA" + "7" * 32))
        customer.hang_up()
        await system.settled()


async def waits(system: LocalSystem) -> CallHandle:
    """A caller waits in a conference; no callback about them arrives except requests to the wait URL."""
    system.sandbox.add_number(NUMBER, voice_url=f"{system.public_url}/voice/conference")
    return await system.sandbox.call_in(CUSTOMER, NUMBER)


async def test_caller_lost_from_redis_gets_an_agent_after_the_music_ends(
    redis_server: RedisServer,
) -> None:
    """The sweep alone would take two intervals."""
    async with LocalSystem(redis_server.url, CONFERRAL_SWEEP_INTERVAL=600) as system:
        system.agent_phone.script_in_turn(PhoneScript(answer_after_s=0.1))
        system.sandbox.faults.lose_callbacks("*", count=2)
        customer = await waits(system)
        await system.sandbox.wait_until(lambda: str(customer.hears_now) == "music", DEADLINE_S)
        await forget(system)

        session = await system.until(customer.sid, **{"state": "conferenced", "party.agent.status": "connected"})

        assert session["direction"] == "inbound"
        assert len(system.agent_phone.call_sids) == 1
        customer.hang_up()
        await system.settled()


@pytest.mark.soak
async def test_an_agent_who_is_rung_when_all_trace_is_lost_is_not_rung_twice(redis_server: RedisServer) -> None:
    async with LocalSystem(redis_server.url, CONFERRAL_SWEEP_INTERVAL=INTERVAL_S) as system:
        system.agent_phone.script_in_turn(PhoneScript(answer_after_s=8))
        customer = await waits(system)
        await system.until(customer.sid, **{"party.agent.status": "ringing"})
        await forget(system)

        await system.until(customer.sid, **{"state": "conferenced", "party.agent.status": "connected"})

        assert len(system.agent_phone.call_sids) == 1
        customer.hang_up()
        await system.settled()
