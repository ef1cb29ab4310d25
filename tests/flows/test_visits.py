"""A caller comes back to a voice URL during the same call: each visit is a session of its own."""

import aiohttp
import pytest

from offhook import CallHandle
from tests.flows.conference_starts import APP, BROWSER
from tests.flows.test_gate import put
from tests.flows.test_sweep import swept
from tests.support.foreign_app import ForeignApp
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.phones import answers, busy

pytestmark = pytest.mark.redis
#: Several sweeps pass within a test.
SWEEPS = {"CONFERRAL_SWEEP_INTERVAL": 0.5}
ROUTES = {"bridge": "inbound", "conference": "conference", "client": "client"}


@pytest.fixture
async def menu():
    """Another program's menu: it pauses, or sends the caller on."""
    async with ForeignApp(menu="<Pause length='60'/>") as app:
        yield app


@pytest.fixture
def directory(tmp_path, menu):
    """What follows a call to the number is the menu."""
    path = tmp_path / "directory.toml"
    path.write_text(f'[inbound."{NUMBER}"]\nafter = "{menu.url}/menu"\n')
    return path


def visit_of(call: CallHandle, number: int) -> str:
    return call.sid if number == 1 else f"{call.sid}-{number}"


async def calls(system: LocalSystem, way: str) -> CallHandle:
    if way == "client":
        system.sandbox.add_application(APP, voice_url=f"{system.public_url}/voice/client")
        return await system.sandbox.call_from_browser(BROWSER, CUSTOMER, {})
    return await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{system.public_url}/voice/{ROUTES[way]}")


async def talks(system: LocalSystem, way: str, caller: CallHandle, number: int) -> CallHandle:
    """Waits until the caller talks in that visit; returns the other one's leg."""
    session = visit_of(caller, number)
    if way == "bridge":
        await system.until(session, state="bridged", phase="connected")
    else:
        await system.until(session, state="conferenced", phase="connected")
    leg = await system.leg(session, "customer" if way == "client" else "agent")
    await system.until_talk(caller, leg)
    return leg


async def move(system: LocalSystem, caller: CallHandle, url: str) -> None:
    """Another program gives the call another document."""
    sandbox = system.sandbox
    target = f"{sandbox.url}/2010-04-01/Accounts/{sandbox.account_sid}/Calls/{caller.sid}.json"
    headers = {"Authorization": aiohttp.encode_basic_auth(sandbox.account_sid, sandbox.auth_token)}
    async with aiohttp.ClientSession() as http, http.post(target, data={"Url": url}, headers=headers) as response:
        assert response.status == 200


async def comes_to_the_menu(system: LocalSystem, menu: ForeignApp, way: str) -> CallHandle:
    """A caller has talked, and the agent has left: the session has ended, and the caller is at the menu."""
    caller = await calls(system, way)
    agent = await talks(system, way, caller, 1)
    agent.hang_up()
    await system.until(caller.sid, state="ended", end_reason="agent-left")
    await system.eventually(lambda: menu.asked, "the caller is at the menu", equals=[caller.sid])
    return caller


async def again(system: LocalSystem, way: str) -> str:
    """The caller's request is sent once more; returns the answer."""
    (captured, *_) = system.sandbox.request_log.voice_requests(f"/voice/{ROUTES[way]}")
    return await put(system, captured.url, dict(captured.params))


@pytest.mark.parametrize("way", ["bridge", "conference"])
async def test_caller_who_comes_back_from_a_menu_talks_in_a_session_of_their_own(redis_server, directory, menu, way):
    async with LocalSystem(redis_server.url, CONFERRAL_DIRECTORY=directory, **SWEEPS) as system:
        menu.verbs["menu"] = f'<Redirect method="POST">{system.public_url}/voice/{ROUTES[way]}</Redirect>'
        caller = await calls(system, way)
        for number in (1, 2):
            agent = await talks(system, way, caller, number)
            await swept(system, 3)
            await system.until_talk(caller, agent)
            agent.hang_up()
            ended = await system.until(visit_of(caller, number), state="ended")
            assert ended["end_reason"] == "agent-left"
        agent = await talks(system, way, caller, 3)
        assert menu.asked == [caller.sid] * 2
        # The call's SID names its newest session in commands; a session's id names that session.
        assert (await system.done("hold", caller.sid, party="customer")).session == visit_of(caller, 3)
        await system.done("unhold", visit_of(caller, 3), party="customer")
        await system.rejected("the session has ended", "convert", visit_of(caller, 2))
        await swept(system, 3)
        await system.until_talk(caller, agent)
        assert (await system.session(visit_of(caller, 3)))["conference_name"] == visit_of(caller, 3)
        assert len(system.sandbox.calls_of(AGENT)) == 3
        caller.hang_up()
        await system.everyone_is_gone(visit_of(caller, 3), "customer-left")


