"""A queue whose desks are closed, silent, or gone: who is rung, and when callers go on."""

import pytest

from conferral.storage.agents import Agents
from conferral.storage.presence_runs import SILENT_MS
from conferral.worker.queue import offerer
from tests.flows.test_fallbacks import leaves_message
from tests.flows.test_presence import attempts, is_at_desk, presence_is_kept, tried
from tests.flows.test_queue import MODES, queue, session_outcome, waits
from tests.support.local_system import AGENT, LocalSystem
from tests.support.people import AGENT_PHONE, BOB
from tests.support.phones import answers, busy, rings
from tests.support.presence_times import moved, silent_for

pytestmark = pytest.mark.redis
PLACES = "queue,voicemail"


async def are_silent(system, seconds):
    """No desk reaches us; webhooks do."""
    await silent_for(system.client, system.keys, seconds * 1000)
    await presence_is_kept(system)


async def page_is_left(system, address):
    identity = address.removeprefix("client:")
    agents = Agents(system.client, system.keys)
    await agents.renew(identity, identity, "desk-1", is_ready=False, is_left=True, is_busy=False)


@MODES
@pytest.mark.parametrize("desk", ["never open", pytest.param("closed a minute ago", marks=pytest.mark.soak)])
async def test_without_a_desk_phones_are_rung_for_each_caller_and_no_one_waits(redis_server, tmp_path, mode, desk):
    more = queue(tmp_path, mode, (AGENT, AGENT_PHONE), PLACES)
    async with LocalSystem(redis_server.url, speed=20, **more) as system:
        if desk != "never open":
            await is_at_desk(system, AGENT)
            await page_is_left(system, AGENT)
            await silent_for(system.client, system.keys, 60_000)
        await presence_is_kept(system)
        system.sandbox.phone(AGENT_PHONE).script_in_turn(rings(), answers())
        first = await system.customer_calls()
        await leaves_message(system, first, first.sid)
        assert await attempts(system) == [(AGENT, "away"), (AGENT_PHONE, "no-answer")]
        await presence_is_kept(system)
        second = await system.customer_calls()
        await system.until_talk(second, await system.dialed(AGENT_PHONE, 2))
        assert tried(system) == [AGENT_PHONE, AGENT_PHONE], "no desk is rung, and none is blamed"
        await system.ended_by_hang_up(second, second.sid, "customer-left")


async def test_a_page_that_was_left_is_rung_for_ten_seconds_and_then_no_one_waits_for_it(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, fallback=PLACES)) as system:
        await is_at_desk(system, AGENT)
        await page_is_left(system, AGENT)
        await presence_is_kept(system)
        system.agent_phone.script_in_turn(busy(), answers())
        first = await system.customer_calls()
        await waits(system, first)
        await is_at_desk(system, AGENT)  # the page has loaded again
        await system.until_talk(first, await system.dialed(AGENT, 2))
        await system.ended_by_hang_up(first, first.sid, "customer-left")
        await page_is_left(system, AGENT)
        await silent_for(system.client, system.keys, 10_000)
        second = await system.customer_calls()
        await leaves_message(system, second, second.sid)
        assert tried(system) == [AGENT, AGENT]


async def test_desks_that_all_fall_silent_are_rung_and_offered_callers(redis_server, tmp_path):
    """Their proxy is away for 40 s, while Twilio reaches them."""
    async with LocalSystem(
        redis_server.url, speed=20, **queue(tmp_path, agents=(AGENT, BOB), fallback=PLACES)
    ) as system:
        for address in (AGENT, BOB):
            await is_at_desk(system, address)
        await are_silent(system, 40)
        system.agent_phone.script_in_turn(busy(), answers())
        system.sandbox.phone(BOB).script(outcome="busy")
        customer = await system.customer_calls()
        await system.until_talk(customer, await system.dialed(AGENT, 2))
        await system.until(customer.sid, phase="connected")  # the worker hears of it after both do
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")
        ended, _ = await session_outcome(system, customer)
        assert ended["landed_on"] == "queue"


async def test_desks_that_are_silent_for_six_minutes_are_gone(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, fallback=PLACES)) as system:
        await is_at_desk(system, AGENT)
        await are_silent(system, SILENT_MS // 1000 + 60)
        customer = await system.customer_calls()
        await leaves_message(system, customer, customer.sid)
        assert (tried(system), await attempts(system)) == ([], [(AGENT, "away")])


async def test_two_who_wait_for_a_machine_that_has_died_go_on(redis_server, tmp_path, monkeypatch):
    """One offer shows it; the agent is away then, and no one waits for long."""
    monkeypatch.setattr(offerer, "ABSENT_S", 2.0)
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, fallback=PLACES)) as system:
        await is_at_desk(system, AGENT, ready=False, busy=True)
        callers = []
        for _ in range(2):
            callers.append(await system.customer_calls())
            await waits(system, callers[-1])
        system.agent_phone.script(outcome="fail")
        await is_at_desk(system, AGENT)  # the call is over, and the machine dies
        await are_silent(system, 40)
        for caller in callers:
            await system.until(caller.sid, state="transferring", phase="voicemail")
        for caller in callers:
            caller.hang_up()
            await system.until(caller.sid, state="ended")
        assert tried(system) == [AGENT]
        assert await system.client.get(system.keys.agent_away("alice")) == b"no-answer"


@pytest.mark.parametrize("why", ["webhooks were away", "Redis is empty"])
async def test_before_presence_is_known_agents_are_rung_and_a_caller_waits_a_minute(
    redis_server, tmp_path, monkeypatch, why
):
    monkeypatch.setattr(offerer, "ABSENT_S", 2.0)
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, fallback=PLACES)) as system:
        await presence_is_kept(system)
        if why == "Redis is empty":
            await system.client.delete(system.keys.presence, system.keys.agents)
        else:
            await moved(system.client, system.keys, "webhooks", 60_000)
        system.agent_phone.script(outcome="fail")
        customer = await system.customer_calls()
        await waits(system, customer)
        await leaves_message(system, customer, customer.sid)
        assert tried(system) == [AGENT], "no desk is there to be offered the caller"


async def test_a_restart_of_webhooks_changes_nothing_for_who_waits_and_who_is_offered(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, fallback=PLACES)) as system:
        await is_at_desk(system, AGENT, ready=False, busy=True)
        customer = await system.customer_calls()
        before = await waits(system, customer)
        await system.restart_webhooks()
        assert (await waits(system, customer))["queued_since"] == before["queued_since"]
        system.answered_by(AGENT)
        await is_at_desk(system, AGENT)
        await system.until_talk(customer, await system.dialed(AGENT))
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")
