"""What those see who are dialled: our number, or the caller's with its CallToken, which nobody else ever sees."""

import asyncio
import io
import subprocess

import pytest
import structlog

from runtime import log
from sandbox.exchange import Rules
from tests.conferral.kit import PROGRAM, environment
from tests.stories.kit import (
    TARGET,
    begins,
    dial_requests,
    done,
    ended_by_command,
    outcome_of,
    outcomes,
    talks_and_ends,
    until_hears,
)
from tests.support.phones import answers, dialled, presses, rings
from tests.support.world import CUSTOMER, NUMBER, World

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
        structlog.reset_defaults()
    assert customer.sid in lines.getvalue()
    assert token not in lines.getvalue()
    assert CUSTOMER not in lines.getvalue()
