"""Blind transfers of which Twilio refuses, delays or forgets a part."""

import pytest

from tests.stories.kit import (
    GAP_MAX_S,
    TARGET,
    begins,
    dials_to,
    done,
    everybody_is_gone,
    failed,
    longest_gap_s,
    outcome_of,
    sounds,
    talking,
    until_hears,
)
from tests.support.phones import answers, rings
from tests.support.world import World

pytestmark = pytest.mark.redis

BOTH_DIRECTIONS = pytest.mark.parametrize("direction", ["inbound", "outbound"])


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        world.sandbox.phone(TARGET).in_turn(answers())
        yield world


async def is_handed_over(world, talk, debugger=frozenset()):
    """The customer talks to the target; then he hangs up, and nothing is left."""
    target = await world.leg(talk.session, "agent")
    await until_hears(world, talk.customer, [target])
    await until_hears(world, target, [talk.customer])
    assert world.listening.never_heard(talk.agent, target)
    assert dials_to(world, TARGET) == 1
    talk.customer.hang_up()
    await everybody_is_gone(world, talk.session, "customer-left", debugger=debugger)


# ---- the customer's redirect, where he was called --------------------------------------------------------------------


async def test_redirect_that_is_refused_leaves_the_two_talking(world):
    talk = await talking(world, "outbound")
    world.sandbox.faults.next_rest("POST", f"/Calls/{talk.customer.sid}", status=400)
    began_s = world.listening.now()
    await failed(world, "Twilio refused (HTTP 400, code 20001)", "transfer", talk.session, to=TARGET, mode="blind")
    session = await world.until(talk.session, state="bridged")
    assert session["phase"] == "connected"
    assert session["transfer.status"] == "failed"
    assert sounds(world, talk.customer, began_s) == [frozenset({talk.agent.sid})]
    assert dials_to(world, TARGET) == 0
    # And it can be tried again.
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    await is_handed_over(world, talk)


@pytest.mark.parametrize("fault", [
    {"status": 429}, {"status": 503}, {"status": 500, "moment": "after"}, {"cut": "before"}, {"cut": "after"},
], ids=["429", "503", "500-after-effect", "cut-before", "cut-after"])  # fmt: skip
async def test_redirect_whose_answer_is_bad_is_never_repeated_once_it_has_moved_the_customer(world, fault):
    talk = await talking(world, "outbound")
    world.sandbox.faults.next_rest("POST", f"/Calls/{talk.customer.sid}", **fault)
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    assert world.redirects_of(talk.customer) == 1
    await is_handed_over(world, talk)


async def test_agent_whose_dial_action_hangs_him_up_is_not_hung_up_by_request(world):
    talk = await talking(world, "outbound")
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    assert talk.agent.status == "completed"
    assert not world.sandbox.ledger.requests("POST", f"/Calls/{talk.agent.sid}")
    await is_handed_over(world, talk)


async def test_agent_of_whose_dial_nothing_is_heard_is_hung_up_after_a_while(world):
    """His `<Dial>` has ended, and the request for its action hangs: he would wait in silence for as long."""
    talk = await talking(world, "outbound")
    world.sandbox.faults.delay_fetches("/voice/dial-action", 3)
    world.sandbox.phone(TARGET).in_turn(rings())
    command = await begins(world, "transfer", talk.session, to=TARGET, mode="blind")
    await world.until(talk.session, **{"transfer.status": "ringing", "party.agent.status": "left"})
    (request,) = world.sandbox.ledger.requests("POST", f"/Calls/{talk.agent.sid}")
    assert request.get("Status") == "completed"
    world.sandbox.calls_of(TARGET)[-1].answer()
    assert (await outcome_of(world, command)).status == "done"
    await is_handed_over(world, talk)


# ---- the customer's way into the room, where he has called -----------------------------------------------------------


@pytest.mark.parametrize("fault", [{"status": 503}, {"cut": "before"}, {"cut": "after"}, {"status": 429}])
async def test_agent_who_is_not_let_go_at_once_is_let_go_in_the_end(world, fault):
    talk = await talking(world)
    world.sandbox.faults.next_rest("POST", f"/Calls/{talk.agent.sid}", **fault)
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    await is_handed_over(world, talk)


@pytest.mark.parametrize("count", [1, 2])
async def test_customer_whose_dial_action_fails_is_still_brought_into_the_room(world, count):
    talk = await talking(world)
    world.sandbox.faults.fail_fetches("/voice/dial-action", status=503, count=count)
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    await is_handed_over(world, talk, debugger=frozenset({11200}))


async def test_customer_who_never_arrives_is_moved_once_and_handed_over(world):
    """Neither his action nor the fallback answers Twilio, so they can't bring him in; he is moved meanwhile."""
    talk = await talking(world)
    for path in ("/voice/dial-action", "/voice/fallback"):
        world.sandbox.faults.fail_fetches(path, status=0, count=8)
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    assert world.redirects_of(talk.customer) == 1
    world.sandbox.faults.clear()
    await is_handed_over(world, talk, debugger=frozenset({11205}))


@BOTH_DIRECTIONS
async def test_customer_whose_joining_is_not_told_is_found_by_a_look(world, direction):
    talk = await talking(world, direction)
    world.sandbox.faults.lose_callbacks("participant-join", CallSid=talk.customer.sid)
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    await is_handed_over(world, talk)


