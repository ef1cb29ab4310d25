"""Several agents of one number: the next is tried when one fails, over the bridge and into a conference."""

import pytest

from tests.flows.conference_starts import some
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.people import AGENT_PHONE, BOB
from tests.support.phones import answers, busy, refuses, rings, unreachable
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
AGENTS = (AGENT, BOB, AGENT_PHONE)
MODES = pytest.mark.parametrize("mode", some(["bridge", "conference"], "conference"))
FAILURES = {"busy": busy(), "rejected": refuses(), "no-answer": rings(), "failed": unreachable()}
NO_ONE = "said We are sorry, but we could not connect you. Please try again later. Goodbye."


def settings(tmp_path, mode, **more):
    """A directory with three agents for our number, and how they are reached."""
    path = tmp_path / "directory.toml"
    agents = ", ".join(f'"{agent}"' for agent in AGENTS)
    lines = [f'[inbound."{NUMBER}"]', f"agents = [{agents}]", f'mode = "{mode}"']
    lines += [f'{name} = "{value}"' for name, value in more.items()]
    path.write_text("\n".join(lines) + "\n")
    return {"CONFERRAL_DIRECTORY": path, "CONFERRAL_RING_TIMEOUT": 5}


def tried(system):
    """Whose phones were called, in order."""
    return [entry.to for entry in system.sandbox.request_log.dials]


async def talks_with(system, customer, address):
    """The customer talks to this agent, and the session says so."""
    agent = await system.dialed(address)
    await system.until_talk(customer, agent)

    async def is_shown():
        session = await system.session(customer.sid)
        shown = tuple(session.get(f"party.agent.{name}") for name in ("call_sid", "address", "status"))
        return shown == (agent.sid, address, "connected")

    await system.eventually(is_shown, "the session shows who answers")
    await system.until(customer.sid, **{"party.agent.status": "connected"})
    return agent


@MODES
@pytest.mark.parametrize("failure", some(FAILURES, "busy", "no-answer"))
async def test_next_agent_is_tried_when_one_fails(redis_server, tmp_path, mode, failure):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, mode)) as system:
        system.agent_phone.script_in_turn(FAILURES[failure])
        system.sandbox.phone(BOB).script_in_turn(answers(0.4))
        customer = await system.customer_calls()
        bob = await talks_with(system, customer, BOB)
        assert tried(system) == [AGENT, BOB]
        # Ringing or music, and then someone: no sentence, and no word of the one who failed.
        assert not [what for what in system.sounds(customer) if str(what).startswith("said")]
        assert (await system.session(customer.sid))["state"] == ("bridged" if mode == "bridge" else "conferenced")
        await system.ended_by_hang_up(bob, customer.sid, "agent-left")


@pytest.mark.parametrize("mode", ["bridge", "conference"])
async def test_failing_agents_are_tried_once_in_order_and_the_caller_hears_so(redis_server, tmp_path, mode):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, mode)) as system:
        system.agent_phone.script_in_turn(busy())
        system.not_answered_by(BOB)
        system.sandbox.phone(AGENT_PHONE).script_in_turn(refuses())
        customer = await system.customer_calls()
        await system.everyone_is_gone(customer.sid, "agent-busy")
        assert tried(system) == list(AGENTS)
        said = [what for what in system.sounds(customer) if str(what).startswith("said")]
        # Over the bridge the reason of the last one is what is known.
        busy_line = "said The person you are calling is busy. Please try again later. Goodbye."
        assert said == [NO_ONE if mode == "conference" else busy_line]
        assert [entry["reason"] for entry in await system.outcomes()] == ["agent-busy"]


async def test_caller_is_hung_up_without_another_dial_when_the_action_fails(redis_server, tmp_path):
    """Twilio has retried it by then, and the fallback request does not say how the `<Dial>` ended."""
    async with LocalSystem(redis_server.url, speed=5, **settings(tmp_path, "bridge")) as system:
        system.agent_phone.script_in_turn(busy())
        system.sandbox.faults.fail_fetches("/voice/dial-action", status=503)
        system.sandbox.faults.delay_fetches("/voice/fallback", 1.0)  # the callback of the busy line comes first
        customer = await system.customer_calls()
        await system.everyone_is_gone(customer.sid, "agent-busy", debugger=frozenset({11200}))
        assert tried(system) == [AGENT]


@pytest.mark.processes
@pytest.mark.parametrize("mode", ["bridge"])
async def test_without_redis_the_next_agent_is_rung_too(redis_program, tmp_path, mode):
    with RedisServer(redis_program, append_only=True) as server:
        async with LocalSystem(server.url, **settings(tmp_path, mode)) as system:
            system.agent_phone.script_in_turn(rings())
            system.not_answered_by(BOB)
            customer = await system.customer_calls(CUSTOMER)
            alice = await system.dialed(AGENT)
            server.kill()
            alice.reject()
            bob = await system.dialed(BOB, timeout_s=60)
            server.start()
            bob.answer()
            await talks_with(system, customer, BOB)
            assert tried(system) == [AGENT, BOB]
            await system.done("convert", customer.sid)
            await system.ended_by_command(customer.sid)
