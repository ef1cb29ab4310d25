"""Names of the directory instead of addresses, from the command to the phone that rings."""

import pytest

from tests.flows.flow_helpers import CAROL, TARGET
from tests.support.foreign_app import ForeignApp
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.phones import answers, rings

pytestmark = pytest.mark.redis
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


@pytest.fixture
async def survey():
    async with ForeignApp(survey="<Say>How was it?</Say><Pause length='60'/>") as app:
        yield app


async def test_directory_name_is_dialed_and_the_session_shows_the_address(redis_server, path):
    async with LocalSystem(redis_server.url, CONFERRAL_DIRECTORY=path, CONFERRAL_AGENT="desk") as system:
        system.answered_by(CAROL)
        customer, agent = await system.talking()
        assert agent.record.to == "client:alice"
        await system.rejected("to: no destination is named sales", "transfer", customer.sid, to="sales", mode="warm")
        await system.done("transfer", customer.sid, to="expert", mode="warm")
        expert = await system.dialed(CAROL)
        await system.until_hears(customer, [agent, expert])
        session = await system.session(customer.sid)
        assert (session["transfer.to"], session["party.target.address"]) == (CAROL, CAROL)
        await system.ended_by_command(customer.sid)


# ---- what is said of the number that is called -------------------------------------------------------------------


async def test_called_number_selects_bridge_or_conference_for_either_url(redis_server, path):
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nmode = "conference"\nagents = ["desk"]\ngreeting = "Welcome."\n')
    async with LocalSystem(redis_server.url, CONFERRAL_DIRECTORY=path) as system:
        system.agent_phone.script_in_turn(rings())
        customer = await system.customer_calls()
        leg = await system.dialed(AGENT)
        assert (await system.session(customer.sid))["state"] == "conferenced"
        await system.until_hears(customer, "said Welcome.")
        leg.answer()
        await system.until_hears(customer, [leg])
        await system.ended_by_command(customer.sid)
        path.write_text(path.read_text().replace('"conference"', '"bridge"'))
        system.hang_up_signal()
        system.agent_phone.script_in_turn(answers())
        bridged = await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{system.public_url}/voice/conference")
        await system.until(bridged.sid, state="bridged", phase="connected")
        await system.ended_by_command(bridged.sid)


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
    """By TwiML: both legs of a conversion, a waiting party, a gated target. By REST: a straight target."""
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nmode = "{mode}"\nagents = ["desk"]\n{ATTRIBUTES}')
    async with LocalSystem(redis_server.url, CONFERRAL_DIRECTORY=path) as system:
        system.answered_by(TARGET, CAROL)
        customer = await system.customer_calls()
        agent = await system.dialed(AGENT)
        await system.until_hears(customer, [agent])
        await system.until(customer.sid, phase="connected")
        await system.done("add", customer.sid, to="billing", party="dora")
        await system.done("add", customer.sid, to="expert", party="emil", brief="Hello.")
        conference = await system.sandbox_conference()
        assert len(conference.participants) == 4
        for participant in conference.participants.values():
            settings = participant.settings
            assert (settings.beep, settings.jitter_buffer, settings.region, settings.participants_max) == (
                "onEnter", "small", "ie1", 5,
            )  # fmt: skip
            assert (settings.record, settings.trim) == (True, "do-not-trim")
        assert conference.region == "ie1"
        (recording,) = system.sandbox.recordings()
        assert recording.settings.source == "Conference"
        await system.ended_by_command(customer.sid)


async def test_sighup_changes_where_the_next_call_goes_and_nothing_of_those_that_are_there(redis_server, path):
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nagents = ["desk"]\nrecord = "customer"\n')
    async with LocalSystem(redis_server.url, CONFERRAL_DIRECTORY=path) as system:
        system.answered_by(CAROL)
        first, agent = await system.talking()
        path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nagents = ["expert"]\n')
        system.hang_up_signal()
        second = await system.customer_calls("+14155550124")
        expert = await system.dialed(CAROL)
        await system.until_hears(second, [expert])
        await system.until_hears(first, [agent])
        path.write_text("[inbound")  # a mistake changes nothing
        system.hang_up_signal()
        third = await system.customer_calls("+14155550125")
        await system.until_hears(third, [await system.dialed(CAROL, 2)])
        assert len(system.sandbox.recordings()) == 1
        for call in (first, second, third):
            await system.done("end", call.sid)
        await system.settled()


