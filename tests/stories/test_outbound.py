"""Calls that go out: the agent is called first, then the customer; a regular call, converted on demand."""

import pytest

from conferral.storage.commands import session_id_of
from tests.stories.kit import (
    GAP_MAX_S,
    begins,
    dials_to,
    done,
    everybody_is_gone,
    failed,
    longest_gap_s,
    outcome_of,
    outcomes,
    rejected,
    sounds,
    talking,
    until_hears,
)
from tests.support.phones import answers, busy, dialled, presses, refuses, rings, unreachable, voicemail
from tests.support.world import AGENT, CUSTOMER, NUMBER, World

pytestmark = pytest.mark.redis

SPEED = 20
#: What a `call` names.
PAIR = {"agent": AGENT, "customer": CUSTOMER}


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        world.sandbox.phone(CUSTOMER).in_turn(answers())
        yield world


@pytest.fixture
async def quick(redis_server):
    """The same for sentences, which take time: the local Twilio's clock runs faster."""
    async with World(redis_server.url, speed=SPEED, CONFERRAL_RING_TIMEOUT=20) as world:
        world.sandbox.phone(CUSTOMER).in_turn(answers(after_s=2))
        yield world


# ---- a regular call --------------------------------------------------------------------------------------------------


async def test_agent_is_called_first_and_hears_it_ring_until_the_customer_answers(world):
    world.sandbox.phone(CUSTOMER).in_turn(rings())
    command = await begins(world, "call", "", **PAIR)
    customer = await dialled(world.sandbox, CUSTOMER)
    agent = world.sandbox.calls_of(AGENT)[0]
    await until_hears(world, agent, "ringing")
    session_id = session_id_of(command)
    session = await world.until(session_id, **{"party.customer.status": "ringing"})
    assert (session["state"], session["phase"], session["direction"]) == ("bridged", "ringing", "outbound")
    assert (session["party.agent.status"], session["party.agent.address"]) == ("connected", AGENT)

    customer.answer()
    outcome = await outcome_of(world, command)
    assert (outcome.status, outcome.session) == ("done", session_id)
    await until_hears(world, agent, [customer])
    await until_hears(world, customer, [agent])
    session = await world.until(session_id, phase="connected")
    assert session["party.agent.call_sid"] == agent.sid
    assert session["party.customer.call_sid"] == customer.sid
    assert sounds(world, customer) == [frozenset({agent.sid})]
    # One request; the customer is dialled by the document of our gate, and sees the business's number.
    (request,) = [entry for entry in world.sandbox.ledger.rest if entry.method == "POST"]
    assert (request.path, request.get("To"), request.get("From")) == ("/Calls.json", AGENT, NUMBER)
    assert customer.record.from_ == NUMBER
    agent.hang_up()
    await everybody_is_gone(world, session_id, "agent-left")
    assert [(told["kind"], told["reason"]) for told in await outcomes(world)] == [("session", "agent-left")]


@pytest.mark.parametrize("leaver", ["agent", "customer"])
async def test_whoever_hangs_up_a_call_that_was_not_converted_ends_it(world, leaver):
    talk = await talking(world, "outbound")
    {"agent": talk.agent, "customer": talk.customer}[leaver].hang_up()
    await everybody_is_gone(world, talk.session, f"{leaver}-left")
    # The action's document hangs the agent up where the customer goes first; nobody is told anything.
    assert not world.sandbox.ledger.requests("POST", f"/Calls/{talk.agent.sid}")
    assert not any(str(what).startswith("said") for what in sounds(world, talk.agent))


@pytest.mark.parametrize("named_by", ["id", "customer's call", "agent's call"])
async def test_call_is_converted_on_demand_and_neither_notices(world, named_by):
    talk = await talking(world, "outbound")
    since_s = world.listening.now()
    named = {"id": talk.session, "customer's call": talk.customer.sid, "agent's call": talk.agent.sid}[named_by]
    outcome = await done(world, "convert", named)
    assert outcome.session == talk.session
    await world.until(talk.session, state="conferenced")
    # The customer's leg is moved, and the agent's action follows.
    assert (world.redirects_of(talk.customer), world.redirects_of(talk.agent)) == (1, 0)
    for one, other in ((talk.customer, talk.agent), (talk.agent, talk.customer)):
        assert set(sounds(world, one, since_s)) == {frozenset({other.sid})}
        assert longest_gap_s(world, one, since_s) < GAP_MAX_S
    talk.agent.hang_up()
    await everybody_is_gone(world, talk.session, "agent-left")


@pytest.mark.parametrize("leaver", ["agent", "customer"])
async def test_whoever_hangs_up_a_converted_call_ends_it(world, leaver):
    talk = await talking(world, "outbound", in_room=True)
    {"agent": talk.agent, "customer": talk.customer}[leaver].hang_up()
    await everybody_is_gone(world, talk.session, f"{leaver}-left")


