"""What those see who are dialled: our number, or the caller's with its CallToken, which nobody else ever sees."""

import asyncio
import io
import subprocess

import pytest

from conferral.runtime import log
from conferral.sandbox.exchange import Rules
from tests.conferral.kit import PROGRAM, environment
from tests.stories.kit import (
    TARGET,
    begins,
    dial_requests,
    done,
    ended_by_command,
    everybody_is_gone,
    outcome_of,
    outcomes,
    rejected,
    talks_and_ends,
    until_hears,
)
from tests.support import plain_log
from tests.support.phones import answers, dialled, presses, rings, unreachable
from tests.support.world import AGENT, CUSTOMER, NUMBER, World

pytestmark = pytest.mark.redis
#: What Twilio shows in place of a number that is withheld.
WITHHELD = ("+266696687", "anonymous")
WAYS = pytest.mark.parametrize("options", [{}, {"confirm": "true"}], ids=["straight", "gated"])


def showing_customers(redis_server, **options):
    """A world in which Twilio checks who may be shown, as in earnest."""
    rules = Rules(verify_callers=True, **options)
    return World(redis_server.url, speed=20, rules=rules, CONFERRAL_TRANSFER_CALLER_ID="customer")


def shown(world):
    """What each dial to the target was to show, and whether with a CallToken."""
    return [(request.get("From"), bool(request.get("CallToken"))) for request in dial_requests(world, TARGET)]


