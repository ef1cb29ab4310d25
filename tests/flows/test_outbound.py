"""Calls that go out: the agent is called first, then the customer; a regular call, converted on demand."""

import pytest

from conferral.storage.commands.command_stream import session_id_of
from tests.flows.flow_helpers import GAP_MAX_S, talking
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.phones import answers, busy, presses, refuses, rings, unreachable, voicemail

pytestmark = [pytest.mark.redis, pytest.mark.system(answered_by=[CUSTOMER])]

SPEED = 20
#: What a `call` names.
PAIR = {"agent": AGENT, "customer": CUSTOMER}


@pytest.fixture
async def quick(redis_server):
    """The same for sentences, which take time: the local Twilio's clock runs faster."""
    async with LocalSystem(redis_server.url, speed=SPEED, CONFERRAL_RING_TIMEOUT=20) as system:
        system.sandbox.phone(CUSTOMER).script_in_turn(answers(after_s=2))
        yield system


# ---- a regular call --------------------------------------------------------------------------------------------------


async def test_agent_is_called_first_and_hears_it_ring_until_the_customer_answers(system):
    system.not_answered_by(CUSTOMER)
    command = await system.begins("call", "", **PAIR)
    customer = await system.dialed(CUSTOMER)
    agent = system.sandbox.calls_of(AGENT)[0]
    await system.until_hears(agent, "ringing")
    session_id = session_id_of(command)
    session = await system.until(session_id, **{"party.customer.status": "ringing"})
    assert (session["state"], session["phase"], session["direction"]) == ("bridged", "ringing", "outbound")
    assert (session["party.agent.status"], session["party.agent.address"]) == ("connected", AGENT)

    customer.answer()
    outcome = await system.outcome_of(command)
    assert (outcome.status, outcome.session) == ("done", session_id)
    await system.until_talk(agent, customer)
    session = await system.until(session_id, phase="connected")
    assert session["party.agent.call_sid"] == agent.sid
    assert session["party.customer.call_sid"] == customer.sid
    assert system.sounds(customer) == [frozenset({agent.sid})]
    # One request; the customer is dialed by the document of our gate, and sees the business's number.
    (request,) = [entry for entry in system.sandbox.request_log.rest if entry.method == "POST"]
    assert (request.path, request.get("To"), request.get("From")) == ("/Calls.json", AGENT, NUMBER)
    assert customer.record.from_ == NUMBER
    await system.ended_by_hang_up(agent, session_id, "agent-left")
    assert [(published["kind"], published["reason"]) for published in await system.outcomes()] == [
        ("session", "agent-left")
    ]


@pytest.mark.parametrize("named_by", ["id", "customer's call", "agent's call"])
async def test_call_is_converted_on_demand_and_neither_notices(system, named_by):
    talk = await talking(system, "outbound")
    since_s = system.listening.now()
    named = {"id": talk.session, "customer's call": talk.customer.sid, "agent's call": talk.agent.sid}[named_by]
    outcome = await system.done("convert", named)
    assert outcome.session == talk.session
    await system.until(talk.session, state="conferenced")
    # The customer's leg is moved, and the agent's action follows.
    assert (system.redirects_of(talk.customer), system.redirects_of(talk.agent)) == (1, 0)
    for one, other in ((talk.customer, talk.agent), (talk.agent, talk.customer)):
        assert set(system.sounds(one, since_s)) == {frozenset({other.sid})}
        assert system.longest_gap_s(one, since_s) < GAP_MAX_S
    await system.ended_by_hang_up(talk.agent, talk.session, "agent-left")


# ---- the customer is not reached -------------------------------------------------------------------------------------


@pytest.mark.parametrize("script, reason, expected", [
    (busy(),        "customer-busy",      "is busy"),
    (refuses(),     "customer-rejected",  "is busy"),
    (rings(),       "customer-no-answer", "is not answering"),
    (unreachable(), "customer-failed",    "can not be reached"),
], ids=["busy", "refused", "no-answer", "unreachable"])  # fmt: skip
async def test_agent_hears_why_the_customer_is_not_reached(quick, script, reason, expected):
    quick.sandbox.phone(CUSTOMER).script_in_turn(script)
    command = await quick.begins("call", "", **PAIR)
    session = session_id_of(command)
    await quick.has_failed(command, reason)
    ended = await quick.everyone_is_gone(session, reason)
    agent = quick.sandbox.calls_of(AGENT)[0]
    assert quick.sounds(agent)[-1] == f"said The person you are calling {expected}. Please try again later. Goodbye."
    assert quick.longest_gap_s(agent, 0) < GAP_MAX_S
    assert ended["party.agent.status"] == ended["party.customer.status"] == "left"


