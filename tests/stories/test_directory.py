"""Names of the directory in place of addresses, from the command to the phone that rings."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.stories.kit import (
    CAROL,
    TARGET,
    dials_to,
    done,
    ended_by_command,
    everybody_is_gone,
    failed,
    rejected,
    until_hears,
)
from tests.stories.openings import APP
from tests.support.phones import answers, busy, dialled, rings
from tests.support.world import AGENT, CUSTOMER, NUMBER, World

pytestmark = [pytest.mark.redis, pytest.mark.examples(1)]
NAMES = f"""
[destinations]
desk = "client:alice"
expert = "{CAROL}"
billing = "{TARGET}"
"""
SURVEY = "said How was it?"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "directory.toml"
    path.write_text(NAMES)
    return path


class Elsewhere:
    """Somebody else's server: a survey, and a tune."""

    def __init__(self) -> None:
        self.url = ""
        #: CallSids of those whom the survey has asked.
        self.asked: list[str] = []

    async def survey(self, request: web.Request) -> web.Response:
        self.asked.append(((await request.post()) or request.query)["CallSid"])
        return web.Response(
            text="<Response><Say>How was it?</Say><Pause length='60'/></Response>", content_type="text/xml"
        )

    async def tune(self, _request: web.Request) -> web.Response:
        return web.Response(body=b"RIFF", content_type="audio/wav")


@pytest.fixture
async def survey():
    elsewhere, application = Elsewhere(), web.Application()
    application.router.add_route("*", "/survey", elsewhere.survey)
    application.router.add_route("*", "/tune.wav", elsewhere.tune)
    async with TestServer(application) as server:
        elsewhere.url = str(server.make_url("")).rstrip("/")
        yield elsewhere


async def test_whoever_is_named_is_dialled_and_the_session_shows_the_address(redis_server, path):
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path, CONFERRAL_AGENT="desk") as world:
        world.sandbox.phone(CAROL).in_turn(answers())
        customer, agent = await world.talking()
        assert agent.record.to == "client:alice"
        await rejected(world, "to: nobody is called sales", "transfer", customer.sid, to="sales", mode="warm")
        await done(world, "transfer", customer.sid, to="expert", mode="warm")
        expert = await dialled(world.sandbox, CAROL)
        await until_hears(world, customer, [agent, expert])
        session = await world.session(customer.sid)
        assert (session["transfer.to"], session["party.target.address"]) == (CAROL, CAROL)
        await ended_by_command(world, customer.sid)


async def test_first_of_several_who_are_named_takes_the_call(redis_server, path):
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        world.sandbox.phone(TARGET).in_turn(busy())
        world.sandbox.phone(CAROL).in_turn(answers())
        customer, _ = await world.talking()
        await done(world, "transfer", customer.sid, to="billing,expert", mode="blind")
        await until_hears(world, customer, [await dialled(world.sandbox, CAROL)])
        assert dials_to(world, TARGET) == dials_to(world, CAROL) == 1
        await ended_by_command(world, customer.sid)


async def test_agent_and_customer_of_a_call_are_named(redis_server, path):
    path.write_text(f'{NAMES}visitor = "{CUSTOMER}"\n')
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        world.sandbox.phone(CUSTOMER).in_turn(answers())
        outcome = await done(world, "call", "", agent="desk", customer="visitor")
        session = await world.until(outcome.session, phase="connected")
        assert (session["party.agent.address"], session["party.customer.address"]) == ("client:alice", CUSTOMER)
        await ended_by_command(world, outcome.session)


async def test_fallback_that_is_named_goes_to_whoever_has_the_name_by_then(redis_server, path):
    settings = {"CONFERRAL_DIRECTORY": path, "CONFERRAL_TRANSFER_FALLBACK": "billing"}
    async with World(redis_server.url, **settings) as world:
        customer, _ = await world.talking()
        path.write_text(NAMES.replace(TARGET, "client:dora"))
        world.hang_up_signal()
        world.sandbox.phone(CAROL).in_turn(busy())
        world.sandbox.phone("client:dora").in_turn(answers())
        await failed(world, "busy", "transfer", customer.sid, to="expert", mode="blind")
        await until_hears(world, customer, [await dialled(world.sandbox, "client:dora")])
        assert dials_to(world, TARGET) == 0
        await ended_by_command(world, customer.sid)


# ---- every command -----------------------------------------------------------------------------------------------


async def test_who_retrieves_who_is_added_and_who_supervises_may_be_named(redis_server, path):
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        for address in (TARGET, CAROL):
            world.sandbox.phone(address).in_turn(answers())
        customer, _ = await world.talking()
        for kind, fields in (("add", {"party": "dora"}), ("supervise", {"mode": "monitor"}), ("retrieve", {})):
            await rejected(world, "to: nobody is called sales", kind, customer.sid, to="sales", **fields)
        await done(world, "park", customer.sid)
        await done(world, "retrieve", customer.sid, to="billing")
        await done(world, "add", customer.sid, to="expert", party="dora")
        await done(world, "supervise", customer.sid, to="desk", mode="monitor")
        session = await world.session(customer.sid)
        addresses = {name: session[f"party.{name}.address"] for name in ("agent", "dora", "supervisor")}
        assert addresses == {"agent": TARGET, "dora": CAROL, "supervisor": AGENT}
        await ended_by_command(world, customer.sid)


