"""Calls over SIP domains: from carriers and PBXs, whose numbers are in URIs, and from agents' SIP phones."""

import pytest

from offhook.model.behavior import Behavior
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.people import SALES
from tests.support.phones import answers, busy, unreachable

pytestmark = pytest.mark.redis
CARRIER, PHONES = "carrier.sip.twilio.com", "acme.sip.twilio.com"
FROM = f"sip:{CUSTOMER}@198.51.100.7:5060;user=phone"


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "directory.toml"
    path.write_text(f'[inbound."{SALES}"]\nagents = ["client:sam"]\n')
    return path


def system_with(redis_server, **options):
    allowed = {"CONFERRAL_ALLOWED_DESTINATIONS": f"US,client:,sip:{PHONES}"}
    return LocalSystem(redis_server.url, speed=10, **(allowed | options))


async def carrier_call(system, from_=FROM, user=SALES, route="inbound", **domain):
    """A call that a carrier or PBX sends to a SIP domain."""
    system.sandbox.add_number(CARRIER, voice_url=f"{system.public_url}/voice/{route}", **domain)
    return await system.sandbox.call_in(from_, f"sip:{user}@{CARRIER};user=phone")


def seen_by(system, address):
    """The caller IDs that a phone has shown, in order."""
    return [call.record.from_ for call in system.sandbox.calls_of(address)]


# ---- carriers and PBXs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["inbound", "conference"])
async def test_carriers_call_reaches_the_numbers_agents_who_see_who_calls(redis_server, directory, route):
    async with system_with(redis_server, CONFERRAL_DIRECTORY=directory) as system:
        system.answered_by("client:sam")
        customer = await carrier_call(system, user=SALES.replace("+", "%2B"), route=route)
        agent = await system.dialed("client:sam")
        await system.until_talk(customer, agent)
        session = await system.session(customer.sid)
        assert session["party.customer.address"] == CUSTOMER
        # A dial by REST shows the number that was called, unless the settings say otherwise.
        assert seen_by(system, "client:sam") == [CUSTOMER if route == "inbound" else SALES]
        await system.ended_by_command(customer.sid)


@pytest.mark.parametrize(
    "allowed_by, shown", [("", NUMBER), ("account", CUSTOMER), ("verified", CUSTOMER), ("trunk", CUSTOMER)]
)
async def test_agents_phone_sees_the_number_that_twilio_lets_it_see(redis_server, allowed_by, shown):
    async with system_with(redis_server, CONFERRAL_AGENT=TARGET, behavior=Behavior(verify_callers=True)) as system:
        system.answered_by(TARGET)
        if allowed_by == "account":
            system.sandbox.add_number(CUSTOMER, voice_url=f"{system.public_url}/voice/inbound")
        elif allowed_by == "verified":
            system.sandbox.add_number(CUSTOMER, voice_url="", origin="verified")
        trunk = {"byoc_trunk_sid": "BY" + "1" * 32} if allowed_by == "trunk" else {}
        customer = await carrier_call(system, **trunk)
        await system.until_talk(customer, await system.dialed(TARGET))
        assert seen_by(system, TARGET) == [shown]
        await system.ended_by_command(customer.sid)


async def test_network_that_refuses_the_number_gets_ours_once(redis_server):
    async with system_with(redis_server, CONFERRAL_AGENT=TARGET) as system:
        system.sandbox.phone(TARGET).script_in_turn(unreachable(), answers())
        customer = await carrier_call(system, byoc_trunk_sid="BY" + "1" * 32)
        await system.until_talk(customer, await system.dialed(TARGET, 2))
        assert seen_by(system, TARGET) == [CUSTOMER, NUMBER]
        await system.ended_by_command(customer.sid)


@pytest.mark.parametrize(
    "target, is_verified, expected",
    [(f"sip:sam@{PHONES}", False, [CUSTOMER]), (TARGET, True, [CUSTOMER]), (TARGET, False, [CUSTOMER, NUMBER])],
)  # fmt: skip
async def test_target_sees_a_carriers_caller_where_twilio_lets_it(redis_server, target, is_verified, expected):
    options = {"CONFERRAL_TRANSFER_CALLER_ID": "customer", "behavior": Behavior(verify_callers=True)}
    async with system_with(redis_server, **options) as system:
        system.answered_by(target, AGENT)
        if is_verified:
            system.sandbox.add_number(CUSTOMER, voice_url="", origin="verified")
        customer = await carrier_call(system)
        await system.until(customer.sid, phase="connected")
        await system.done("transfer", customer.sid, to=target, mode="warm")
        assert [request.get("From") for request in system.dial_requests(target)] == expected
        assert system.sandbox.request_log.dials_to(target) == 1
        await system.ended_by_command(customer.sid)


# ---- an agent's own phone calls in -------------------------------------------------------------------------------


