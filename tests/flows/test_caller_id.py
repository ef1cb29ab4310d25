"""What those see who are dialed: our number, or the caller's with its CallToken, which no one else ever sees."""

import io

import pytest

from conferral.runtime import log
from offhook.model.behavior import Behavior
from tests.flows.flow_helpers import TARGET, talks_and_ends
from tests.support import plain_log
from tests.support.command_line import CommandLine
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.people import HELP, SALES
from tests.support.phones import presses

pytestmark = pytest.mark.redis
WAYS = pytest.mark.parametrize("options", [{}, {"confirm": "true"}], ids=["straight", "gated"])


def showing_customers(redis_server, **options):
    """A system in which Twilio checks the caller ID, as in production."""
    behavior = Behavior(verify_callers=True, **options)
    return LocalSystem(redis_server.url, speed=20, behavior=behavior, CONFERRAL_TRANSFER_CALLER_ID="customer")


def shown(system):
    """What each dial to the target was to show, and whether with a CallToken."""
    return [(request.get("From"), bool(request.get("CallToken"))) for request in system.dial_requests(TARGET)]


async def target_sees(system, customer, agent, expected, **options):
    """Dials to the target show this, the last one is the only one placed, and then all three talk."""
    system.sandbox.phone(TARGET).script_in_turn(presses("1"))
    await system.done("transfer", customer.sid, to=TARGET, mode="warm", **options)
    assert shown(system) == expected
    assert system.sandbox.request_log.dials_to(TARGET) == 1
    await talks_and_ends(system, customer, agent, await system.dialed(TARGET))


async def test_call_token_is_in_no_log_line_no_output_and_not_kept_after_the_end(redis_server):
    lines = io.StringIO()
    log.configure("json", lines, "debug", process="test", cache_loggers=False)
    try:
        async with showing_customers(redis_server, accept_call_tokens=False) as system:
            system.sandbox.phone(TARGET).script_in_turn(presses("1"))
            customer, _ = await system.talking()
            await system.done("transfer", customer.sid, to=TARGET, mode="warm", confirm="true")
            token = system.dial_requests(TARGET)[0].get("CallToken")
            session = await system.session(customer.sid)
            assert session["call_token"] == token

            async with CommandLine(REDIS_URL=system.redis_url) as line:
                for option in ("--json", "--full"):
                    code, *texts = await line.type("show", customer.sid, option)
                    assert code == 0
                    assert customer.sid in texts[0]
                    assert token not in "".join(texts)

            await system.ended_by_command(customer.sid)
            published = [*await system.outcomes(), *await system.log(customer.sid), await system.session(customer.sid)]
            assert token not in str(published)
            assert not (await system.session(customer.sid)).get("call_token")
    finally:
        plain_log.configure()
    assert customer.sid in lines.getvalue()
    assert token not in lines.getvalue()
    assert CUSTOMER not in lines.getvalue()


# ---- numbers of the account --------------------------------------------------------------------------------------

#: Another number of the account, with a place in the directory or without one.


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "directory.toml"
    path.write_text(f'[inbound."{SALES}"]\nagents = ["{AGENT}"]\n')
    return path


def with_numbers(redis_server, directory, **options):
    """A world whose account has three numbers, one of them in the directory."""
    return LocalSystem(redis_server.url, speed=20, CONFERRAL_DIRECTORY=directory, **options)


def seen_by(system, call):
    """The caller ID that a phone shows."""
    return system.sandbox.model.state.calls[call.sid].from_


async def called(system, number=SALES, from_=CUSTOMER):
    """A call to another number of the account than `TWILIO_NUMBER`: both talk."""
    for one in (SALES, HELP):
        system.sandbox.add_number(one, voice_url=f"{system.public_url}/voice/inbound")
    customer = await system.sandbox.call_in(from_, number)
    await system.until(customer.sid, phase="connected")
    return customer, await system.agent_leg(customer)


@WAYS
@pytest.mark.parametrize("number", [SALES, HELP], ids=["directory", "account"])
async def test_called_number_is_shown_as_caller_id_to_the_dialed_party(redis_server, directory, options, number):
    async with with_numbers(redis_server, directory) as system:
        customer, agent = await called(system, number)
        assert (await system.session(customer.sid))["number"] == number
        await target_sees(system, customer, agent, [(number, False)], **options)