async def test_browser_may_name_whom_it_calls(redis_server, path):
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        world.sandbox.phone(TARGET).in_turn(answers())
        world.sandbox.add_application(APP, voice_url=f"{world.public_url}/voice/client")
        browser = await world.sandbox.browser_calls("bea", "billing")
        await until_hears(world, browser, [await dialled(world.sandbox, TARGET)])
        assert (await world.session(browser.sid))["party.customer.address"] == TARGET
        await ended_by_command(world, browser.sid)


# ---- what is said of the number that is called -------------------------------------------------------------------


async def test_called_number_decides_between_bridge_and_conference_whichever_url_was_asked(redis_server, path):
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nmode = "conference"\nagents = ["desk"]\ngreeting = "Welcome."\n')
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        world.agent_phone.in_turn(rings())
        customer = await world.customer_calls()
        leg = await dialled(world.sandbox, AGENT)
        assert (await world.session(customer.sid))["state"] == "conferenced"
        await until_hears(world, customer, "said Welcome.")
        leg.answer()
        await until_hears(world, customer, [leg])
        await ended_by_command(world, customer.sid)
        path.write_text(path.read_text().replace('"conference"', '"bridge"'))
        world.hang_up_signal()
        world.agent_phone.in_turn(answers())
        bridged = await world.sandbox.call_in(CUSTOMER, NUMBER, url=f"{world.public_url}/voice/conference")
        await world.until(bridged.sid, state="bridged", phase="connected")
        await ended_by_command(world, bridged.sid)


ATTRIBUTES = """
beep = "onEnter"
jitter_buffer_size = "small"
region = "ie1"
record = true
trim = "do-not-trim"
max_participants = 5
"""


@pytest.mark.parametrize("mode", ["bridge", "conference"])
async def test_attributes_of_the_called_number_are_the_same_for_each_leg_however_it_comes_in(redis_server, path, mode):
    """By TwiML: both legs of a conversion, whoever waits, a gated target. By REST: a straight target."""
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nmode = "{mode}"\nagents = ["desk"]\n{ATTRIBUTES}')
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        for address in (TARGET, CAROL):
            world.sandbox.phone(address).in_turn(answers())
        customer = await world.customer_calls()
        agent = await dialled(world.sandbox, AGENT)
        await until_hears(world, customer, [agent])
        await done(world, "add", customer.sid, to="billing", party="dora")
        await done(world, "add", customer.sid, to="expert", party="emil", brief="Hello.")
        room = await world.sandbox_room()
        assert len(room.participants) == 4
        for participant in room.participants.values():
            order = participant.order
            assert (order.beep, order.jitter_buffer, order.region, order.participants_max) == (
                "onEnter", "small", "ie1", 5,
            )  # fmt: skip
            assert (order.record, order.trim) == (True, "do-not-trim")
        assert room.region == "ie1"
        (recording,) = world.sandbox.recordings()
        assert recording.order.source == "Conference"
        await ended_by_command(world, customer.sid)


async def test_conference_takes_no_more_than_the_number_allows_and_says_so(redis_server, path):
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nmax_participants = 2\n')
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        customer, agent = await world.converted()
        outcome = await world.command("add", customer.sid, to="billing", party="dora")
        assert outcome.status == "rejected", outcome
        assert dials_to(world, TARGET) == 0
        await until_hears(world, customer, [agent])
        await ended_by_command(world, customer.sid)


async def test_who_waits_hears_what_the_number_names(redis_server, path, survey):
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nmode = "conference"\nwait_url = "{survey.url}/tune.wav"\n')
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        world.agent_phone.in_turn(rings())
        customer = await world.customer_calls()
        await until_hears(world, customer, "music")
        assert customer.hears.what == f"{survey.url}/tune.wav"
        await ended_by_command(world, customer.sid)


async def test_sighup_changes_where_the_next_call_goes_and_nothing_of_those_that_are_there(redis_server, path):
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nagents = ["desk"]\nrecord = "customer"\n')
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        world.sandbox.phone(CAROL).in_turn(answers())
        first, agent = await world.talking()
        path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nagents = ["expert"]\n')
        world.hang_up_signal()
        second = await world.customer_calls("+14155550124")
        expert = await dialled(world.sandbox, CAROL)
        await until_hears(world, second, [expert])
        await until_hears(world, first, [agent])
        path.write_text("[inbound")  # a mistake changes nothing
        world.hang_up_signal()
        third = await world.customer_calls("+14155550125")
        await until_hears(world, third, [await dialled(world.sandbox, CAROL, 2)])
        assert len(world.sandbox.recordings()) == 1
        for call in (first, second, third):
            await done(world, "end", call.sid)
        await world.settled()


# ---- after the conference ----------------------------------------------------------------------------------------


