"""The leg of an agent with a desk is lost, as by a reload: the customer waits, and the agent is rung again once."""

import json

import pytest

from conferral.operations.desk_sign_out import end_sign_ins
from conferral.storage.agents import Agents
from conferral.storage.queries.session_reader import SessionReader
from conferral.storage.sign_ins import SignIn, SignIns, digest_of_secret
from tests.flows.flow_helpers import CAROL, GAP_MAX_S, talking
from tests.flows.three_party_call import ThreePartyCall, dials, published, three, two
from tests.support.local_system import AGENT, LocalSystem
from tests.support.phones import answers, busy, rings

pytestmark = [pytest.mark.redis, pytest.mark.system(speed=20, CONFERRAL_RING_TIMEOUT=20)]
SORRY = "said We are sorry, but we could not connect you. Please try again later. Goodbye."


async def has_desk(system: LocalSystem, address: str = AGENT, sign_in: str = "") -> None:
    """A desk renews the presence of this agent."""
    agents, identity = Agents(system.client, system.keys), address.removeprefix("client:")
    await agents.renew(identity, "Alice", "desk-1", is_ready=True, is_busy=False, sign_in=sign_in)


async def with_desk(system: LocalSystem, mode: str, start: str = "bridged") -> ThreePartyCall:
    """Three in a transfer, whose agent has a desk."""
    await has_desk(system)
    return await three(system, mode, start)


async def is_back(system: LocalSystem, session: str, lost: str):
    """Waits until the agent has another call, and returns it."""
    back = await system.dialed(AGENT, 2)
    assert back.sid != lost
    system.listening.name(back=back)
    return back


async def rung_for_call(system: LocalSystem) -> list[tuple[str, str]]:
    (ended,) = [one for one in await system.outcomes() if one["kind"] == "session"]
    return [(one["to"], one["result"]) for one in json.loads(ended["attempts"])]


@pytest.mark.parametrize("conferenced", [False, True], ids=["bridged", "conferenced"])
async def test_lost_agent_is_rung_again_while_the_customer_hears_music(system, conferenced):
    await has_desk(system)
    talk = await talking(system, conferenced=conferenced)
    session = await system.session(talk.session)
    assert session["party.agent.has_desk"] == "true"
    assert "party.agent.end_on_exit" not in session
    system.sandbox.phone(AGENT).script_in_turn(answers(after_s=5))
    began_s = system.listening.now()
    talk.agent.hang_up()
    recall = await system.until(talk.session, state="transferring", phase="recall")
    assert not recall["transfer.mode"]
    back = await is_back(system, talk.session, talk.agent.sid)
    await system.until_talk(talk.customer, back)
    await system.until(talk.session, state="conferenced", phase="connected")
    assert system.sounds(talk.customer, began_s)[-2:] == ["music", frozenset({back.sid})]
    assert system.longest_gap_s(talk.customer, began_s) < GAP_MAX_S
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")
    (ended,) = await system.outcomes()
    assert (ended["landed_on"], ended["reason"]) == ("", "customer-left")
    assert await rung_for_call(system) == [(AGENT, "answered"), (AGENT, "answered")]


@pytest.mark.parametrize("conferenced", [False, True], ids=["bridged", "conferenced"])
async def test_the_leg_of_a_sign_in_that_has_ended_is_hung_up_not_lost(system, conferenced):
    signed_in = SignIns(system.client, system.keys)
    secret, _ = await signed_in.add(SignIn("alice", "api"), 60_000)
    await has_desk(system, sign_in=digest_of_secret(secret))
    talk = await talking(system, conferenced=conferenced)
    await end_sign_ins(SessionReader(system.client, system.keys), "alice", everything=True)
    await system.until(talk.session, **{"party.agent.has_desk": None})
    talk.agent.hang_up()
    await system.until(talk.session, state="ended")
    await system.settled()
    assert system.sandbox.request_log.dials_to(AGENT) == 1


@pytest.mark.system(CONFERRAL_INBOUND_FALLBACK=CAROL)
async def test_caller_of_an_agent_who_stays_away_goes_to_the_fallback(system):
    await has_desk(system)
    talk = await talking(system)
    system.sandbox.phone(AGENT).script_in_turn(busy())
    system.answered_by(CAROL)
    talk.agent.hang_up()
    carol = await system.dialed(CAROL)
    await system.until_talk(talk.customer, carol)
    await system.until(talk.session, state="conferenced", phase="connected")
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")
    assert (await system.outcomes())[0]["landed_on"] == CAROL
    assert await rung_for_call(system) == [(AGENT, "answered"), (AGENT, "busy"), (CAROL, "answered")]


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_customer_without_a_fallback_hears_a_sentence(system, direction):
    await has_desk(system)
    talk = await talking(system, direction, conferenced=True)
    system.sandbox.phone(AGENT).script_in_turn(rings())
    talk.agent.hang_up()
    await system.everyone_is_gone(talk.session, "recall-failed")
    assert system.sounds(talk.customer)[-2:] == ["music", SORRY]
    assert (await rung_for_call(system))[-1] == (AGENT, "no-answer")