# ---- after the conference ----------------------------------------------------------------------------------------


def after(path, survey, **more):
    lines = "\n".join(f"{name} = {value}" for name, value in more.items())
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nafter = "{survey.url}/survey"\n{lines}\n')


async def hears_the_survey(system, survey, customer, others=(), reason="agent-left"):
    """The customer alone goes on there; no one else is asked how it was, and nothing is left in the end."""
    await system.eventually(
        lambda: SURVEY in system.listening.whats(customer),
        f"the customer goes on elsewhere\n{system.listening.described()}",
    )
    assert survey.asked == [customer.sid]
    for other in others:
        assert other.status == "completed"
    ended = await system.until(customer.sid, state="ended")
    assert ended["end_reason"] == reason
    assert customer.status == "in-progress"
    await system.ended_by_hang_up(customer, customer.sid, reason)


@pytest.mark.parametrize("mode", ["bridge", "converted", "conference"])
async def test_customer_continues_elsewhere_after_the_agent_leaves(redis_server, path, survey, mode):
    after(path, survey, mode='"conference"' if mode == "conference" else '"bridge"')
    async with LocalSystem(redis_server.url, CONFERRAL_DIRECTORY=path) as system:
        customer = await system.customer_calls()
        agent = await system.dialed(AGENT)
        await system.until_hears(customer, [agent])
        if mode == "converted":
            await system.until(customer.sid, phase="connected")
            await system.done("convert", customer.sid)
        agent.hang_up()
        await hears_the_survey(system, survey, customer, [agent])


async def test_sweep_ignores_a_customer_that_continues_elsewhere(redis_server, path, survey):
    after(path, survey)
    async with LocalSystem(redis_server.url, CONFERRAL_DIRECTORY=path, CONFERRAL_SWEEP_INTERVAL=0.5) as system:
        customer, agent = await system.converted()
        system.sandbox.faults.lose_callbacks("*", count=10_000)
        agent.hang_up()
        await system.until_hears(customer, SURVEY)
        await system.until(customer.sid, state="ended")
        asked = len(system.sandbox.request_log.requests("POST"))

        async def is_swept() -> bool:
            return any(entry["event"] == "account_swept" for entry in await system.log(customer.sid))

        await system.eventually(is_swept, "the sweep finds a call of a session that has ended")
        assert len(system.sandbox.request_log.requests("POST")) == asked
        await hears_the_survey(system, survey, customer, [agent])


async def test_time_limit_releases_the_customer_and_leaves_no_one_alone(redis_server, path):
    path.write_text(f'{NAMES}[inbound."{NUMBER}"]\ntime_limit = 20\n')
    async with LocalSystem(redis_server.url, speed=20, CONFERRAL_DIRECTORY=path) as system:
        customer, agent = await system.converted()
        began_s = system.listening.now()
        await system.until(customer.sid, state="ended")
        await system.settled()
        assert system.listening.now() - began_s > 18
        assert (customer.status, agent.status) == ("completed", "completed")


@pytest.mark.parametrize("goes_on", [False, True], ids=["hung-up", "survey"])
async def test_customer_leaves_by_a_star_where_the_number_says_so(redis_server, path, survey, goes_on):
    if goes_on:
        after(path, survey, hangup_on_star="true")
    else:
        path.write_text(f'{NAMES}[inbound."{NUMBER}"]\nhangup_on_star = true\n')
    async with LocalSystem(redis_server.url, CONFERRAL_DIRECTORY=path) as system:
        customer, agent = await system.converted()
        agent.press("*")
        await system.until_hears(customer, [agent])
        customer.press("*")
        if goes_on:
            await hears_the_survey(system, survey, customer, [], reason="customer-left")
        else:
            await system.everyone_is_gone(customer.sid, "customer-left")
        assert agent.status == "completed"
