"""A queue: callers wait with music, and desks that become free are rung, in order."""

import json

import pytest

from conferral.worker.queue import offerer
from tests.flows.test_fallbacks import leaves_message
from tests.flows.test_presence import is_at_desk, presence_is_kept, settings, tried
from tests.support.closed_hours import closed_now
from tests.support.local_system import AGENT, LocalSystem
from tests.support.people import BOB, CAROL, CUSTOMER, NUMBER, SALES
from tests.support.phones import answers, busy, refuses, rings

pytestmark = pytest.mark.redis
MODES = pytest.mark.parametrize("mode", ["bridge", "conference"])


def queue(tmp_path, mode="conference", agents=(AGENT,), fallback="queue", **more):
    return settings(tmp_path, mode, agents, fallback=fallback, **more)


async def waits(system, customer):
    session = await system.until(customer.sid, state="conferenced", phase="queued")
    await system.until_hears(customer, "music")
    return session


async def session_outcome(system, customer):
    async def found():
        return [one for one in await system.outcomes() if one["kind"] == "session" and one["session"] == customer.sid]

    await system.eventually(lambda: found(), "the session has an outcome", timeout_s=20)
    ((ended,), others) = (await found()), [one for one in await system.outcomes() if one["kind"] == "transfer"]
    return ended, others


async def no_one_takes_calls(system):
    """The first agent is away; the second takes no calls after the present one, so that callers wait."""
    await is_at_desk(system, AGENT, ready=False)
    await is_at_desk(system, BOB, ready=False, busy=True)
    system.sandbox.phone(AGENT).script(answer_after_s=0.02)


async def are_served_in_order(system, callers):
    """Each talks to the agent, who is rung once for each."""
    for nth, caller in enumerate(callers, start=1):
        await system.until_talk(caller, await system.dialed(AGENT, nth))
        caller.hang_up()
        await system.until(caller.sid, state="ended", end_reason="customer-left")


@MODES
async def test_a_caller_whom_no_one_takes_waits_and_is_offered_to_who_becomes_free(redis_server, tmp_path, mode):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, mode, (AGENT, BOB))) as system:
        await is_at_desk(system, AGENT, ready=False)
        await is_at_desk(system, BOB)
        system.sandbox.phone(BOB).script(outcome="busy")
        system.answered_by(AGENT)
        customer = await system.customer_calls()
        await waits(system, customer)
        await is_at_desk(system, AGENT)
        alice = await system.dialed(AGENT)
        await system.until_talk(customer, alice)
        session = await system.until(customer.sid, state="conferenced", phase="connected")
        assert session["party.agent.address"] == AGENT
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")
        ended, transfers = await session_outcome(system, customer)
        assert [(one["to"], one["result"]) for one in json.loads(ended["attempts"])][-1] == (AGENT, "answered")
        assert ended["landed_on"] == "queue"
        assert float(ended["queued_s"]) > 0
        assert not transfers
        assert not await system.client.exists(system.keys.queued)


async def test_who_waits_longest_is_offered_first_and_newcomers_ring_no_one(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path)) as system:
        await is_at_desk(system, AGENT)
        system.agent_phone.script_in_turn(busy(), answers())
        first = await system.customer_calls()
        await waits(system, first)
        others = []
        for _ in range(2):  # one after the other: two who come at the same moment have no order
            others.append(await system.customer_calls())
            assert (await waits(system, others[-1]))["party.agent.status"] == "left"
        for number, customer in enumerate([first, *others], start=2):
            leg = await system.dialed(AGENT, number)
            await system.until_talk(customer, leg)
            customer.hang_up()
            await system.until(customer.sid, state="ended")
        assert tried(system) == [AGENT] * 4


async def test_an_offer_without_answer_makes_the_agent_away_until_a_click(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, agents=(AGENT, BOB))) as system:
        await is_at_desk(system, AGENT)
        system.agent_phone.script_in_turn(busy(), rings(), answers())
        system.sandbox.phone(BOB).script_in_turn(busy())
        customer = await system.customer_calls()
        session = await waits(system, customer)
        await system.dialed(AGENT, 2)

        async def alice():
            return json.loads(await system.client.hget(system.keys.agents, "alice"))

        async def is_away():
            found = await alice()
            return (found["status"], found["reason"])

        await system.eventually(is_away, "the agent is away", equals=("away", "no-answer"))
        await is_at_desk(system, AGENT)
        assert await is_away() == ("away", "no-answer"), "a renewal is no click"
        assert (await waits(system, customer))["parked_until"] == session["parked_until"], "and for no longer"
        await is_at_desk(system, AGENT, click=True)
        await system.until_talk(customer, await system.dialed(AGENT, 3))


async def test_an_offer_that_fails_right_after_a_call_leaves_the_agent_ready(redis_server, tmp_path):
    """Their page may be loading again: the caller is offered once more, without a click."""
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path)) as system:
        await is_at_desk(system, AGENT)
        system.agent_phone.script_in_turn(answers(), busy(), busy(), rings(), answers())
        first = await system.customer_calls()
        alice = await system.dialed(AGENT)
        await system.until_talk(first, alice)
        second = await system.customer_calls()
        await waits(system, second)
        first.hang_up()
        await system.until(first.sid, state="ended")
        assert 15_000 < await system.client.pttl(system.keys.agent_talked("alice")) <= 60_000, (
            "longer than an offer rings"
        )
        await system.until_talk(second, await system.dialed(AGENT, 5))
        assert json.loads(await system.client.hget(system.keys.agents, "alice"))["status"] == "ready"