@pytest.mark.parametrize("conferenced", [False, True], ids=["bridged", "conferenced"])
async def test_agent_who_is_removed_first_is_not_rung_again(system, conferenced):
    await has_desk(system)
    talk = await talking(system, conferenced=conferenced)
    await system.done("remove", talk.session, party="agent")
    await system.everyone_is_gone(talk.session, "agent-left")
    assert system.sandbox.request_log.dials_to(AGENT) == 1


@pytest.mark.parametrize("conferenced", [False, True], ids=["bridged", "conferenced"])
@pytest.mark.parametrize("agent_first", [False, True], ids=["customer-first", "agent-first"])
async def test_agent_who_is_lost_as_the_customer_hangs_up_is_not_rung_again(system, conferenced, agent_first):
    await has_desk(system)
    talk = await talking(system, conferenced=conferenced)
    for call in (talk.agent, talk.customer) if agent_first else (talk.customer, talk.agent):
        if call.is_live:  # a bridge ends the agent's call with the customer's
            call.hang_up()
    await system.until(talk.session, state="ended")
    await system.settled()
    assert system.sandbox.request_log.dials_to(AGENT) == 1


@pytest.mark.parametrize("swapped", [False, True], ids=["with-target", "with-customer"])
async def test_consult_goes_on_when_the_lost_agent_is_back(system, swapped):
    trio = await with_desk(system, "consult")
    if swapped:
        await trio.done("swap")
    system.sandbox.phone(AGENT).script_in_turn(answers(after_s=5))
    trio["agent"].hang_up()
    await trio.expect_heard(customer="music", target="music")
    session = await trio.session()
    assert (session["state"], session["phase"]) == ("transferring", "consult")
    await trio.comes("agent", AGENT, 2)
    talks, waits = ("customer", "target") if swapped else ("target", "customer")
    await trio.talk("agent", talks)
    await trio.expect_heard(**{waits: "music"})
    assert trio.kept_apart(), trio.heard()
    await trio.done("merge")
    await trio.talk()
    await trio.done("complete")
    await trio.talk("customer", "target")
    await system.ended_by_command(trio.id)
    transfer, ended = await published(system, 2)
    assert (transfer["result"], len(json.loads(transfer["attempts"]))) == ("completed", 1)
    assert [one["result"] for one in json.loads(ended["attempts"])] == ["answered", "answered"]


async def test_consult_is_completed_if_the_lost_agent_stays_away(system):
    trio = await with_desk(system, "consult")
    system.sandbox.phone(AGENT).script_in_turn(busy(after_s=5))
    trio["agent"].hang_up()
    await trio.expect_heard(customer="music", target="music")
    await trio.until(state="conferenced", phase="connected", transfer_status="completed")
    await trio.talk("customer", "target")
    await system.ended_by_command(trio.id)


async def test_customer_waits_for_a_lost_agent_whose_target_hangs_up(system):
    trio = await with_desk(system, "consult")
    system.sandbox.phone(AGENT).script_in_turn(answers(after_s=10))
    trio["agent"].hang_up()
    await trio.expect_heard(customer="music", target="music")
    trio["target"].hang_up()
    session = await trio.until(state="transferring", phase="recall")
    assert session["transfer.status"] == "cancelled"
    await trio.comes("agent", AGENT, 2)
    await trio.talk("customer", "agent")
    await trio.until(state="conferenced", phase="connected", transfer_status="cancelled")
    assert trio.kept_apart(), trio.heard()
    assert system.sandbox.request_log.dials_to(AGENT) == 2
    await system.ended_by_command(trio.id)


async def test_warm_transfer_goes_on_without_the_lost_agent_until_they_are_back(system):
    await has_desk(system)
    trio = await dials(await two(system), "warm", answers(after_s=10))
    system.sandbox.phone(AGENT).script_in_turn(answers(after_s=15))
    trio["agent"].hang_up()
    await trio.expect_heard(customer="music")
    await trio.talk("customer", "target")
    await trio.comes("agent", AGENT, 2)
    await trio.talk("customer", "agent", "target")
    await system.ended_by_command(trio.id)


async def test_agent_without_a_desk_is_not_rung_again(system):
    await has_desk(system, CAROL)
    talk = await talking(system, conferenced=True)
    talk.agent.hang_up()
    await system.everyone_is_gone(talk.session, "agent-left")
    assert system.sandbox.request_log.dials_to(AGENT) == 1