COMMANDS = {
    "warm": ("transfer", {"mode": "warm"}),
    "gated": ("transfer", {"mode": "warm", "confirm": "true"}),
    "blind": ("transfer", {"mode": "blind"}),
    "add": ("add", {"party": "expert"}),
    "supervise": ("supervise", {"mode": "barge"}),
    "retrieve": ("retrieve", {}),
}


@pytest.mark.parametrize("way", COMMANDS)
async def test_caller_id_of_a_command_is_shown_if_it_is_in_the_account(redis_server, directory, way):
    kind, fields = COMMANDS[way]
    async with with_numbers(redis_server, directory) as system:
        system.sandbox.phone(TARGET).script_in_turn(presses("1"))
        customer, _ = await called(system)
        if kind == "retrieve":
            await system.done("park", customer.sid)
        why = "caller_id: not a number in the account"
        await system.rejected(why, kind, customer.sid, to=TARGET, caller_id="+14155550199", **fields)
        assert shown(system) == []
        await system.done(kind, customer.sid, to=TARGET, caller_id=HELP, **fields)
        assert shown(system) == [(HELP, False)]
        await system.ended_by_command(customer.sid)


@pytest.mark.parametrize("mode", ["bridge", "conference"])
async def test_agent_and_customer_of_a_call_see_its_caller_id(redis_server, directory, mode):
    async with with_numbers(redis_server, directory) as system:
        system.sandbox.add_number(HELP, voice_url=f"{system.public_url}/voice/inbound")
        system.answered_by(TARGET, CUSTOMER)
        await system.done("call", "out", agent=TARGET, customer=CUSTOMER, mode=mode, caller_id=HELP)
        agent, customer = await system.dialed(TARGET), await system.dialed(CUSTOMER)
        assert (seen_by(system, agent), seen_by(system, customer)) == (HELP, HELP)
        await system.ended_by_command("out")


@pytest.mark.parametrize("kind", ["transfer", "call"])
async def test_caller_id_that_twilio_refuses_gives_way_to_our_own_number_once(redis_server, directory, kind):
    async with with_numbers(redis_server, directory) as system:
        system.answered_by(TARGET, CUSTOMER)
        system.sandbox.add_number(HELP, voice_url=f"{system.public_url}/voice/inbound")
        system.sandbox.faults.next_rest("POST", "*", status=400, code=21210, From=HELP)
        session = "out"
        if kind == "call":
            await system.done("call", session, agent=TARGET, customer=CUSTOMER, caller_id=HELP)
            # The customer is not even tried with it: of a `<Dial>`, Twilio says only that it has failed.
            assert seen_by(system, await system.dialed(CUSTOMER)) == NUMBER
        else:
            session = (await called(system))[0].sid
            await system.done("transfer", session, to=TARGET, mode="warm", caller_id=HELP)
        assert shown(system) == [(HELP, False), (NUMBER, False)]
        assert system.sandbox.request_log.dials_to(TARGET) == 1
        await system.ended_by_command(session)


@pytest.mark.parametrize("code", [21210, 21212], ids=["token", "number"])
async def test_customers_number_that_twilio_refuses_gives_way_to_the_called_number_once(redis_server, directory, code):
    behavior = Behavior(verify_callers=True, accept_call_tokens=code != 21210)
    options = {"behavior": behavior, "CONFERRAL_TRANSFER_CALLER_ID": "customer"}
    async with with_numbers(redis_server, directory, **options) as system:
        if code == 21212:
            system.sandbox.faults.next_rest("POST", "*", status=400, code=code, From=CUSTOMER)
        system.sandbox.faults.next_rest("POST", "*", status=400, code=21210, From=SALES)
        customer, _ = await called(system)
        outcome = await system.command("transfer", customer.sid, to=TARGET, mode="warm")
        assert outcome.status == "failed"
        assert [number for number, _ in shown(system)] == [CUSTOMER, SALES]
        await system.ended_by_command(customer.sid)
