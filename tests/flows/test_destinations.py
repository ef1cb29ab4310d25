"""Whom calls go to: numbers, browser clients and SIP addresses, and no one who is not on the allow-list."""

import pytest

from tests.flows.flow_helpers import CAROL, SECOND, TARGET
from tests.support.command_results import wait_for_result
from tests.support.entries import entry_of
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem

pytestmark = pytest.mark.redis
NUMBER_AGENT = "+14155550166"
SIP_AGENT = "sip:alice@example.com"
SIP_TARGET = "sip:bob@example.com:5060;transport=tls"
ALLOWED = "US,client:,sip:example.com"
MODES = ("warm", "consult", "blind")
PREMIUM = "+19005550123"
# ---- every kind of address ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent_address, target_address, mode", [
    (NUMBER_AGENT, CAROL,      "consult"),
    (NUMBER_AGENT, SIP_TARGET, "blind"),
    (AGENT,        SIP_TARGET, "consult"),
    (AGENT,        TARGET,     "blind"),
    (SIP_AGENT,    TARGET,     "consult"),
    (SIP_AGENT,    CAROL,      "blind"),
])  # fmt: skip
async def test_call_goes_from_any_kind_of_agent_to_any_kind_of_target(
    redis_server, agent_address, target_address, mode
):
    settings = {"CONFERRAL_AGENT": agent_address, "CONFERRAL_ALLOWED_DESTINATIONS": ALLOWED}
    async with LocalSystem(redis_server.url, **settings) as system:
        system.answered_by(agent_address, target_address)
        customer, agent = await system.talking()
        assert agent.record.to == agent_address
        await system.until_hears(customer, [agent])
        await system.done("transfer", customer.sid, to=target_address, mode=mode)
        if mode == "consult":
            await system.done("complete", customer.sid)
        target = await system.dialed(target_address)
        await system.until_talk(customer, target)
        session = await system.until(customer.sid, state="conferenced")
        assert session["party.agent.address"] == target_address
        assert session["party.agent-1.address"] == agent_address
        assert system.dials_to(target_address) == 1
        await system.ended_by_hang_up(target, customer.sid, "agent-left")


@pytest.mark.parametrize("address, caller, shown", [
    (NUMBER_AGENT, CUSTOMER,     CUSTOMER),
    (AGENT,        CUSTOMER,     CUSTOMER),
    (SIP_AGENT,    CUSTOMER,     CUSTOMER),
    (NUMBER_AGENT, "anonymous",  NUMBER),
    (NUMBER_AGENT, "+266696687", NUMBER),
])  # fmt: skip
async def test_agent_who_rings_can_not_be_transferred_away_from_and_sees_who_calls(
    redis_server, address, caller, shown
):
    settings = {"CONFERRAL_AGENT": address, "CONFERRAL_ALLOWED_DESTINATIONS": ALLOWED}
    async with LocalSystem(redis_server.url, **settings) as system:
        system.not_answered_by(address)
        customer = await system.customer_calls(from_=caller)
        await system.until(customer.sid, **{"party.agent.status": "ringing"})
        agent = await system.dialed(address)
        assert agent.record.from_ == shown
        assert customer.status == "ringing"  # not answered, so no one is billed
        for mode in MODES:
            await system.rejected("no one has answered yet", "transfer", customer.sid, to=TARGET, mode=mode)
        await system.ended_by_command(customer.sid)


async def test_session_is_named_by_its_id_or_by_any_of_its_calls(system):
    system.answered_by(TARGET, SECOND)
    customer, agent = await system.talking()
    await system.done("convert", agent.sid)
    await system.done("transfer", customer.sid, to=TARGET, mode="consult")
    first = await system.dialed(TARGET)
    for kind, named in (("swap", first.sid), ("swap", agent.sid), ("complete", first.sid)):
        assert (await system.done(kind, named)).session == customer.sid
    # The call of a party that has left still identifies the session.
    await system.done("transfer", agent.sid, to=SECOND, mode="warm")
    second = await system.dialed(SECOND)
    await system.done("end", second.sid)
    await system.everyone_is_gone(customer.sid, "command")
    for call in (customer, agent, first, second):
        await system.rejected("the session has ended", "convert", call.sid)


# ---- the allow-list ----------------------------------------------------------------------------------------------


async def test_command_that_the_allow_list_refuses_leaves_a_line_that_says_who_gave_it(system):
    customer, agent = await system.talking()
    before, dials = await system.session(customer.sid), len(system.sandbox.request_log.dials)
    outcome = await system.command("transfer", agent.sid, to="+19005550143", mode="warm", by="desk 7")
    assert (outcome.status, outcome.session) == ("rejected", customer.sid)
    # Only that something was refused is noted.
    after = await system.session(customer.sid)
    changed = {name for name, text in after.items() if before.get(name) != text}
    assert changed == {"version", "seen", "refused_transfer", "refused_transfer_at"}
    assert len(system.sandbox.request_log.dials) == dials
    (line,) = [entry for entry in await system.log(customer.sid) if entry["event"] == "transfer"]
    assert (line["outcome"], line["reason"], line["by"]) == ("refused", outcome.reason, "desk 7")
    assert "900555" not in str(line)
    await system.ended_by_command(customer.sid)


# ---- the last check ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [PREMIUM, "+1911", "+18765550123", "sip:bob@example.com"])
@pytest.mark.parametrize("options", [{}, {"brief": "Hello."}], ids=["straight", "gated"])
async def test_address_written_to_the_stream_by_hand_is_not_dialed(system, address, options):
    customer, agent = await system.converted()
    stream = system.keys.events(system.keys.partition_of(customer.sid))
    event = entry_of("transfer", customer.sid, token="by-hand", to=[address], mode="warm", **options)
    await system.client.xadd(stream, event)
    outcome = await wait_for_result(system.client, system.keys, "by-hand", 5)
    assert (outcome.status, outcome.reason) == ("failed", "failed")
    assert not system.sandbox.calls_of(address)
    assert not system.dial_requests(address)
    await system.until_hears(customer, [agent])
    await system.until(customer.sid, state="conferenced")
    await system.ended_by_command(customer.sid)


# ---- our own numbers ---------------------------------------------------------------------------------------------


async def test_a_call_never_comes_in_again_at_a_number_of_the_account(redis_server):
    """The agent and the target are numbers of the account, of which the directory says nothing."""
    settings = {"CONFERRAL_AGENT": NUMBER_AGENT, "CONFERRAL_INBOUND_FALLBACK": CAROL}
    async with LocalSystem(redis_server.url, workers=0, **settings) as system:
        system.answered_by(CAROL)
        for number in (NUMBER_AGENT, TARGET):
            system.sandbox.add_number(number, voice_url=f"{system.public_url}/voice/inbound")
        system.start_worker()
        await system.eventually(system.all_held, "the worker holds every partition")
        own = system.own_numbers
        await system.eventually(lambda: own.account is not None, "the account's numbers were read")
        customer = await system.customer_calls()
        await system.until_talk(customer, await system.dialed(CAROL))
        for fields in ({"agent": AGENT, "customer": TARGET}, {"agent": NUMBER, "customer": CUSTOMER}):
            refused = await system.command("call", "", **fields)
            assert (refused.status, "one of your own numbers" in refused.reason) == ("rejected", True)
        assert [entry.to for entry in system.sandbox.request_log.dials] == [CAROL]
        await system.ended_by_command(customer.sid)