def after(path, survey, **more):
    lines = "\n".join(f"{name} = {value}" for name, value in more.items())
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nafter = "{survey.url}/survey"\n{lines}\n')


async def hears_the_survey(world, survey, customer, others=(), reason="agent-left"):
    """The customer alone goes on there; nobody else is asked how it was, and nothing is left in the end."""

    async def does() -> bool:
        return SURVEY in world.listening.whats(customer)

    await world.eventually(does, f"the customer goes on elsewhere\n{world.listening.described()}")
    assert survey.asked == [customer.sid]
    for other in others:
        assert other.status == "completed"
    ended = await world.until(customer.sid, state="ended")
    assert ended["end_reason"] == reason
    assert customer.status == "in-progress"
    customer.hang_up()
    await everybody_is_gone(world, customer.sid, reason)


@pytest.mark.parametrize("mode", ["bridge", "converted", "conference"])
async def test_customer_goes_on_elsewhere_when_the_agent_has_left(redis_server, path, survey, mode):
    after(path, survey, mode='"conference"' if mode == "conference" else '"bridge"')
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        customer = await world.customer_calls()
        agent = await dialled(world.sandbox, AGENT)
        await until_hears(world, customer, [agent])
        if mode == "converted":
            await done(world, "convert", customer.sid)
        agent.hang_up()
        await hears_the_survey(world, survey, customer, [agent])


async def test_sweep_leaves_the_customer_alone_who_goes_on_elsewhere(redis_server, path, survey):
    after(path, survey)
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path, CONFERRAL_SWEEP_INTERVAL=0.5) as world:
        customer, agent = await world.converted()
        agent.hang_up()
        await until_hears(world, customer, SURVEY)

        async def is_swept() -> bool:
            return any(entry["event"] == "account_swept" for entry in await world.log(customer.sid))

        await world.eventually(is_swept, "the sweep finds a call of a session that has ended")
        await hears_the_survey(world, survey, customer, [agent])


@pytest.mark.parametrize("script", [busy(), rings()], ids=["busy", "no-answer"])
async def test_customer_who_has_talked_to_nobody_is_asked_nothing(redis_server, path, survey, script):
    after(path, survey)
    async with World(redis_server.url, speed=20, CONFERRAL_RING_TIMEOUT=5, CONFERRAL_DIRECTORY=path) as world:
        world.agent_phone.in_turn(script)
        customer = await world.customer_calls()
        await world.until(customer.sid, state="ended")
        await world.settled()
        assert survey.asked == []


@pytest.mark.parametrize("who", ["customer", "end"])
async def test_nobody_goes_on_elsewhere_when_the_customer_leaves_or_the_call_is_ended(redis_server, path, survey, who):
    after(path, survey)
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        customer, _ = await world.converted()
        if who == "customer":
            customer.hang_up()
            await everybody_is_gone(world, customer.sid, "customer-left")
        else:
            await ended_by_command(world, customer.sid)
        assert survey.asked == []


async def test_customer_goes_on_when_the_last_of_several_has_left(redis_server, path, survey):
    after(path, survey)
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        world.sandbox.phone(TARGET).in_turn(answers())
        customer, agent = await world.talking()
        await done(world, "transfer", customer.sid, to="billing", mode="warm")
        target = await world.leg(customer.sid, "target")
        await done(world, "complete", customer.sid)
        await until_hears(world, customer, [target])
        assert agent.status == "completed"
        assert survey.asked == []
        target.hang_up()
        await hears_the_survey(world, survey, customer, [agent, target])


async def test_customer_goes_on_though_his_redirect_gets_no_answer(redis_server, path, survey):
    after(path, survey)
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        customer, agent = await world.converted()
        world.sandbox.faults.next_rest("POST", f"/Calls/{customer.sid}", cut="before")
        agent.hang_up()
        await hears_the_survey(world, survey, customer, [agent])


async def test_time_limit_takes_the_customer_out_and_nobody_is_left_alone(redis_server, path):
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\ntime_limit = 20\n')
    async with World(redis_server.url, speed=20, CONFERRAL_DIRECTORY=path) as world:
        customer, agent = await world.converted()
        began_s = world.listening.now()
        await world.until(customer.sid, state="ended")
        await world.settled()
        assert world.listening.now() - began_s > 18
        assert (customer.status, agent.status) == ("completed", "completed")


@pytest.mark.parametrize("goes_on", [False, True], ids=["hung-up", "survey"])
async def test_customer_leaves_by_a_star_where_the_number_says_so(redis_server, path, survey, goes_on):
    if goes_on:
        after(path, survey, hangup_on_star="true")
    else:
        path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nhangup_on_star = true\n')
    async with World(redis_server.url, CONFERRAL_DIRECTORY=path) as world:
        customer, agent = await world.converted()
        agent.press("*")
        await until_hears(world, customer, [agent])
        customer.press("*")
        if goes_on:
            await hears_the_survey(world, survey, customer, [], reason="customer-left")
        else:
            await everybody_is_gone(world, customer.sid, "customer-left")
        assert agent.status == "completed"
