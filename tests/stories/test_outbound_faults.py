"""Calls that go out of which Twilio refuses or forgets a part: nobody is called twice, nobody waits for nothing."""

import pytest

from conferral.storage.commands import session_id_of
from tests.stories.kit import (
    begins,
    dials_to,
    done,
    everybody_is_gone,
    failed,
    outcome_of,
    sounds,
    talking,
    until_hears,
)
from tests.support.phones import answers, busy, presses, rings, voicemail
from tests.support.world import AGENT, CUSTOMER, World

pytestmark = pytest.mark.redis

PAIR = {"agent": AGENT, "customer": CUSTOMER}
#: The agent's and the customer's callbacks differ in whom they are about.
OF_AGENT, OF_CUSTOMER = {"To": AGENT}, {"To": CUSTOMER}


@pytest.fixture
async def world(redis_server):
    # Nobody rings for that long: it makes the looks at Twilio come soon.
    async with World(redis_server.url, policy={"ring_timeout_ms": 1_000}) as world:
        world.sandbox.phone(CUSTOMER).in_turn(answers())
        yield world


async def is_a_call(world, session):
    """The two talk; then the agent hangs up, and nothing is left."""
    agent, customer = await world.leg(session, "agent"), await world.leg(session, "customer")
    await until_hears(world, agent, [customer])
    await until_hears(world, customer, [agent])
    assert (world.sandbox.ledger.dials_to(AGENT), world.sandbox.ledger.dials_to(CUSTOMER)) == (1, 1)
    agent.hang_up()
    await everybody_is_gone(world, session, "agent-left")


# ---- the agent's dial ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [
    {"status": 429}, {"status": 500, "moment": "after"}, {"cut": "after"},
], ids=["429", "500-after-effect", "cut-after"])  # fmt: skip
async def test_agent_is_called_once_though_the_answer_to_the_request_is_bad(world, fault):
    world.sandbox.faults.next_rest("POST", "/Calls.json", **fault)
    await is_a_call(world, (await done(world, "call", "", **PAIR)).session)


async def test_agent_whose_dial_nobody_knows_of_is_found_in_the_list_of_calls(world):
    """Neither the answer to the request nor a callback came."""
    world.agent_phone.in_turn(rings())
    world.sandbox.faults.next_rest("POST", "/Calls.json", cut="after")
    world.sandbox.faults.lose_callbacks("*", count=2, **OF_AGENT)
    command = await begins(world, "call", "", **PAIR)
    session = session_id_of(command)
    await world.sandbox.wait_until(lambda: world.sandbox.ledger.requests("GET", "/Calls.json"), 5)
    world.sandbox.calls_of(AGENT)[0].answer()
    assert (await outcome_of(world, command)).status == "done"
    await is_a_call(world, session)


async def test_agent_who_was_perhaps_never_called_is_not_called_again(world):
    world.sandbox.faults.next_rest("POST", "/Calls.json", cut="before")
    command = await begins(world, "call", "", **PAIR)
    assert (await outcome_of(world, command)).reason == "agent-failed"
    await everybody_is_gone(world, session_id_of(command), "agent-failed")
    assert dials_to(world, AGENT) == 0


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_refusal_of_the_agents_dial_ends_it(world, status):
    world.sandbox.faults.next_rest("POST", "/Calls.json", status=status)
    command = await begins(world, "call", "", **PAIR)
    assert (await outcome_of(world, command)).reason == "agent-failed"
    await everybody_is_gone(world, session_id_of(command), "agent-failed")
    assert not world.sandbox.ledger.dials


@pytest.mark.parametrize("event", ["initiated", "ringing", "in-progress", "*"])
async def test_callbacks_of_the_agent_that_are_lost_change_nothing(world, event):
    """The gate tells that he has answered."""
    world.sandbox.faults.lose_callbacks(event, count=3 if event == "*" else 1, **OF_AGENT)
    await is_a_call(world, (await done(world, "call", "", **PAIR)).session)


async def test_agent_of_whose_end_nothing_is_heard_is_looked_for(world):
    world.agent_phone.in_turn(busy())
    world.sandbox.faults.lose_callbacks("*", count=5, **OF_AGENT)
    command = await begins(world, "call", "", **PAIR)
    outcome = await outcome_of(world, command)
    assert (outcome.status, outcome.reason) == ("failed", "agent-busy")
    await everybody_is_gone(world, session_id_of(command), "agent-busy")