@pytest.mark.parametrize("way", ["conference", "client"])
async def test_caller_whom_another_program_moves_back_talks_in_another_session(redis_server, way):
    async with LocalSystem(redis_server.url, **SWEEPS) as system:
        system.sandbox.phone(CUSTOMER).script_in_turn(answers(), answers())
        caller = await calls(system, way)
        await talks(system, way, caller, 1)
        await move(system, caller, f"{system.public_url}/voice/{ROUTES[way]}")
        other = await talks(system, way, caller, 2)
        await system.until(caller.sid, state="ended")
        await swept(system, 3)
        await system.until_talk(caller, other)
        await system.done("end", caller.sid)
        await system.everyone_is_gone(visit_of(caller, 2), "command")


async def test_caller_moved_back_after_a_busy_agent_is_bridged_to_the_next_one_for_good(redis_server):
    async with LocalSystem(redis_server.url, **SWEEPS) as system:
        system.agent_phone.script_in_turn(busy(), answers())
        caller = await calls(system, "bridge")
        await system.until(caller.sid, state="ended", end_reason="agent-busy")
        await system.until_hears(caller, "said The person you are calling is busy. Please try again later. Goodbye.")
        await move(system, caller, f"{system.public_url}/voice/inbound")
        agent = await talks(system, "bridge", caller, 2)
        await swept(system, 3)
        await system.until_talk(caller, agent)
        await system.done("convert", caller.sid)
        await swept(system, 3)
        await system.until_talk(caller, agent)
        await system.ended_by_hang_up(agent, visit_of(caller, 2), "agent-left")


@pytest.mark.parametrize("way, ttl_s", [("bridge", 60), ("conference", 86_400)])
async def test_request_that_is_sent_again_after_the_call_opens_nothing(redis_server, way, ttl_s):
    async with LocalSystem(redis_server.url, CONFERRAL_SESSION_TTL=ttl_s, **SWEEPS) as system:
        caller = await calls(system, way)
        await talks(system, way, caller, 1)
        await system.ended_by_command(caller.sid)
        if ttl_s == 60:  # as if a minute had passed
            await system.client.delete(system.keys.session(caller.sid), system.keys.log(caller.sid))
        assert "<Hangup" in await again(system, way)
        await system.settled()
        assert not await system.session(visit_of(caller, 2))
        assert len(system.sandbox.calls_of(AGENT)) == 1


@pytest.mark.parametrize(
    "fault",
    [pytest.param({"latency_s": 5}, marks=pytest.mark.soak, id="slow"), pytest.param({"status": 503}, id="503")],
)
@pytest.mark.parametrize("way, is_over", [("bridge", False), ("conference", True)])
async def test_visit_opens_though_twilio_does_not_say_whether_the_call_is_live(
    redis_server, directory, menu, way, fault, is_over
):
    async with LocalSystem(redis_server.url, CONFERRAL_DIRECTORY=directory, **SWEEPS) as system:
        caller = await comes_to_the_menu(system, menu, way)
        if is_over:
            caller.hang_up()
        system.sandbox.faults.next_rest("GET", f"/Calls/{caller.sid}", count=2, **fault)
        if is_over:
            # The attacker gets TwiML, and no one else notices: no phone rings, and the entry soon ends.
            assert "<Dial" in await again(system, way)
            await system.everyone_is_gone(visit_of(caller, 2), "customer-left")
            assert len(system.sandbox.calls_of(AGENT)) == 1
        else:
            await move(system, caller, f"{system.public_url}/voice/{ROUTES[way]}")
            agent = await talks(system, way, caller, 2)
            await system.ended_by_hang_up(caller, visit_of(caller, 2), "customer-left")
            assert agent.status == "completed"


@pytest.mark.parametrize("way", ["bridge", "conference"])
@pytest.mark.system(CONFERRAL_RING_TIMEOUT=5)
async def test_request_that_is_sent_again_during_the_call_disturbs_no_one(redis_server, directory, menu, way):
    settings = {"CONFERRAL_DIRECTORY": directory, "CONFERRAL_RING_TIMEOUT": 5, "policy": {"ring_timeout_ms": 1_000}}
    async with LocalSystem(redis_server.url, **settings, **SWEEPS) as system:
        caller = await comes_to_the_menu(system, menu, way)
        await again(system, way)
        ended = await system.until(visit_of(caller, 2), state="ended")
        assert ended["end_reason"] == "moved"
        await swept(system, 3)
        assert caller.status == "in-progress"
        assert len(system.sandbox.calls_of(AGENT)) == 1
        await move(system, caller, f"{system.public_url}/voice/{ROUTES[way]}")
        await talks(system, way, caller, 3)
        await system.ended_by_hang_up(caller, visit_of(caller, 3), "customer-left")


async def test_caller_whose_menu_fails_is_bridged_by_the_fallback_url_for_good(redis_server, directory, menu):
    async with LocalSystem(redis_server.url, CONFERRAL_DIRECTORY=directory, **SWEEPS) as system:
        system.sandbox.faults.fail_fetches("/menu", status=500, count=10)
        caller = await calls(system, "bridge")
        agent = await talks(system, "bridge", caller, 1)
        agent.hang_up()
        agent = await talks(system, "bridge", caller, 2)
        await swept(system, 3)
        await system.until_talk(caller, agent)
        await system.done("convert", caller.sid)
        await system.until_talk(caller, agent)
        caller.hang_up()
        await system.everyone_is_gone(visit_of(caller, 2), "customer-left", debugger=frozenset({11200}))
