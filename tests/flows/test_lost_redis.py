"""Redis loses everything while people talk: the sweep finds our conferences, and no one is left alone."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conferral.runtime.errors import StoreUnreachableError
from offhook import CallHandle, PhoneScript, RestHookEvent
from offhook.model.rest import call_routes
from tests.flows.flow_helpers import CAROL, TARGET
from tests.flows.test_sweep import CONFERENCE_EVENTS, swept
from tests.flows.test_visits import move, visit_of
from tests.support.foreign_calls import add_foreign_conference
from tests.support.local_system import AGENT, CUSTOMER, DEADLINE_S, NUMBER, LocalSystem
from tests.support.metric_values import value_of
from tests.support.phones import answers, busy

pytestmark = [pytest.mark.redis, pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=0.5)]


async def forget(system: LocalSystem) -> None:
    """As a Redis that comes back empty."""
    await system.client.flushall()


async def found(system: LocalSystem, session_id: str, **fields: str) -> dict[str, str]:
    session = await system.until(session_id, **fields)
    events = [entry["event"] for entry in await system.log(session_id)]
    # Lists that the sweep has read a moment before may show the bridge; then a read finds the conference.
    assert events[0] in ("conference_found", "call_received"), events
    return session


async def test_party_found_alone_after_a_loss_is_released(system: LocalSystem) -> None:
    system.end_calls_in_test()
    customer, agent = await system.converted()
    system.sandbox.faults.lose_callbacks("*", count=1_000)
    system.sandbox.faults.fail_fetches("/voice/dial-action", status=500, count=100)
    await forget(system)
    agent.hang_up()
    await found(system, customer.sid, state="ended", end_reason="agent-left")
    await system.settled()
    assert customer.status == "completed"


@pytest.mark.parametrize("lost", [CONFERENCE_EVENTS, pytest.param(("*",), marks=pytest.mark.soak)])
async def test_agent_is_not_alone_for_good_when_only_the_name_shows_the_caller(
    system: LocalSystem, lost: tuple[str, ...]
) -> None:
    """Both have joined, no flag is set yet, and the agent's call, which shows the caller's number, isn't of ours."""
    customer, agent = await system.talking()
    system.end_calls_in_test()
    for event in lost:
        system.sandbox.faults.lose_callbacks(event, count=1_000)
    is_empty = asyncio.Event()

    async def empty(moment: RestHookEvent) -> None:
        if moment.method == "POST" and "/Participants/" in moment.path and not is_empty.is_set():
            await forget(system)
            is_empty.set()

    system.sandbox.on_rest = empty
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants/*", status=500, count=1_000)
    await system.begins("convert", customer.sid)
    await asyncio.wait_for(is_empty.wait(), DEADLINE_S)

    customer.hang_up()

    session = await system.until(customer.sid, state="ended", end_reason="customer-left")
    assert session["direction"] == "inbound"
    await system.settled()
    assert agent.status == "completed"


@pytest.mark.system(CONFERRAL_INBOUND_FALLBACK=CAROL)
async def test_caller_found_alone_after_a_loss_goes_to_the_fallback_of_the_number(system: LocalSystem) -> None:
    system.end_calls_in_test()
    system.answered_by(CAROL)
    customer, agent = await system.converted()
    system.sandbox.faults.lose_callbacks("*", count=1_000)
    system.sandbox.faults.fail_fetches("/voice/dial-action", status=500, count=100)
    await forget(system)
    agent.hang_up()
    await found(system, customer.sid, state="conferenced")
    system.sandbox.faults.clear()
    await system.until_talk(customer, await system.dialed(CAROL))
    await system.ended_by_hang_up(customer, customer.sid, "customer-left")


async def test_customer_of_a_consult_that_redis_lost_stays_on_hold_until_the_agent_leaves(system: LocalSystem) -> None:
    customer, agent = await system.converted()
    system.sandbox.phone(TARGET).script(answer_after_s=0.02)
    await system.done("transfer", customer.sid, to=TARGET, mode="consult")
    target = await system.dialed(TARGET)
    await forget(system)
    session = await found(system, customer.sid, state="conferenced", **{"party.guest-1.status": "connected"})
    assert session["party.customer.held"] == "true"
    await system.until_talk(agent, target)
    agent.hang_up()
    await system.until_talk(customer, target)
    customer.hang_up()
    await system.settled()


@pytest.mark.soak
async def test_conferences_of_others_are_left_alone_though_they_are_named_as_ours(system: LocalSystem) -> None:
    foreign = add_foreign_conference(system.sandbox, "CA" + "7" * 32, age_s=60)
    customer, _ = await system.converted()
    await forget(system)
    await found(system, customer.sid, state="conferenced")
    await system.eventually(lambda: value_of(system.workers[0].metrics.sweeps.labels("done")) >= 6, "six sweeps")
    touching = [(entry.method, entry.path) for entry in system.sandbox.request_log.rest if foreign in entry.path]
    assert touching == [("GET", f"/Conferences/{foreign}/Participants.json")]
    assert not await system.client.exists(system.keys.session("CA" + "7" * 32))
    customer.hang_up()
    await system.settled()


async def waits(system: LocalSystem) -> CallHandle:
    """A caller waits in a conference; no callback about them arrives except requests to the wait URL."""
    system.sandbox.add_number(NUMBER, voice_url=f"{system.public_url}/voice/conference")
    return await system.sandbox.call_in(CUSTOMER, NUMBER)


@pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=600, speed=4)
async def test_caller_lost_from_redis_gets_an_agent_after_the_music_ends(system: LocalSystem) -> None:
    """The sweep alone would take two intervals."""
    system.agent_phone.script_in_turn(PhoneScript(answer_after_s=0.1))
    await system.stop_worker()  # or the agent is dialed before all is forgotten
    customer = await waits(system)
    await system.sandbox.wait_until(lambda: str(customer.hears_now) == "music", DEADLINE_S)
    await forget(system)
    system.start_worker()

    session = await system.until(customer.sid, **{"state": "conferenced", "party.agent.status": "connected"})

    assert session["direction"] == "inbound"
    assert len(system.agent_phone.call_sids) == 1
    customer.hang_up()
    await system.settled()


@pytest.mark.soak
async def test_an_agent_who_is_rung_when_all_trace_is_lost_is_not_rung_twice(system: LocalSystem, reading: str) -> None:
    system.agent_phone.script_in_turn(PhoneScript(answer_after_s=12))
    customer = await waits(system)
    await system.until(customer.sid, **{"party.agent.status": "ringing"})
    await forget(system)

    await system.until(customer.sid, **{"state": "conferenced", "party.agent.status": "connected"})

    # Where Twilio adds no one before the start, the phone rings for the gate: no list shows for which caller.
    is_gated = reading == "start_awaited"
    assert len(system.agent_phone.call_sids) == (2 if is_gated else 1)
    customer.hang_up()
    await system.settled()


# ---- calls that came in while Redis was away ---------------------------------------------------------------------


@contextmanager
def redis_away(system: LocalSystem) -> Iterator[None]:
    """The webhooks reach no Redis, for longer than Twilio repeats a callback."""

    async def refuse(*_given: object, **_named: object) -> None:
        raise StoreUnreachableError("away")

    system.sandbox.faults.lose_callbacks("*", count=1_000)
    with pytest.MonkeyPatch.context() as away:
        for name in ("newest_session", "publish", "publish_and_read", "read", "session_of"):
            away.setattr(system.publisher, name, refuse)
        yield
    system.sandbox.faults.clear()


async def test_bridged_call_that_came_in_while_redis_was_away_is_found_and_can_be_converted(
    system: LocalSystem,
) -> None:
    with redis_away(system):
        customer = await system.customer_calls()
        agent = await system.dialed(AGENT)
        await system.until_talk(customer, agent)
        assert not await system.session(customer.sid)

    session = await system.until(customer.sid, state="bridged", phase="connected")
    assert (session["party.customer.address"], session["party.agent.call_sid"]) == (CUSTOMER, agent.sid)
    await system.done("convert", customer.sid)
    await system.until_talk(customer, agent)
    await system.ended_by_hang_up(agent, customer.sid, "agent-left")


@pytest.mark.parametrize("user", [NUMBER, NUMBER[1:]])
async def test_carriers_call_that_came_in_while_redis_was_away_is_found(system: LocalSystem, user: str) -> None:
    carrier = "carrier.sip.twilio.com"
    system.sandbox.add_number(carrier, voice_url=f"{system.public_url}/voice/inbound")
    with redis_away(system):
        customer = await system.sandbox.call_in(f"sip:{CUSTOMER}@pbx.example", f"sip:{user}@{carrier};user=phone")
        await system.until_talk(customer, await system.dialed(AGENT))
    session = await system.until(customer.sid, state="bridged", phase="connected")
    assert session["party.customer.address"] == CUSTOMER
    await system.ended_by_command(customer.sid)


async def test_caller_who_comes_back_while_redis_is_away_is_not_cut_and_can_be_converted(system: LocalSystem) -> None:
    system.agent_phone.script_in_turn(busy(), answers())
    customer = await system.customer_calls()
    await system.until(customer.sid, state="ended", end_reason="agent-busy")
    with redis_away(system):
        await move(system, customer, f"{system.public_url}/voice/inbound")
        agent = await system.dialed(AGENT, 2)
        await system.until_talk(customer, agent)
    session = await system.until(visit_of(customer, 2), state="bridged", phase="connected")
    assert session["party.agent.call_sid"] == agent.sid
    await swept(system, 4)
    await system.done("convert", customer.sid)
    await system.until_talk(customer, agent)
    await system.ended_by_hang_up(agent, visit_of(customer, 2), "agent-left")


@pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=600)
async def test_agent_of_lost_session_is_not_left_alone_with_music(system: LocalSystem) -> None:
    customer, agent = await system.converted()
    # Without these, Twilio doesn't end the conference, and the agent waits for the sweep.
    await system.until(customer.sid, **{"party.customer.end_on_exit": "true", "party.agent.end_on_exit": "true"})
    await forget(system)

    customer.hang_up()

    await system.eventually(lambda: agent.status == "completed", "the agent's call ends")
    assert "music" not in system.sounds(agent)
    assert len(system.sandbox.model.state.conferences) == 1, "the agent is in no second conference"


@pytest.mark.system(CONFERRAL_CONVERT_TIMEOUT=6, CONFERRAL_SWEEP_INTERVAL=600)
async def test_caller_is_moved_with_the_agent_though_a_list_lacks_the_agents_call(
    system: LocalSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, agent = await system.talking()
    monkeypatch.setitem(call_routes.FILTERS, "ParentCallSid", "to")  # the list of a call's children is empty
    with redis_away(system):
        # The action finds no Redis, and asks Twilio for the call itself.
        await system.done("convert", customer.sid)
        await system.until_talk(customer, agent)
    asked = [entry.path for entry in system.sandbox.request_log.rest if entry.method == "GET"]
    assert f"/Calls/{agent.sid}.json" in asked
    await system.ended_by_hang_up(agent, customer.sid, "agent-left")
