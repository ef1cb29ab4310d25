"""Redis forgets everything while people talk: conferences of ours are found by the sweep, and nobody is left alone."""

from typing import Any

import pytest

from tests.stories.kit import TARGET
from tests.support.redis_server import RedisServer
from tests.support.world import World

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
