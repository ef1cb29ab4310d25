"""Whom calls go to: numbers, browser clients and SIP addresses, and nobody who is not on the allow-list."""

import asyncio

import pytest

from conferral.runtime.errors import SettingsError
from conferral.storage import commands
from conferral.telephony.directory import agent_of, fallback_of
from tests.stories.kit import (
    CAROL,
    SECOND,
    TARGET,
    dial_requests,
    dials_to,
    done,
    ended_by_command,
    everybody_is_gone,
    failed,
    rejected,
    until_hears,
)
from tests.support.phones import answers, busy, dialled, rings
from tests.support.world import AGENT, CUSTOMER, NUMBER, World, settings_for

pytestmark = pytest.mark.redis
NUMBER_AGENT = "+14155550166"
SIP_AGENT = "sip:alice@example.com"
SIP_TARGET = "sip:bob@example.com:5060;transport=tls"
ALLOWED = "US,client:,sip:example.com"
MODES = ("warm", "consult", "blind")
PREMIUM = "+19005550123"
#: What the allow-list of a US number refuses, and a part of the reason.
NEVER = {
    "911": "short and emergency numbers are never dialled",
    "112": "short and emergency numbers are never dialled",
    "+1911": "short and emergency numbers are never dialled",
    "+911": "short and emergency numbers are never dialled",
    "+1411": "short and emergency numbers are never dialled",
    "+141555": "short and emergency numbers are never dialled",
    PREMIUM: "is a premium-rate number; these are never dialled",
    "+18765550123": "the allow-list does not name its region JM",
    "+12425550123": "the allow-list does not name its region BS",
    "+16045550123": "the allow-list does not name its region CA",
    "+442079460123": "the allow-list does not name its region GB",
    "sip:bob@example.com": "the allow-list does not name this SIP domain",
    "+1 415 555 0123": "must be +, country code and number, such as +12025550145, client:NAME or sip:URI",
    "14155550123": "must be +, country code and number, such as +12025550145, client:NAME or sip:URI",
    "client:": "must be +, country code and number, such as +12025550145, client:NAME or sip:URI",
}


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        yield world


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
    async with World(redis_server.url, **settings) as world:
        for address in (agent_address, target_address):
            world.sandbox.phone(address).in_turn(answers())
        customer, agent = await world.talking()
        assert agent.record.to == agent_address
        await until_hears(world, customer, [agent])
        await done(world, "transfer", customer.sid, to=target_address, mode=mode)
        if mode == "consult":
            await done(world, "complete", customer.sid)
        target = await dialled(world.sandbox, target_address)
        await until_hears(world, customer, [target])
        await until_hears(world, target, [customer])
        session = await world.until(customer.sid, state="conferenced")
        assert session["party.agent.address"] == target_address
        assert session["party.agent-1.address"] == agent_address
        assert dials_to(world, target_address) == 1
        target.hang_up()
        await everybody_is_gone(world, customer.sid, "agent-left")


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
    async with World(redis_server.url, **settings) as world:
        world.sandbox.phone(address).in_turn(rings())
        customer = await world.customer_calls(from_=caller)
        await world.until(customer.sid, **{"party.agent.status": "ringing"})
        agent = await dialled(world.sandbox, address)
        assert agent.record.from_ == shown
        assert customer.status == "ringing"  # not answered, so nobody is billed
        for mode in MODES:
            await rejected(world, "nobody has answered yet", "transfer", customer.sid, to=TARGET, mode=mode)
        await ended_by_command(world, customer.sid)


async def test_session_is_named_by_its_id_or_by_any_of_its_calls(world):
    for address in (TARGET, SECOND):
        world.sandbox.phone(address).in_turn(answers())
    customer, agent = await world.talking()
    await done(world, "convert", agent.sid)
    await done(world, "transfer", customer.sid, to=TARGET, mode="consult")
    first = await dialled(world.sandbox, TARGET)
    for kind, named in (("swap", first.sid), ("swap", agent.sid), ("complete", first.sid)):
        assert (await done(world, kind, named)).session == customer.sid
    # The call of somebody who has left still tells the session.
    await done(world, "transfer", agent.sid, to=SECOND, mode="warm")
    second = await dialled(world.sandbox, SECOND)
    await done(world, "end", second.sid)
    await everybody_is_gone(world, customer.sid, "command")
    for call in (customer, agent, first, second):
        await rejected(world, "the session has ended", "convert", call.sid)


# ---- the allow-list ----------------------------------------------------------------------------------------------