# ---- the customer's dial ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["initiated", "ringing", "in-progress", "*"])
async def test_callbacks_of_the_customer_that_are_lost_are_made_up_for_by_a_look(world, event):
    world.sandbox.faults.lose_callbacks(event, count=3 if event == "*" else 1, **OF_CUSTOMER)
    await is_a_call(world, (await done(world, "call", "", **PAIR)).session)


async def test_end_of_the_dial_tells_that_the_customer_is_busy_though_his_own_callback_is_lost(redis_server):
    async with World(redis_server.url, speed=20) as world:
        world.sandbox.phone(CUSTOMER).in_turn(busy())
        world.sandbox.faults.lose_callbacks("*", count=5, **OF_CUSTOMER)
        command = await begins(world, "call", "", **PAIR)
        assert (await outcome_of(world, command)).reason == "customer-busy"
        await everybody_is_gone(world, session_id_of(command), "customer-busy")


async def test_customers_own_callback_tells_that_he_is_busy_though_the_end_of_the_dial_is_late(world):
    world.sandbox.phone(CUSTOMER).in_turn(busy())
    world.sandbox.faults.delay_fetches("/voice/dial-action", 1)
    command = await begins(world, "call", "", **PAIR)
    assert (await outcome_of(world, command)).reason == "customer-busy"
    await everybody_is_gone(world, session_id_of(command), "customer-busy")


# ---- the gate --------------------------------------------------------------------------------------------------------


async def test_gate_that_fails_once_is_asked_again_and_the_customer_is_called_once(world):
    world.sandbox.faults.fail_fetches("/voice/gate", status=503)
    session = (await done(world, "call", "", **PAIR)).session
    agent = await world.leg(session, "agent")
    assert agent.status == "in-progress"
    assert world.sandbox.ledger.dials_to(CUSTOMER) == 1
    agent.hang_up()
    await everybody_is_gone(world, session, "agent-left", debugger=frozenset({11200}))


@pytest.mark.parametrize("script, reason", [
    (presses("1"), ""),
    (voicemail(),  "agent-no-confirmation"),
], ids=["presses-1", "voicemail"])  # fmt: skip
async def test_every_number_that_is_called_must_press_one_where_the_setting_says_so(redis_server, script, reason):
    number = "+14155550188"
    async with World(redis_server.url, speed=20, CONFERRAL_CONFIRM="phones") as world:
        world.sandbox.phone(CUSTOMER).in_turn(answers())
        world.sandbox.phone(number).in_turn(script)
        command = await begins(world, "call", "", agent=number, customer=CUSTOMER)
        outcome = await outcome_of(world, command)
        assert outcome.reason == reason
        agent = world.sandbox.calls_of(number)[0]
        assert sounds(world, agent)[0] == "said Press 1 to take the call."
        # The customer, whom the `<Dial>` calls, is asked for nothing.
        assert world.sandbox.ledger.dials_to(CUSTOMER) == (0 if reason else 1)
        if not reason:
            agent.hang_up()
        await everybody_is_gone(world, session_id_of(command), reason or "agent-left")


# ---- the way into a conference ---------------------------------------------------------------------------------------


async def test_conversion_that_is_refused_leaves_the_two_talking(world):
    talk = await talking(world, "outbound")
    world.sandbox.faults.next_rest("POST", f"/Calls/{talk.customer.sid}", status=400)
    await failed(world, "Twilio refused (HTTP 400, code 20001)", "convert", talk.session)
    session = await world.session(talk.session)
    assert (session["state"], session["phase"]) == ("bridged", "connected")
    await done(world, "convert", talk.session)
    await is_a_call(world, talk.session)


@pytest.mark.parametrize("leaver, moment", [("agent", "before"), ("customer", "before"), ("agent", "after")])
async def test_party_who_hangs_up_around_the_redirect_leaves_nobody_behind(world, leaver, moment):
    talk = await talking(world, "outbound")

    async def hang_up(rest):
        if rest.step == moment and rest.path.startswith(f"/Calls/{talk.customer.sid}") and rest.method == "POST":
            world.sandbox.on_rest = None
            {"customer": talk.customer, "agent": talk.agent}[leaver].hang_up()

    world.sandbox.on_rest = hang_up
    outcome = await world.command("convert", talk.session)
    assert outcome.status in ("failed", "done")
    ended = await world.until(talk.session, state="ended")
    if (leaver, moment) != ("agent", "before"):  # else Twilio ends both in the same moment
        assert ended["end_reason"] == f"{leaver}-left"
    await everybody_is_gone(world, talk.session, ended["end_reason"])
