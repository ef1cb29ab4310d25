"""Browsers that call someone through `/voice/client`: whose session it is, who hears what, and who may leave."""

import pytest

from offhook.model.behavior import Behavior
from tests.flows.conference_starts import APP, BROWSER, in_conference, opened, some, waits
from tests.support.local_system import CUSTOMER, LocalSystem
from tests.support.phones import answers, rings

pytestmark = [pytest.mark.redis, pytest.mark.system(speed=2, answered_by=[CUSTOMER])]
NOT_PLACED = "said This call can not be placed. Goodbye."


async def refused(system, call):
    """A browser's call is not placed: the user hears so and is hung up, and no one was dialed."""
    await system.sandbox.wait_until(lambda: call.status == "completed", 10)
    assert system.sounds(call) == [NOT_PLACED]
    assert not await system.session(call.sid)


async def calls(system, to=CUSTOMER, **params):
    """A browser calls once more, or first, with what it sends along."""
    if APP not in system.sandbox.model.state.numbers:
        system.sandbox.add_application(
            APP, voice_url=f"{system.public_url}/voice/client", status_callback=f"{system.public_url}/voice/status"
        )
    return await system.sandbox.call_from_browser(BROWSER, to, params)


# ---- whose session it is ---------------------------------------------------------------------------------------------


async def test_session_has_the_id_that_the_browser_names(system):
    opening, customer = await in_conference(system, "client", SessionID="order-7")
    session = await opening.session()
    assert (session["id"], session["direction"]) == ("order-7", "outbound")
    assert (session["party.agent.address"], session["party.customer.address"]) == (f"client:{BROWSER}", CUSTOMER)
    assert (session["party.agent.call_sid"], session["party.customer.call_sid"]) == (opening.waiter.sid, customer.sid)
    assert (await system.sandbox_conference()).name == session["conference_name"] != "order-7"
    # By its call as well.
    await system.done("end", opening.waiter.sid)
    await opening.ends("command")


@pytest.mark.parametrize("has_ended", [False, True])
async def test_session_that_exists_is_refused_and_not_disturbed(system, has_ended):
    opening, customer = await in_conference(system, "client", SessionID="order-7")
    if has_ended:
        await opening.ended_by_hang_up(customer, "customer-left")
    await refused(system, await calls(system, SessionID="order-7"))
    assert system.dials_to(CUSTOMER) == 1
    if not has_ended:
        await system.until_hears(customer, [opening.waiter])
        await opening.ended_by_command()


@pytest.mark.system(behavior=Behavior(browser_parameters="override"))
async def test_browser_that_pretends_to_be_another_one_is_refused(system):
    """Where Twilio lets a browser's own `From` replace the real one."""
    await refused(system, await calls(system, From="client:alice"))
    assert system.dials_to(CUSTOMER) == 0


# ---- without Redis ---------------------------------------------------------------------------------------------------


@pytest.mark.processes
async def test_callee_is_dialed_by_a_plain_dial_without_redis(durable_redis):
    async with LocalSystem(durable_redis.url) as system:
        system.answered_by(CUSTOMER)
        durable_redis.kill()
        call = await calls(system, SessionID="order-7")
        await system.sandbox.wait_until(lambda: system.sandbox.calls_of(CUSTOMER), 10)
        customer = await system.dialed(CUSTOMER)
        await system.sandbox.wait_until(lambda: customer.has_heard(call), 10)
        assert "said" not in " ".join(map(str, system.sounds(call)))
        assert not system.sandbox.model.state.conferences
        durable_redis.start()
        customer.hang_up()
        await system.sandbox.wait_until(lambda: not system.sandbox.live_calls(), 15)
        assert not [what for what in system.sounds(call)[-1:] if str(what).startswith("said")]


@pytest.mark.processes
@pytest.mark.parametrize("pick_up", ["at-once", "later"])
async def test_without_redis_the_caller_who_should_have_waited_is_bridged(durable_redis, pick_up):
    async with LocalSystem(durable_redis.url) as system:
        system.agent_phone.script_in_turn(answers() if pick_up == "at-once" else rings())
        durable_redis.kill()
        opening = await opened(system, "waiting")
        await system.sandbox.wait_until(lambda: opening.rung, 10)
        agent = opening.rung
        durable_redis.start()
        if pick_up == "later":
            agent.answer()
        await system.until(opening.id, state="bridged", phase="connected")
        await system.until_hears(opening.waiter, [agent])
        # Known again, it is a session like any other.
        await system.done("convert", opening.id)
        await opening.ended_by_command()


@pytest.mark.processes
@pytest.mark.parametrize("way", some(["waiting", "client", "call"], "waiting"))
@pytest.mark.parametrize("moment", ["waits", "talks"])
async def test_redis_crash_and_restart_costs_no_one_the_call(durable_redis, way, moment, reading):
    # Where Twilio adds no one before the start, the phone is answered in the gate, which needs Redis.
    is_gated = reading == "start_awaited" and moment == "waits"
    async with LocalSystem(durable_redis.url) as system:
        phone = system.sandbox.phone("client:alice" if way == "waiting" else CUSTOMER)
        phone.script_in_turn(rings())
        opening = await opened(system, way)
        leg = await opening.rings()
        await waits(opening)
        if moment == "talks":
            leg.answer()
            await opening.talks()
        durable_redis.kill()
        leg.answer() if moment == "waits" else None
        if not is_gated:
            await system.until_hears(opening.waiter, [leg])
        durable_redis.start()
        await opening.talks()
        await opening.ended_by_hang_up(leg, f"{opening.way.awaited}-left")