async def test_nobody_who_is_not_allowed_can_be_named_by_a_command(world):
    customer, agent = await world.talking()
    before, dials = await world.session(customer.sid), len(world.sandbox.ledger.dials)
    for address, why in NEVER.items():
        several = {"to": f"{TARGET},{address}", "mode": "blind"}
        await asyncio.gather(
            *(rejected(world, f"to: {why}", "transfer", customer.sid, to=address, mode=mode) for mode in MODES),
            rejected(world, f"to, destination 2 of 2: {why}", "transfer", customer.sid, **several),
            rejected(world, f"agent: {why}", "call", "", agent=address, customer=CUSTOMER),
            rejected(world, f"customer: {why}", "call", "", agent=AGENT, customer=address),
        )
    # Only that something was refused is noted.
    after = await world.session(customer.sid)
    assert {name for name, text in after.items() if before.get(name) != text} == {"version", "seen"}
    assert len(world.sandbox.ledger.dials) == dials
    await until_hears(world, customer, [agent])
    await ended_by_command(world, customer.sid)


async def test_command_that_the_allow_list_refuses_leaves_a_line_that_says_who_gave_it(world):
    customer, agent = await world.talking()
    outcome = await world.command("transfer", agent.sid, to="+19005550143", mode="warm", by="desk 7")
    assert (outcome.status, outcome.session) == ("rejected", customer.sid)
    (line,) = [entry for entry in await world.log(customer.sid) if entry["event"] == "transfer"]
    assert (line["outcome"], line["reason"], line["by"]) == ("refused", outcome.reason, "desk 7")
    assert "900555" not in str(line)
    await ended_by_command(world, customer.sid)


async def test_region_prefix_and_domain_of_the_settings_are_what_may_be_dialled(redis_server):
    allowed = "+1876,GB,sip:example.com"
    settings = {"CONFERRAL_AGENT": SIP_AGENT, "CONFERRAL_ALLOWED_DESTINATIONS": allowed}
    async with World(redis_server.url, **settings) as world:
        world.sandbox.phone(SIP_AGENT).in_turn(answers())
        customer, agent = await world.converted()
        for address in (TARGET, CAROL, "sip:bob@sub.example.com", "+18761112", "+449098790123"):
            await rejected(world, "to: ", "transfer", customer.sid, to=address, mode="warm")
            assert not world.sandbox.calls_of(address)
        for address in ("+18765550123", "+442079460123", SIP_TARGET):
            world.sandbox.phone(address).in_turn(busy())
            await failed(world, "busy", "transfer", customer.sid, to=address, mode="warm")
            await world.until(customer.sid, state="conferenced")
        await until_hears(world, customer, [agent])
        await ended_by_command(world, customer.sid)


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize(
    "setting, check", [("CONFERRAL_TRANSFER_FALLBACK", fallback_of), ("CONFERRAL_AGENT", agent_of)]
)
def test_settings_that_name_somebody_who_is_not_allowed_start_nothing(setting, check, address):
    settings = settings_for("redis://localhost", None, "http://localhost", **{setting: address})
    with pytest.raises(SettingsError, match=setting) as refused:
        check(settings)
    # The message shows what was set, except a phone number; a short code is nobody's number.
    is_phone_number = sum(letter.isdigit() for letter in address) >= 7
    assert (address in str(refused.value)) == (not is_phone_number)


# ---- the last check ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [PREMIUM, "+1911", "+18765550123", "sip:bob@example.com"])
@pytest.mark.parametrize("options", [{}, {"brief": "Hello."}], ids=["straight", "gated"])
async def test_address_that_somebody_wrote_into_the_stream_by_hand_is_not_dialled(world, address, options):
    customer, agent = await world.converted()
    stream = world.keys.events(world.keys.partition_of(customer.sid))
    event = {"type": "transfer", "session": customer.sid, "token": "by-hand", "to": address, "mode": "warm", **options}
    await world.client.xadd(stream, event)
    outcome = await commands.wait_for_outcome(world.client, world.keys, "by-hand", 5)
    assert (outcome.status, outcome.reason) == ("failed", "failed")
    assert not world.sandbox.calls_of(address)
    assert not dial_requests(world, address)
    await until_hears(world, customer, [agent])
    await world.until(customer.sid, state="conferenced")
    await ended_by_command(world, customer.sid)


async def test_agent_whose_address_somebody_changed_by_hand_is_not_rung_again(redis_server):
    async with World(redis_server.url, speed=20) as world:
        world.sandbox.phone(TARGET).in_turn(busy())
        customer, _ = await world.talking()
        await world.stop_worker()
        await world.client.hset(world.keys.session(customer.sid), "party.agent.address", PREMIUM)
        world.start_worker()
        await failed(world, "busy", "transfer", customer.sid, to=TARGET, mode="blind")
        await everybody_is_gone(world, customer.sid, "recall-failed")
        assert not dial_requests(world, PREMIUM)