# ---- the agent is not reached ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("script, reason", [
    (busy(),        "agent-busy"),
    (refuses(),     "agent-rejected"),
    (rings(),       "agent-no-answer"),
    (unreachable(), "agent-failed"),
], ids=["busy", "refused", "no-answer", "unreachable"])  # fmt: skip
@pytest.mark.parametrize("mode", ["bridge", "conference"])
@pytest.mark.examples(2)
async def test_customer_is_not_called_when_the_agent_is_not_reached(quick, script, reason, mode):
    quick.agent_phone.script_in_turn(script)
    command = await quick.begins("call", "", **PAIR, timeout="5", mode=mode)
    await quick.has_failed(command, reason)
    await quick.everyone_is_gone(session_id_of(command), reason)
    (request,) = quick.sandbox.request_log.requests("POST", "/Calls.json")
    assert (request.get("To"), request.get("Timeout")) == (AGENT, "5")
    assert quick.sandbox.request_log.dials_to(CUSTOMER) == 0


# ---- the gate --------------------------------------------------------------------------------------------------------


async def test_agent_hears_the_brief_and_accepts_by_pressing_one(quick):
    quick.agent_phone.script_in_turn(presses("1"))
    outcome = await quick.done("call", "", **PAIR, brief="Mrs. Jones, about her bill.", confirm="true")
    agent = await quick.leg(outcome.session, "agent")
    customer = await quick.leg(outcome.session, "customer")
    heard = quick.sounds(agent)
    assert heard[0] == "said Mrs. Jones, about her bill."
    assert heard[-2:] == ["ringing", frozenset({customer.sid})]
    assert quick.sounds(customer) == [frozenset({agent.sid})]
    await quick.ended_by_hang_up(customer, outcome.session, "customer-left")


@pytest.mark.parametrize("script, reason, shown", [
    (presses("2"),     "agent-rejected",        "You have declined the call. Goodbye."),
    (presses("", "#"), "agent-rejected",        "You have declined the call. Goodbye."),
    (answers(),        "agent-no-confirmation", "No key was pressed. Goodbye."),
    (voicemail(),      "agent-no-confirmation", "No key was pressed. Goodbye."),
], ids=["another-key", "another-key-later", "no-key", "voicemail"])  # fmt: skip
async def test_agent_not_pressing_one_is_hung_up_and_customer_is_not_called(quick, script, reason, shown):
    quick.agent_phone.script_in_turn(script)
    await quick.failed(reason, "call", "", **PAIR, confirm="true")
    agent = quick.sandbox.calls_of(AGENT)[0]
    ended = await quick.everyone_is_gone((await session_ids(quick))[0], reason)
    assert ended["party.customer.call_sid"] == ""
    assert quick.sounds(agent)[-1] == f"said {shown}"
    assert quick.sandbox.request_log.dials_to(CUSTOMER) == 0


async def session_ids(system: LocalSystem) -> list[str]:
    """Every session that has ended, oldest first."""
    return [outcomes_seen["session"] for outcomes_seen in await system.outcomes() if outcomes_seen["kind"] == "session"]


# ---- its id ----------------------------------------------------------------------------------------------------------


async def test_session_has_the_id_that_is_given_and_no_other_call_may_have_it(system):
    outcome = await system.done("call", "order-4711", **PAIR)
    assert outcome.session == "order-4711"
    session = await system.session("order-4711")
    taken = "session: this id is already in use"
    await system.rejected(taken, "call", "order-4711", **PAIR)
    for party in ("agent", "customer"):
        await system.rejected(
            "session must not have the form of a SID", "call", session[f"party.{party}.call_sid"], **PAIR
        )
    assert (system.dials_to(AGENT), system.sandbox.request_log.dials_to(CUSTOMER)) == (1, 1)
    await system.ended_by_command("order-4711")
    # Nor may a later one, as long as it is kept.
    await system.rejected(taken, "call", "order-4711", **PAIR)
