"""Names of the directory in place of addresses, from the command to the phone that rings."""

import pytest

from tests.stories.kit import CAROL, TARGET, dials_to, done, ended_by_command, failed, rejected, until_hears
from tests.support.phones import answers, busy, dialled
from tests.support.world import CUSTOMER, World

pytestmark = pytest.mark.redis
NAMES = f"""
[destinations]
desk = "client:alice"
expert = "{CAROL}"
billing = "{TARGET}"
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "directory.toml"
    path.write_text(NAMES)
    return path


async def test_whoever_is_named_is_dialled_and_the_session_shows_the_address(redis_server, path):
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path, CONFERRAL_AGENT="desk") as world:
        world.sandbox.phone(CAROL).in_turn(answers())
        customer, agent = await world.talking()
        assert agent.record.to == "client:alice"
        await rejected(world, "to: nobody is called sales", "transfer", customer.sid, to="sales", mode="warm")
        await done(world, "transfer", customer.sid, to="expert", mode="warm")
        expert = await dialled(world.sandbox, CAROL)
        await until_hears(world, customer, [agent, expert])
        session = await world.session(customer.sid)
        assert (session["transfer.to"], session["party.target.address"]) == (CAROL, CAROL)
        await ended_by_command(world, customer.sid)


async def test_first_of_several_who_are_named_takes_the_call(redis_server, path):
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        world.sandbox.phone(TARGET).in_turn(busy())
        world.sandbox.phone(CAROL).in_turn(answers())
        customer, _ = await world.talking()
        await done(world, "transfer", customer.sid, to="billing,expert", mode="blind")
        await until_hears(world, customer, [await dialled(world.sandbox, CAROL)])
        assert dials_to(world, TARGET) == dials_to(world, CAROL) == 1
        await ended_by_command(world, customer.sid)


async def test_agent_and_customer_of_a_call_are_named(redis_server, path):
    path.write_text(f'{NAMES}visitor = "{CUSTOMER}"\n')
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        world.sandbox.phone(CUSTOMER).in_turn(answers())
        outcome = await done(world, "call", "", agent="desk", customer="visitor")
        session = await world.until(outcome.session, phase="connected")
        assert (session["party.agent.address"], session["party.customer.address"]) == ("client:alice", CUSTOMER)
        await ended_by_command(world, outcome.session)


async def test_fallback_that_is_named_goes_to_whoever_has_the_name_by_then(redis_server, path):
    settings = {"CONFERRAL_DIRECTORY": path, "CONFERRAL_TRANSFER_FALLBACK": "billing"}
    async with World(redis_server.url, **settings) as world:
        customer, _ = await world.talking()
        path.write_text(NAMES.replace(TARGET, "client:dora"))
        for worker in world.workers:
            worker._directory.reread()
        world.sandbox.phone(CAROL).in_turn(busy())
        world.sandbox.phone("client:dora").in_turn(answers())
        await failed(world, "busy", "transfer", customer.sid, to="expert", mode="blind")
        await until_hears(world, customer, [await dialled(world.sandbox, "client:dora")])
        assert dials_to(world, TARGET) == 0
        await ended_by_command(world, customer.sid)
