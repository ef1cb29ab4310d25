"""Conferences from the start are ordinary ones afterwards: consult, blind transfer, and who may leave meanwhile."""

import pytest

from tests.stories.kit import CAROL, SECOND, TARGET, dials_to, done, everybody_is_gone, failed, until_hears
from tests.stories.openings import by_way, in_conference, some
from tests.stories.trio import dials, joined_by_target, told
from tests.support.phones import answers, busy, dialled
from tests.support.world import World

pytestmark = pytest.mark.redis


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        yield world


async def starts(world, way):
    opening, leg = await in_conference(world, way)
    return opening.trio(leg)


async def target_stays(world, trio):
    """The target has the call; when it hangs up nothing is left."""
    session = await trio.until(state="conferenced", phase="", transfer_status="completed")
    assert (session["party.agent.call_sid"], session["party.agent.address"]) == (trio.target.sid, TARGET)
    assert session["party.customer.call_sid"] == trio.customer.sid
    trio.target.hang_up()
    await everybody_is_gone(world, trio.id, "agent-left")
    transfer, end = await told(world, 2)
    assert (transfer["kind"], transfer["result"], transfer["to"]) == ("transfer", "completed", TARGET)
    assert (end["kind"], end["reason"]) == ("session", "agent-left")
    assert dials_to(world, TARGET) == 1


@by_way("waiting")
async def test_consult_with_swap_and_merge_and_complete(world, way):
    trio = await starts(world, way)
    before_s = world.listening.now()
    await joined_by_target(trio, "consult")
    await trio.hear(customer="music")
    await trio.only_two_talk("agent", "target")
    assert trio.kept_apart(before_s)
    await trio.done("swap")
    await trio.hear(target="music")
    await trio.only_two_talk("customer", "agent")
    assert trio.kept_apart(before_s)
    await trio.done("merge")
    await trio.all_talk()
    await trio.done("complete")
    await trio.only_two_talk("customer", "target")
    await target_stays(world, trio)


@by_way("client")
async def test_consult_that_is_cancelled_leaves_the_two_talking(world, way):
    trio = await starts(world, way)
    await joined_by_target(trio, "consult")
    await trio.done("cancel")
    await trio.only_two_talk("customer", "agent")
    await trio.until(state="conferenced", phase="", transfer_status="cancelled")
    assert trio.kept_apart()
    trio.customer.hang_up()
    await everybody_is_gone(world, trio.id, "customer-left")


@by_way("call")
async def test_blind_transfer_lets_the_agent_go_and_the_customer_hears_ringing_until_the_answer(world, way):
    trio = await starts(world, way)
    agent = trio.agent
    await dials(trio, "blind")
    await trio.hear(customer="ringback")
    await world.sandbox.wait_until(lambda: agent.status == "completed")
    trio.target.answer()
    await trio.only_two_talk("customer", "target")
    assert world.listening.never_heard(agent, trio.target)
    await target_stays(world, trio)


@by_way("waiting")
async def test_blind_transfer_that_fails_brings_the_agent_back(redis_server, way):
    async with World(redis_server.url, speed=5) as world:
        trio = await starts(world, way)
        address = (await trio.session())["party.agent.address"]
        world.sandbox.phone(TARGET).in_turn(busy())
        world.sandbox.phone(address).in_turn(answers())
        before = len(world.sandbox.calls_of(address))
        await failed(world, "busy", "transfer", trio.id, to=TARGET, mode="blind")
        recalled = await dialled(world.sandbox, address, before + 1)
        await until_hears(world, trio.customer, [recalled])
        await until_hears(world, recalled, [trio.customer])
        await trio.until(state="conferenced", phase="")
        recalled.hang_up()
        await everybody_is_gone(world, trio.id, "agent-left")


@by_way("client")
@pytest.mark.parametrize("mode", some(["warm", "consult"], "consult"))
async def test_agent_who_hangs_up_while_all_are_there_hands_over(world, way, mode):
    trio = await starts(world, way)
    await joined_by_target(trio, mode)
    trio.agent.hang_up()
    await trio.only_two_talk("customer", "target")
    await target_stays(world, trio)


@by_way("call")
@pytest.mark.parametrize("mode", some(["warm", "consult", "blind"], "blind"))
async def test_customer_who_hangs_up_in_a_transfer_lets_everybody_go(world, way, mode):
    trio = await starts(world, way)
    await dials(trio, mode)
    trio.customer.hang_up()
    await everybody_is_gone(world, trio.id, "customer-left")
    transfer, _ = await told(world, 2)
    assert (transfer["result"], transfer["reason"]) == ("failed", "customer-left")
    assert trio.target.record.answered_at_s is None


@by_way("waiting")
async def test_two_transfers_one_after_the_other(world, way):
    trio = await starts(world, way)
    for address, mode in ((TARGET, "blind"), (SECOND, "blind")):
        world.sandbox.phone(address).in_turn(answers())
        await done(world, "transfer", trio.id, to=address, mode=mode)
        await until_hears(world, trio.customer, [await dialled(world.sandbox, address)])
        await trio.until(state="conferenced", phase="")
    assert dials_to(world, TARGET) == dials_to(world, SECOND) == 1
    await done(world, "end", trio.id)
    await everybody_is_gone(world, trio.id, "command")


async def test_group_of_three_hands_over_and_goes_on_until_one_is_left(world):
    """In a call of a browser's whoever leaves ends nothing, before and after a transfer."""
    trio = await starts(world, "client")
    world.sandbox.phone(CAROL).in_turn(answers())
    await done(world, "add", trio.id, to=CAROL, party="expert")
    carol = await dialled(world.sandbox, CAROL)
    await until_hears(world, carol, [trio.customer, trio.agent])
    await joined_by_target(trio, "warm")
    await trio.done("complete")
    await until_hears(world, carol, [trio.customer, trio.target])
    trio.customer.hang_up()
    await until_hears(world, carol, [trio.target])
    await until_hears(world, trio.target, [carol])
    carol.hang_up()
    await everybody_is_gone(world, trio.id, "customer-left")