# ---- the tune that he waits with -------------------------------------------------------------------------------------


@BOTH_DIRECTIONS
@pytest.mark.parametrize("late", ["", "participant-leave", "conference-end"])
async def test_customer_whom_twilio_puts_out_since_his_tune_can_not_be_had_waits_elsewhere_for_the_agent(
    redis_server, direction, late
):
    """Twilio ends a `<Conference>` whose wait URL fails; he is led into another one, in silence in the end.

    Whoever is dialled into the one that is over can't reach him, so the agent is rung again. He is told why, which
    takes time: so the local Twilio's clock runs faster.
    """
    async with World(redis_server.url, speed=20) as world:
        talk = await talking(world, direction)
        world.sandbox.phone(TARGET).in_turn(rings())
        world.sandbox.faults.fail_fetches("/voice/wait", status=500, count=50)
        if late:
            world.sandbox.faults.delay_callbacks(late, 0.1, count=2)
        await failed(world, "failed", "transfer", talk.session, to=TARGET, mode="blind")
        await world.until(talk.session, state="conferenced")
        back = await world.leg(talk.session, "agent")
        await until_hears(world, talk.customer, [back])
        await until_hears(world, back, [talk.customer])
        talk.customer.hang_up()
        await world.until(talk.session, state="ended", end_reason="customer-left")
        await world.settled()
        assert dials_to(world, TARGET) <= 1
        # Where the end is told late, the agent may be led into the conference that is over, and is rung a second time.
        may_be = {11200, 13236} if late == "conference-end" else {11200}
        assert {entry.code for entry in world.sandbox.ledger.errors()} <= may_be


async def test_customer_whom_we_called_is_answered_by_the_fallback_when_the_dial_action_fails(redis_server):
    """No number's fallback applies to a call that we placed: the request that moves it has to name one."""
    async with World(redis_server.url, speed=20) as world:
        talk = await talking(world, "outbound")
        world.sandbox.phone(TARGET).in_turn(rings())
        world.sandbox.faults.fail_fetches("/voice/wait", status=500, count=50)
        world.sandbox.faults.fail_fetches("/voice/dial-action", status=503, count=50)
        await failed(world, "failed", "transfer", talk.session, to=TARGET, mode="blind")
        await world.until(talk.session, state="conferenced")
        back = await world.leg(talk.session, "agent")
        await until_hears(world, talk.customer, [back])
        talk.customer.hang_up()
        await everybody_is_gone(world, talk.session, "customer-left", debugger=frozenset({11200}))


async def test_customer_who_is_put_out_of_the_one_conference_alone_is_led_into_another_with_ringing(redis_server):
    async with World(redis_server.url, speed=20) as world:
        talk = await talking(world)
        world.agent_phone.in_turn(rings())
        world.sandbox.faults.fail_fetches("/voice/wait", status=500)
        await failed(world, "failed", "transfer", talk.session, to=TARGET, mode="blind")
        await until_hears(world, talk.customer, "music")
        assert talk.customer.status == "in-progress"
        talk.customer.hang_up()
        await everybody_is_gone(world, talk.session, "customer-left", debugger=frozenset({11200}))


@BOTH_DIRECTIONS
async def test_customer_in_a_conference_hears_music_where_his_tune_can_not_be_had(world, direction):
    """Somebody on hold is not put out."""
    talk = await talking(world, direction, in_room=True)
    world.sandbox.faults.fail_fetches("/voice/wait", status=500, count=50)
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    await is_handed_over(world, talk, debugger=frozenset({11200}))


# ---- the customer's hold, in a conference ----------------------------------------------------------------------------


@BOTH_DIRECTIONS
async def test_hold_that_is_not_told_is_found_by_a_look(world, direction):
    talk = await talking(world, direction, in_room=True)
    world.sandbox.faults.lose_callbacks("participant-hold")
    began_s = world.listening.now()
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    assert sounds(world, talk.customer, began_s)[:2] == [frozenset({talk.agent.sid}), "ringback"]
    assert longest_gap_s(world, talk.customer, began_s) < GAP_MAX_S
    await is_handed_over(world, talk)


@pytest.mark.parametrize("direction, status", [("inbound", 400), ("outbound", 404), ("inbound", 500)])
async def test_hold_that_never_comes_is_gone_on_without(world, direction, status):
    """It would only have let the customer hear ringing: the target is dialled all the same."""
    talk = await talking(world, direction, in_room=True)
    world.sandbox.faults.next_rest("POST", "/Conferences/*/Participants/*", status=status, count=100, Hold="true")
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    world.sandbox.faults.clear()
    await is_handed_over(world, talk)


@BOTH_DIRECTIONS
@pytest.mark.parametrize("fault", [{"lost": True}, {"status": 500}, {"cut": "after"}], ids=["lost", "500", "cut"])
async def test_customer_is_let_back_to_the_target_however_often_it_takes(world, direction, fault):
    talk = await talking(world, direction, in_room=True)
    if "lost" in fault:
        world.sandbox.faults.lose_callbacks("participant-unhold")
    else:
        world.sandbox.faults.next_rest(
            "POST", "/Conferences/*/Participants/*", count=2, Hold="false", EndConferenceOnExit="", **fault
        )
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    await is_handed_over(world, talk)