async def printed(world, *arguments):
    """What a command of the operators prints."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *arguments, env=environment(REDIS_URL=world.redis_url),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode()


@WAYS
async def test_target_sees_the_callers_number_by_its_call_token(redis_server, options):
    async with showing_customers(redis_server) as world:
        world.sandbox.phone(TARGET).in_turn(presses("1"))
        customer, agent = await world.talking()
        await done(world, "transfer", customer.sid, to=TARGET, mode="warm", **options)
        assert shown(world) == [(CUSTOMER, True)]
        await talks_and_ends(world, customer, agent, await dialled(world.sandbox, TARGET))


@WAYS
async def test_number_that_twilio_does_not_let_be_shown_gives_way_to_ours_once(redis_server, options):
    async with showing_customers(redis_server, accept_call_tokens=False) as world:
        world.sandbox.phone(TARGET).in_turn(presses("1"))
        customer, agent = await world.talking()
        await done(world, "transfer", customer.sid, to=TARGET, mode="warm", **options)
        assert shown(world) == [(CUSTOMER, True), (NUMBER, False)]
        assert world.sandbox.ledger.dials_to(TARGET) == 1
        await talks_and_ends(world, customer, agent, await dialled(world.sandbox, TARGET))


@pytest.mark.parametrize("count, reason", [(1, "done"), (2, "failed")])
async def test_refusal_of_our_own_number_is_final(redis_server, count, reason):
    async with showing_customers(redis_server) as world:
        world.sandbox.phone(TARGET).in_turn(presses("1"))
        customer, agent = await world.converted()
        world.sandbox.faults.next_rest("POST", "/Conferences/*/Participants.json", status=400, code=21211, count=count)
        outcome = await world.command("transfer", customer.sid, to=TARGET, mode="warm")
        assert outcome.status == reason
        assert shown(world) == [(CUSTOMER, True), (NUMBER, False)]
        await until_hears(world, agent, [customer, *world.sandbox.calls_of(TARGET)])
        await ended_by_command(world, customer.sid)


@pytest.mark.parametrize("caller", WITHHELD)
async def test_caller_who_withholds_the_number_is_shown_as_us(redis_server, caller):
    async with showing_customers(redis_server) as world:
        world.sandbox.phone(TARGET).in_turn(answers())
        customer = await world.customer_calls(from_=caller)
        await world.until(customer.sid, phase="connected")
        agent = await world.agent_leg(customer)
        await done(world, "transfer", customer.sid, to=TARGET, mode="warm")
        assert shown(world) == [(NUMBER, False)]
        await talks_and_ends(world, customer, agent, await dialled(world.sandbox, TARGET))


async def test_dial_of_unknown_outcome_is_looked_for_under_the_number_that_it_shows(redis_server):
    async with World(redis_server.url, CONFERRAL_TRANSFER_CALLER_ID="customer") as world:
        world.sandbox.phone(TARGET).in_turn(rings())
        customer, agent = await world.converted()
        world.sandbox.faults.next_rest("POST", "/Calls.json", cut="after")
        world.sandbox.faults.lose_callbacks("*", count=2, To=TARGET)
        command = await begins(world, "transfer", customer.sid, to=TARGET, mode="warm", brief="Hi.")
        target = await dialled(world.sandbox, TARGET)
        await world.until(customer.sid, **{"party.target.call_sid": target.sid})
        target.answer()
        assert (await outcome_of(world, command)).status == "done"
        assert shown(world) == [(CUSTOMER, True)]
        await talks_and_ends(world, customer, agent, await dialled(world.sandbox, TARGET))


async def test_call_token_is_in_no_log_line_no_output_and_not_kept_after_the_end(redis_server):
    lines = io.StringIO()
    log.configure("json", lines, "debug", for_good=False)
    try:
        async with showing_customers(redis_server, accept_call_tokens=False) as world:
            world.sandbox.phone(TARGET).in_turn(presses("1"))
            customer, _ = await world.talking()
            await done(world, "transfer", customer.sid, to=TARGET, mode="warm", confirm="true")
            token = dial_requests(world, TARGET)[0].get("CallToken")
            session = await world.session(customer.sid)
            assert session["call_token"] == token

            ways = (("show", customer.sid, "--json"), ("show", customer.sid, "--full"))
            for text in await asyncio.gather(*(printed(world, *arguments) for arguments in ways)):
                assert customer.sid in text
                assert token not in text

            await ended_by_command(world, customer.sid)
            told = [*await outcomes(world), *await world.log(customer.sid), await world.session(customer.sid)]
            assert token not in str(told)
            assert not (await world.session(customer.sid)).get("call_token")
    finally:
        plain_log.configure()
    assert customer.sid in lines.getvalue()
    assert token not in lines.getvalue()
    assert CUSTOMER not in lines.getvalue()


# ---- numbers of the account --------------------------------------------------------------------------------------

#: Another number of the account, with a place in the directory or without one.
SECOND, THIRD = "+14155550101", "+14155550102"


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "directory.toml"
    path.write_text(f'[inbound."{SECOND}"]\nagents = ["{AGENT}"]\n')
    return path


def with_numbers(redis_server, directory, **options):
    """A world whose account has three numbers, one of them in the directory."""
    return World(redis_server.url, speed=20, CONFERRAL_DIRECTORY=directory, **options)


def seen_by(world, call):
    """The caller ID that a phone shows."""
    return world.sandbox.exchange.state.calls[call.sid].from_


async def called(world, number=SECOND, from_=CUSTOMER):
    """A call to another number of the account than `TWILIO_NUMBER`: both talk."""
    for one in (SECOND, THIRD):
        world.sandbox.add_number(one, voice_url=f"{world.public_url}/voice/inbound")
    customer = await world.sandbox.call_in(from_, number)
    await world.until(customer.sid, phase="connected")
    return customer, await world.agent_leg(customer)


@WAYS
@pytest.mark.parametrize("number", [SECOND, THIRD], ids=["directory", "account"])
async def test_number_that_was_called_is_shown_to_whoever_is_dialed(redis_server, directory, options, number):
    async with with_numbers(redis_server, directory) as world:
        world.sandbox.phone(TARGET).in_turn(presses("1"))
        customer, agent = await called(world, number)
        await done(world, "transfer", customer.sid, to=TARGET, mode="warm", **options)
        assert shown(world) == [(number, False)]
        await talks_and_ends(world, customer, agent, await dialled(world.sandbox, TARGET))


async def test_customers_number_that_twilio_refuses_gives_way_to_the_number_that_was_called(redis_server, directory):
    rules = Rules(accept_call_tokens=False)
    options = {"rules": rules, "CONFERRAL_TRANSFER_CALLER_ID": "customer"}
    async with with_numbers(redis_server, directory, **options) as world:
        world.sandbox.phone(TARGET).in_turn(presses("1"))
        customer, agent = await called(world)
        await done(world, "transfer", customer.sid, to=TARGET, mode="warm")
        assert shown(world) == [(CUSTOMER, True), (SECOND, False)]
        await talks_and_ends(world, customer, agent, await dialled(world.sandbox, TARGET))


async def test_caller_who_has_no_number_to_show_is_shown_to_the_agent_as_the_number_that_was_called(
    redis_server, directory
):
    async with with_numbers(redis_server, directory) as world:
        customer, agent = await called(world, from_=WITHHELD[0])
        assert seen_by(world, agent) == SECOND
        assert (await world.session(customer.sid))["party.customer.address"] == WITHHELD[0]
        await ended_by_command(world, customer.sid)


COMMANDS = {
    "warm": ("transfer", {"mode": "warm"}),
    "gated": ("transfer", {"mode": "warm", "confirm": "true"}),
    "blind": ("transfer", {"mode": "blind"}),
    "add": ("add", {"party": "expert"}),
    "supervise": ("supervise", {"mode": "barge"}),
}


@pytest.mark.parametrize("way", COMMANDS)
async def test_caller_id_of_a_command_is_shown_if_it_is_in_the_account(redis_server, directory, way):
    kind, fields = COMMANDS[way]
    async with with_numbers(redis_server, directory) as world:
        world.sandbox.phone(TARGET).in_turn(presses("1"))
        customer, _ = await called(world)
        why = "caller_id: is not a number in the account"
        await rejected(world, why, kind, customer.sid, to=TARGET, caller_id="+14155550199", **fields)
        assert shown(world) == []
        await done(world, kind, customer.sid, to=TARGET, caller_id=THIRD, **fields)
        assert shown(world) == [(THIRD, False)]
        await ended_by_command(world, customer.sid)


async def test_parked_call_is_retrieved_under_the_caller_id_of_the_command(redis_server, directory):
    async with with_numbers(redis_server, directory) as world:
        world.sandbox.phone(TARGET).in_turn(answers())
        customer, _ = await called(world)
        await done(world, "park", customer.sid)
        await done(world, "retrieve", customer.sid, to=TARGET, caller_id=THIRD)
        assert shown(world) == [(THIRD, False)]
        await ended_by_command(world, customer.sid)


@pytest.mark.parametrize("mode", ["bridge", "conference"])
async def test_agent_and_customer_of_a_call_see_its_caller_id(redis_server, directory, mode):
    async with with_numbers(redis_server, directory) as world:
        world.sandbox.add_number(THIRD, voice_url=f"{world.public_url}/voice/inbound")
        world.sandbox.phone(TARGET).in_turn(answers())
        world.sandbox.phone(CUSTOMER).in_turn(answers())
        await done(world, "call", "out", agent=TARGET, customer=CUSTOMER, mode=mode, caller_id=THIRD)
        agent, customer = await dialled(world.sandbox, TARGET), await dialled(world.sandbox, CUSTOMER)
        assert (seen_by(world, agent), seen_by(world, customer)) == (THIRD, THIRD)
        await ended_by_command(world, "out")


@pytest.mark.parametrize("kind", ["transfer", "call"])
async def test_caller_id_that_twilio_refuses_gives_way_to_our_own_number_once(redis_server, directory, kind):
    async with with_numbers(redis_server, directory) as world:
        world.sandbox.phone(TARGET).in_turn(answers())
        world.sandbox.phone(CUSTOMER).in_turn(answers())
        world.sandbox.add_number(THIRD, voice_url=f"{world.public_url}/voice/inbound")
        world.sandbox.faults.next_rest("POST", "*", status=400, code=21210, From=THIRD)
        session = "out"
        if kind == "call":
            await done(world, "call", session, agent=TARGET, customer=CUSTOMER, caller_id=THIRD)
            # The customer is not even tried with it: of a `<Dial>`, Twilio says only that it has failed.
            assert seen_by(world, await dialled(world.sandbox, CUSTOMER)) == NUMBER
        else:
            session = (await called(world))[0].sid
            await done(world, "transfer", session, to=TARGET, mode="warm", caller_id=THIRD)
        assert shown(world) == [(THIRD, False), (NUMBER, False)]
        assert world.sandbox.ledger.dials_to(TARGET) == 1
        await ended_by_command(world, session)


# ---- a <Dial> whose caller ID is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("comes_on", [True, False])
async def test_agent_whose_phone_fails_at_once_is_rung_once_more_with_our_number(redis_server, comes_on):
    async with World(redis_server.url, speed=20, CONFERRAL_AGENT=TARGET) as world:
        world.sandbox.phone(TARGET).in_turn(unreachable(), answers() if comes_on else unreachable())
        customer = await world.customer_calls()
        again = await dialled(world.sandbox, TARGET, 2)
        assert [seen_by(world, call) for call in world.sandbox.calls_of(TARGET)] == [CUSTOMER, NUMBER]
        if comes_on:
            await until_hears(world, customer, [again])
            await world.until(customer.sid, phase="connected")
            await done(world, "convert", customer.sid)
            await ended_by_command(world, customer.sid)
        else:
            await everybody_is_gone(world, customer.sid, "agent-failed")
        assert len(world.sandbox.calls_of(TARGET)) == 2