async def test_nothing_but_the_end_is_allowed_before_the_customer_has_answered(world):
    world.sandbox.phone(CUSTOMER).in_turn(rings())
    command = await begins(world, "call", "", **PAIR)
    session = session_id_of(command)
    await dialled(world.sandbox, CUSTOMER)
    await world.until(session, **{"party.customer.status": "ringing"})
    await rejected(world, "nobody has answered yet; allowed now: remove, end", "convert", session)
    await rejected(
        world, "nobody has answered yet; allowed now: remove, end", "transfer", session, to=CUSTOMER, mode="blind"
    )
    await done(world, "end", session)
    outcome = await outcome_of(world, command)
    assert (outcome.status, outcome.reason) == ("failed", "command")
    await everybody_is_gone(world, session, "command")


# ---- the customer is not reached -------------------------------------------------------------------------------------


@pytest.mark.parametrize("script, reason, told", [
    (busy(),        "customer-busy",      "is busy"),
    (refuses(),     "customer-rejected",  "is busy"),
    (rings(),       "customer-no-answer", "is not answering"),
    (unreachable(), "customer-failed",    "can not be reached"),
], ids=["busy", "refused", "no-answer", "unreachable"])  # fmt: skip
async def test_agent_hears_why_the_customer_is_not_reached(quick, script, reason, told):
    quick.sandbox.phone(CUSTOMER).in_turn(script)
    command = await begins(quick, "call", "", **PAIR)
    session = session_id_of(command)
    outcome = await outcome_of(quick, command)
    assert (outcome.status, outcome.reason) == ("failed", reason)
    ended = await everybody_is_gone(quick, session, reason)
    agent = quick.sandbox.calls_of(AGENT)[0]
    assert sounds(quick, agent)[-1] == f"said The person you are calling {told}. Please try again later. Goodbye."
    assert longest_gap_s(quick, agent, 0) < GAP_MAX_S
    assert ended["party.agent.status"] == ended["party.customer.status"] == "left"


async def test_agent_who_hangs_up_while_the_customer_rings_stops_the_phone(world):
    world.sandbox.phone(CUSTOMER).in_turn(rings())
    command = await begins(world, "call", "", **PAIR)
    customer = await dialled(world.sandbox, CUSTOMER)
    world.sandbox.calls_of(AGENT)[0].hang_up()
    outcome = await outcome_of(world, command)
    assert (outcome.status, outcome.reason) == ("failed", "agent-left")
    await everybody_is_gone(world, session_id_of(command), "agent-left")
    assert customer.record.answered_at_s is None


# ---- the agent is not reached ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("script, reason", [
    (busy(),        "agent-busy"),
    (refuses(),     "agent-rejected"),
    (rings(),       "agent-no-answer"),
    (unreachable(), "agent-failed"),
], ids=["busy", "refused", "no-answer", "unreachable"])  # fmt: skip
async def test_customer_is_not_called_when_the_agent_is_not_reached(quick, script, reason):
    quick.agent_phone.in_turn(script)
    command = await begins(quick, "call", "", **PAIR, timeout="5")
    assert (await outcome_of(quick, command)).reason == reason
    await everybody_is_gone(quick, session_id_of(command), reason)
    assert quick.sandbox.ledger.dials_to(CUSTOMER) == 0


async def test_agent_who_is_called_for_too_long_is_given_up_by_the_time_that_the_command_gives(quick):
    quick.agent_phone.in_turn(rings())
    await failed(quick, "agent-no-answer", "call", "", **PAIR, timeout="7")
    (request,) = quick.sandbox.ledger.requests("POST", "/Calls.json")
    assert request.get("Timeout") == "7"
    await quick.settled()


# ---- the gate --------------------------------------------------------------------------------------------------------


async def test_agent_is_told_what_it_is_about_and_takes_the_call_by_pressing_one(quick):
    quick.agent_phone.in_turn(presses("1"))
    outcome = await done(quick, "call", "", **PAIR, brief="Mrs. Jones, about her bill.", confirm="true")
    agent = await quick.leg(outcome.session, "agent")
    customer = await quick.leg(outcome.session, "customer")
    heard = sounds(quick, agent)
    assert heard[0] == "said Mrs. Jones, about her bill."
    assert heard[-2:] == ["ringing", frozenset({customer.sid})]
    assert sounds(quick, customer) == [frozenset({agent.sid})]
    customer.hang_up()
    await everybody_is_gone(quick, outcome.session, "customer-left")


async def test_agent_who_is_told_what_it_is_about_need_not_press_anything(quick):
    outcome = await done(quick, "call", "", **PAIR, brief="Mrs. Jones & <Partners>")
    heard = sounds(quick, await quick.leg(outcome.session, "agent"))
    assert heard[:2] == ["said Mrs. Jones & <Partners>", "ringing"]
    await done(quick, "end", outcome.session)
    await everybody_is_gone(quick, outcome.session, "command")


