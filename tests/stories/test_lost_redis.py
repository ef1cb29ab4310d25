"""Redis forgets everything while people talk: conferences of ours are found by the sweep, and nobody is left alone."""

from typing import Any

import pytest

from conferral.sandbox import PhoneScript, SandboxCall
from tests.stories.kit import TARGET
from tests.support.redis_server import RedisServer
from tests.support.world import CUSTOMER, DEADLINE_S, NUMBER, World

pytestmark = pytest.mark.redis
INTERVAL_S = 0.5


async def forget(world: World) -> None:
    """As a Redis that comes back empty."""
    await world.client.flushall()


async def found(world: World, session_id: str, **fields: str) -> dict[str, str]:
    session = await world.until(session_id, **fields)
    events = [entry["event"] for entry in await world.log(session_id)]
    assert events[0] == "conference_found", events
    return session


def world_of(redis_server: RedisServer, **settings: Any) -> World:
    return World(redis_server.url, CONFERRAL_SWEEP_INTERVAL=INTERVAL_S, **settings)


async def test_two_who_talk_are_found_and_go_on(redis_server: RedisServer) -> None:
    async with world_of(redis_server) as world:
        customer, agent = await world.converted()
        await forget(world)
        session = await found(world, customer.sid, state="conferenced")
        assert session["party.agent.call_sid"] == agent.sid
        assert session["direction"] == "inbound"
        assert {customer.status, agent.status} == {"in-progress"}

        target = world.sandbox.phone(TARGET).script(answer_after_s=0.02)
        outcome = await world.command("transfer", customer.sid, to=TARGET, mode="warm")
        assert outcome.status == "done", outcome
        assert (await world.command("complete", customer.sid)).status == "done"
        assert len(target.call_sids) == 1
        customer.hang_up()
        await world.settled()


async def test_one_who_is_alone_by_then_is_let_go(redis_server: RedisServer) -> None:
    async with world_of(redis_server) as world:
        world.leaves_the_end_to_us()
        customer, agent = await world.converted()
        world.sandbox.faults.lose_callbacks("*", count=1_000)
        world.sandbox.faults.fail_fetches("/voice/dial-action", status=500, count=100)
        await forget(world)
        agent.hang_up()
        await found(world, customer.sid, state="ended", end_reason="agent-left")
        await world.settled()
        assert customer.status == "completed"


async def test_consult_goes_on_as_one(redis_server: RedisServer) -> None:
    async with world_of(redis_server) as world:
        customer, _ = await world.converted()
        world.sandbox.phone(TARGET).script(answer_after_s=0.02)
        assert (await world.command("transfer", customer.sid, to=TARGET, mode="consult")).status == "done"
        await forget(world)
        session = await found(world, customer.sid, state="transferring", phase="consult")
        assert session["party.customer.held"] == "true"
        assert (await world.command("complete", customer.sid)).status == "done"
        session = await world.until(customer.sid, state="conferenced")
        assert session["party.customer.held"] == "false"
        customer.hang_up()
        await world.settled()


@pytest.mark.soak
async def test_conferences_of_others_are_left_alone_though_they_are_named_as_ours(redis_server: RedisServer) -> None:
    async with world_of(redis_server) as world:
        foreign = world.sandbox.add_foreign_conference("CA" + "7" * 32, age_s=60)
        customer, _ = await world.converted()
        await forget(world)
        await found(world, customer.sid, state="conferenced")

        async def swept_on() -> bool:
            return int(world.workers[0].metrics.sweeps.labels("done")._value.get()) >= 6

        await world.eventually(swept_on, "six sweeps")
        touching = [(entry.method, entry.path) for entry in world.sandbox.ledger.rest if foreign in entry.path]
        assert touching == [("GET", f"/Conferences/{foreign}/Participants.json")]
        assert not await world.client.exists(world.keys.session("CA" + "7" * 32))
        customer.hang_up()
        await world.settled()


async def waits(world: World) -> SandboxCall:
    """A caller waits in a conference; nothing that tells of him arrives, but for what his own wait URL asks for."""
    world.sandbox.add_number(NUMBER, voice_url=f"{world.public_url}/voice/conference")
    return await world.sandbox.call_in(CUSTOMER, NUMBER)


async def test_a_caller_of_whom_all_trace_is_lost_gets_an_agent_when_his_music_has_played(
    redis_server: RedisServer,
) -> None:
    """The sweep alone would take two intervals."""
    async with World(redis_server.url, CONFERRAL_SWEEP_INTERVAL=600) as world:
        world.agent_phone.in_turn(PhoneScript(answer_after_s=0.1))
        world.sandbox.faults.lose_callbacks("*", count=2)
        customer = await waits(world)
        await world.sandbox.wait_until(lambda: str(customer.hears) == "music", DEADLINE_S)
        await forget(world)

        session = await world.until(customer.sid, **{"state": "conferenced", "party.agent.status": "connected"})

        assert session["direction"] == "inbound"
        assert len(world.agent_phone.call_sids) == 1
        customer.hang_up()
        await world.settled()


@pytest.mark.soak
async def test_an_agent_who_is_rung_when_all_trace_is_lost_is_not_rung_twice(redis_server: RedisServer) -> None:
    async with World(redis_server.url, CONFERRAL_SWEEP_INTERVAL=INTERVAL_S) as world:
        world.agent_phone.in_turn(PhoneScript(answer_after_s=8))
        customer = await waits(world)
        await world.until(customer.sid, **{"party.agent.status": "ringing"})
        await forget(world)

        await world.until(customer.sid, **{"state": "conferenced", "party.agent.status": "connected"})

        assert len(world.agent_phone.call_sids) == 1
        customer.hang_up()
        await world.settled()