async def test_who_rejects_an_offer_is_not_rung_again_for_this_caller(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, queue_limit=20)) as system:
        await is_at_desk(system, AGENT)
        system.agent_phone.script_in_turn(busy(), refuses(), answers())
        customer = await system.customer_calls()
        await waits(system, customer)
        await system.everyone_is_gone(customer.sid, "queue-limit")
        assert tried(system) == [AGENT, AGENT]
        ended, _ = await session_outcome(system, customer)
        assert (ended["reason"], ended["landed_on"]) == ("queue-limit", "end")


@MODES
async def test_after_its_limit_the_next_place_follows(redis_server, tmp_path, mode):
    places = queue(tmp_path, mode, fallback="queue,voicemail", queue_limit=8)
    async with LocalSystem(redis_server.url, speed=20, **places) as system:
        await is_at_desk(system, AGENT)
        system.agent_phone.script_in_turn(busy(), refuses())
        customer = await system.customer_calls()
        await waits(system, customer)
        await leaves_message(system, customer, customer.sid)


async def test_without_a_desk_the_queue_is_left_out(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, fallback="queue,voicemail")) as system:
        await presence_is_kept(system)
        await is_at_desk(system, AGENT, ready=False)
        customer = await system.customer_calls()
        await leaves_message(system, customer, customer.sid)


async def test_without_a_desk_for_a_while_who_waits_goes_on(redis_server, tmp_path, monkeypatch):
    monkeypatch.setattr(offerer, "ABSENT_S", 1.0)
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, fallback="queue,voicemail")) as system:
        await is_at_desk(system, AGENT)
        system.agent_phone.script_in_turn(busy())
        customer = await system.customer_calls()
        await waits(system, customer)
        await is_at_desk(system, AGENT, ready=False)
        await leaves_message(system, customer, customer.sid)


async def test_a_colleague_takes_a_caller_out_of_the_queue_while_a_desk_rings(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path)) as system:
        await is_at_desk(system, AGENT)
        system.agent_phone.script_in_turn(busy(), rings())
        system.answered_by(CAROL)
        customer = await system.customer_calls()
        await waits(system, customer)
        ringing = await system.dialed(AGENT, 2)
        await system.done("retrieve", customer.sid, to=CAROL)
        await system.until_talk(customer, await system.dialed(CAROL))
        await system.eventually(lambda: ringing.status, "the desk rings no more", equals="canceled")


async def test_who_hangs_up_while_a_desk_rings_has_left(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path)) as system:
        await is_at_desk(system, AGENT)
        system.agent_phone.script_in_turn(busy(), rings())
        customer = await system.customer_calls()
        await waits(system, customer)
        await system.dialed(AGENT, 2)
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")
        ended, transfers = await session_outcome(system, customer)
        assert (ended["landed_on"], transfers) == ("", [])
        assert not await system.client.exists(system.keys.queued)


async def test_two_numbers_with_the_same_agents_are_one_queue(redis_server, tmp_path):
    more = queue(tmp_path, agents=(AGENT, BOB))
    directory = more["CONFERRAL_DIRECTORY"]
    number, of_agents = directory.read_text().split("[agents", 1)
    directory.write_text(f"{number}{number.replace(NUMBER, SALES)}[agents{of_agents}")
    async with LocalSystem(redis_server.url, speed=20, **more) as system:
        system.sandbox.add_number(SALES, voice_url=f"{system.public_url}/voice/inbound")
        await no_one_takes_calls(system)
        callers = []
        for number in (SALES, NUMBER, SALES):
            callers.append(await system.sandbox.call_in(CUSTOMER, number))
            await waits(system, callers[-1])
        await is_at_desk(system, AGENT)
        await are_served_in_order(system, callers)
        assert tried(system).count(AGENT) == 3


async def test_who_waits_at_closing_time_is_served(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, agents=(AGENT, BOB))) as system:
        await no_one_takes_calls(system)
        customer = await system.customer_calls()
        await waits(system, customer)
        directory = system.settings.directory
        directory.write_text(directory.read_text().replace("\n[agents", f"\n{closed_now()}[agents", 1))
        system.hang_up_signal()
        late = await system.customer_calls()
        await system.until(late.sid, state="ended", end_reason="closed")
        await is_at_desk(system, AGENT)
        await system.until_talk(customer, await system.dialed(AGENT))
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")
        assert tried(system) == [AGENT]


async def test_who_waits_during_a_rollback_is_served_by_the_next_version(redis_server, tmp_path, monkeypatch):
    """Workers of an earlier version offer no one, and leave who waits alone."""

    async def offers_no_one(_offerer, stop):
        await stop.wait()

    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, agents=(AGENT, BOB))) as system:
        await no_one_takes_calls(system)
        customer = await system.customer_calls()
        before = await waits(system, customer)
        with monkeypatch.context() as earlier:
            earlier.setattr(offerer.Offerer, "run", offers_no_one)
            await system.replace_workers()
            await no_one_takes_calls(system)  # again: presence lasts for real seconds
            late = await system.customer_calls()
            await waits(system, late)
            assert (await waits(system, customer))["queued_since"] == before["queued_since"]
        await system.replace_workers()
        await is_at_desk(system, AGENT)
        await are_served_in_order(system, (customer, late))


async def test_who_waits_during_a_deploy_of_webhooks_is_served_in_order(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **queue(tmp_path, agents=(AGENT, BOB))) as system:
        await no_one_takes_calls(system)
        callers, before = [], []
        for _ in range(2):
            callers.append(await system.customer_calls())
            before.append(await waits(system, callers[-1]))
        await system.restart_webhooks()
        after = [await waits(system, one) for one in callers]
        assert [one["queued_since"] for one in after] == [one["queued_since"] for one in before]
        await is_at_desk(system, AGENT)
        await are_served_in_order(system, callers)
        assert tried(system).count(AGENT) == 2