@pytest.mark.parametrize("from_", [TARGET, f"sip:{TARGET}@198.51.100.7"])
async def test_agents_own_phone_sees_the_business_number_at_every_dial(redis_server, from_):
    """Its own number might open its voicemail: as the first dial, transferred to, recalled, and added."""
    options = {"CONFERRAL_AGENT": TARGET, "CONFERRAL_TRANSFER_CALLER_ID": "customer"}
    async with system_with(redis_server, **options) as system:
        phone = system.sandbox.phone(TARGET)
        phone.script_in_turn(answers(), answers(), busy(), answers())
        is_sip = from_.startswith("sip:")
        customer = await (carrier_call(system, from_) if is_sip else system.customer_calls(from_=from_))
        agent = await system.dialed(TARGET)
        await system.until_talk(customer, agent)
        await system.until(customer.sid, phase="connected")
        await system.done("add", customer.sid, to=TARGET, party="expert")
        await system.until(customer.sid, **{"party.expert.status": "connected"})
        await system.done("remove", customer.sid, party="expert")
        await system.failed("busy", "transfer", customer.sid, to=TARGET, mode="blind")
        await system.until_talk(customer, await system.dialed(TARGET, 4))
        assert seen_by(system, TARGET) == [NUMBER] * 4
        await system.ended_by_command(customer.sid)


# ---- agents who called in from anywhere --------------------------------------------------------------------------

#: An address that no command may name.
SIGNED = "sip:719@198.51.100.7;transport=tcp"


async def phone_calls(system, dialed, from_=f"sip:desk@{PHONES}", host="acme.sip.us1.twilio.com"):
    """An agent dials on a SIP phone."""
    system.sandbox.add_number(
        PHONES, voice_url=f"{system.public_url}/voice/client", status_callback=f"{system.public_url}/voice/status"
    )
    return await system.sandbox.call_in(from_, f"sip:{dialed}@{host}")


async def agent_called_in(system, address):
    """An agent at that address talks to the customer; the agent's call and the customer's."""
    system.sandbox.phone(CUSTOMER).script_in_turn(answers())
    if address.startswith("sip:"):
        call = await phone_calls(system, CUSTOMER, from_=address)
    else:
        app = "AP" + "1" * 32
        system.sandbox.add_application(app, voice_url=f"{system.public_url}/voice/client")
        call = await system.sandbox.call_from_browser(address.removeprefix("client:"), CUSTOMER)
    customer = await system.dialed(CUSTOMER)
    await system.until_talk(call, customer)
    await system.until(call.sid, state="conferenced", phase="connected")
    return call, customer


async def test_agent_is_called_back_exactly_where_twilio_said_the_call_came_from(redis_server):
    address = SIGNED
    async with system_with(redis_server) as system:
        system.sandbox.phone(TARGET).script_in_turn(busy())
        system.answered_by(address)
        call, customer = await agent_called_in(system, address)
        await system.failed("busy", "transfer", call.sid, to=TARGET, mode="blind")
        await system.eventually(lambda: len(system.dial_requests(address)) == 1, "the agent is called back")
        assert [request.get("To") for request in system.dial_requests(address)] == [address]
        back = await system.dialed(address)
        await system.until_talk(customer, back)
        await system.ended_by_command(call.sid)


async def test_parked_call_goes_back_there_too_even_after_a_recall_that_was_not_answered(redis_server):
    address = SIGNED
    async with system_with(redis_server, CONFERRAL_PARK_TIMEOUT=5) as system:
        system.sandbox.phone(address).script_in_turn(busy(), answers())
        call, customer = await agent_called_in(system, address)
        await system.done("park", call.sid)
        await system.until_talk(customer, await system.dialed(address, 2))
        await system.ended_by_command(call.sid)


async def test_outcome_says_that_twilio_refused_the_address(redis_server):
    address = SIGNED
    async with system_with(redis_server) as system:
        system.sandbox.phone(TARGET).script_in_turn(busy())
        call, _ = await agent_called_in(system, address)
        system.sandbox.faults.next_rest("POST", "/Calls.json", status=400, code=21217, To=address, count=9)
        await system.failed("busy", "transfer", call.sid, to=TARGET, mode="blind")
        await system.everyone_is_gone(call.sid, "recall-failed")
        transfer = (await system.outcomes())[0]
        assert (transfer["result"], transfer["reason"]) == ("failed", "busy, recall refused, recall refused")


async def test_no_one_is_called_back_at_a_number_that_no_one_may_dial(redis_server):
    address = "sip:19005550143@gateway.example"
    async with system_with(redis_server) as system:
        system.sandbox.phone(TARGET).script_in_turn(busy())
        call, _ = await agent_called_in(system, address)
        await system.failed("busy", "transfer", call.sid, to=TARGET, mode="blind")
        await system.everyone_is_gone(call.sid, "recall-failed")
        assert system.dial_requests(address) == []