@pytest.mark.parametrize("script, reason, told", [
    (presses("2"),     "agent-rejected",        "You have declined the call. Goodbye."),
    (presses("", "#"), "agent-rejected",        "You have declined the call. Goodbye."),
    (answers(),        "agent-no-confirmation", "No key was pressed. Goodbye."),
    (voicemail(),      "agent-no-confirmation", "No key was pressed. Goodbye."),
], ids=["another-key", "another-key-later", "no-key", "voicemail"])  # fmt: skip
async def test_agent_who_does_not_press_one_is_let_go_and_the_customer_is_not_called(quick, script, reason, told):
    quick.agent_phone.in_turn(script)
    await failed(quick, reason, "call", "", **PAIR, confirm="true")
    agent = quick.sandbox.calls_of(AGENT)[0]
    ended = await everybody_is_gone(quick, (await session_ids(quick))[0], reason)
    assert ended["party.customer.call_sid"] == ""
    assert sounds(quick, agent)[-1] == f"said {told}"
    assert quick.sandbox.ledger.dials_to(CUSTOMER) == 0


async def session_ids(world: World) -> list[str]:
    """Every session that has ended, oldest first."""
    return [told["session"] for told in await outcomes(world) if told["kind"] == "session"]


@pytest.mark.parametrize("moment", ["ringing", "asked"])
async def test_agent_who_hangs_up_at_the_gate_ends_it(quick, moment):
    quick.agent_phone.in_turn(answers(after_s=20) if moment == "ringing" else answers())
    command = await begins(quick, "call", "", **PAIR, confirm="true")
    agent = await dialled(quick.sandbox, AGENT)
    if moment == "ringing":
        await quick.until(session_id_of(command), **{"party.agent.status": "ringing"})
        agent.reject()
    else:
        await quick.until(session_id_of(command), **{"party.agent.status": "confirming"})
        agent.hang_up()
    reason = {"ringing": "agent-rejected", "asked": "agent-left"}[moment]
    assert (await outcome_of(quick, command)).reason == reason
    await everybody_is_gone(quick, session_id_of(command), reason)
    assert quick.sandbox.ledger.dials_to(CUSTOMER) == 0


# ---- its id ----------------------------------------------------------------------------------------------------------


async def test_session_has_the_id_that_is_given_and_no_other_call_may_have_it(world):
    outcome = await done(world, "call", "order-4711", **PAIR)
    assert outcome.session == "order-4711"
    session = await world.session("order-4711")
    taken = "session: there is a session or a call of this id already"
    await rejected(world, taken, "call", "order-4711", **PAIR)
    await rejected(world, taken, "call", session["party.agent.call_sid"], **PAIR)
    await rejected(world, taken, "call", session["party.customer.call_sid"], **PAIR)
    assert (dials_to(world, AGENT), world.sandbox.ledger.dials_to(CUSTOMER)) == (1, 1)
    await done(world, "end", "order-4711")
    await everybody_is_gone(world, "order-4711", "command")
    # Nor may a later one, as long as it is kept.
    await rejected(world, taken, "call", "order-4711", **PAIR)


async def test_session_has_an_id_made_from_the_commands_where_none_is_given(world):
    outcome = await done(world, "call", "", **PAIR, id="crm-1")
    assert outcome.session == session_id_of("crm-1")
    assert (await world.session(outcome.session))["state"] == "bridged"
    await done(world, "end", outcome.session)
    await everybody_is_gone(world, outcome.session, "command")


async def test_same_command_twice_calls_once(world):
    first = await begins(world, "call", "", **PAIR, id="crm-1")
    again = await begins(world, "call", "", **PAIR, id="crm-1")
    outcome = await outcome_of(world, first)
    assert (first, outcome) == (again, await outcome_of(world, again))
    assert outcome.status == "done"
    assert (dials_to(world, AGENT), world.sandbox.ledger.dials_to(CUSTOMER)) == (1, 1)
    await done(world, "end", outcome.session)
    assert await world.command("call", "", **PAIR, id="crm-1") == outcome
    await everybody_is_gone(world, outcome.session, "command")
    assert dials_to(world, AGENT) == 1


# ---- whom it may call ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields, why", [
    ({"agent": AGENT, "customer": "+442079460000"}, "customer: the allow-list does not name"),
    ({"agent": "+18765550123", "customer": CUSTOMER}, "agent: the allow-list does not name"),
    ({"agent": "sip:bob@example.com", "customer": CUSTOMER}, "agent: "),
    ({"agent": AGENT, "customer": "+1911"}, "customer: "),
    ({"agent": AGENT, "customer": "bob"}, "customer: "),
    ({"agent": AGENT, "customer": CUSTOMER, "digits": "12"}, "agent: a client has no keypad"),
    ({"agent": AGENT}, "call needs the field customer"),
    ({"customer": CUSTOMER}, "call needs the field agent"),
])  # fmt: skip
async def test_whoever_may_not_be_called_is_not_and_neither_is_the_other(world, fields, why):
    await rejected(world, why, "call", "", **fields)
    assert not world.sandbox.ledger.rest
    assert not world.sandbox.ledger.dials
    await world.settled()
