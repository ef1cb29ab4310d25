"""An agent's own calls: each ring and each talk that is over stands in the list of the agent whom it concerns."""

import pytest

from conferral.storage.agent_calls import read_calls
from tests.flows.conference_starts import some
from tests.flows.flow_helpers import TARGET, talking
from tests.flows.test_agents_in_turn import FAILURES, settings, talks_with
from tests.support.local_system import CUSTOMER, NUMBER, LocalSystem
from tests.support.people import BOB
from tests.support.phones import answers, rings

pytestmark = pytest.mark.redis


async def calls_of(system: LocalSystem, identity: str):
    return await read_calls(system.client, system.keys, identity, system.clock.wall_ms())


async def results(system: LocalSystem, identity: str, count: int = 1) -> list[str]:
    """An agent's results, newest first, once there are so many."""

    async def are_there() -> bool:
        return len(await calls_of(system, identity)) >= count

    await system.eventually(are_there, f"{count} calls of {identity}")
    return [str(call.result) for call in await calls_of(system, identity)]


@pytest.mark.parametrize("mode", some(["bridge", "conference"], "bridge"))
@pytest.mark.parametrize("failure, result", [
    ("busy", "busy"), ("rejected", "declined"), pytest.param("no-answer", "missed", marks=pytest.mark.soak),
])  # fmt: skip
async def test_failed_ring_and_the_talk_with_the_next_agent_are_listed(redis_server, tmp_path, mode, failure, result):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, mode)) as system:
        system.agent_phone.script_in_turn(FAILURES[failure])
        system.sandbox.phone(BOB).script_in_turn(answers(0.4))
        customer = await system.customer_calls()
        bob = await talks_with(system, customer, BOB)

        assert await results(system, "bob", 0) == []
        await system.ended_by_hang_up(bob, customer.sid, "agent-left")

        assert await results(system, "bob") == ["answered"]
        assert await results(system, "alice") == [result]
        ((rung,), (talk,)) = (await calls_of(system, "alice"), await calls_of(system, "bob"))
        assert (rung.session, rung.customer, rung.number, rung.talk_s) == (customer.sid, CUSTOMER, NUMBER, None)
        assert talk.session == customer.sid
        assert talk.talk_s is not None
        assert rung.at <= talk.at


@pytest.mark.system(speed=20)
async def test_target_that_another_was_faster_than_has_a_taken_call_and_who_hands_over_a_talk(system):
    system.sandbox.phone(BOB).script_in_turn(rings())
    system.answered_by(TARGET)
    talk = await talking(system)
    await system.done("transfer", talk.session, to=f"{BOB},{TARGET}", mode="blind")
    assert await results(system, "bob") == ["taken"]
    assert await results(system, "alice") == ["answered"]
    await system.ended_by_command(talk.session)
    assert await results(system, "bob") == ["taken"]


@pytest.mark.system(speed=20)
async def test_ring_of_a_caller_who_gives_up_is_missed(system):
    system.agent_phone.script_in_turn(rings())
    customer = await system.customer_calls()
    await system.until(customer.sid, **{"party.agent.status": "ringing"})
    customer.hang_up()
    assert await results(system, "alice") == ["missed"]
