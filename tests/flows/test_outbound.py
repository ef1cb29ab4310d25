"""Calls that go out: the agent is called first, then the customer; a regular call, converted on demand."""

import pytest

from conferral.commands.identity import session_id_of
from tests.flows.flow_helpers import GAP_MAX_S
from tests.support.local_system import AGENT, CUSTOMER, LocalSystem
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
async def test_customer_is_not_called_when_the_agent_is_not_reached(quick, script, reason, mode):
    quick.agent_phone.script_in_turn(script)
    command = await quick.begins("call", "", **PAIR, timeout="5", mode=mode)
    await quick.has_failed(command, reason)
    await quick.everyone_is_gone(session_id_of(command), reason)
    (request,) = quick.sandbox.request_log.requests("POST", "/Calls.json")
    assert (request.get("To"), request.get("Timeout")) == (AGENT, "5")
    assert quick.sandbox.request_log.dials_to(CUSTOMER) == 0


# ---- the gate --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script, reason, shown", [
    (presses("2"),     "agent-rejected",        "You have declined the call. Goodbye."),
    (presses("", "2"), "agent-rejected",        "You have declined the call. Goodbye."),
    (answers(),        "agent-no-confirmation", "You have not pressed 1. Goodbye."),
    (voicemail(),      "agent-no-confirmation", "You have not pressed 1. Goodbye."),
], ids=["2", "2-later", "no-key", "voicemail"])  # fmt: skip
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
    # `show` and commands would take it for that call, conference, session, or visit.
    for sid in (session["party.agent.call_sid"], "CF" + "7" * 32, "CS" + "7" * 32, "CA" + "7" * 32 + "-2"):
        await system.rejected("session must not have the form of a SID", "call", sid, **PAIR)
    assert (system.dials_to(AGENT), system.sandbox.request_log.dials_to(CUSTOMER)) == (1, 1)
    await system.ended_by_command("order-4711")
    # Nor may a later one, as long as it is kept.
    await system.rejected(taken, "call", "order-4711", **PAIR)
