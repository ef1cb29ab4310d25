"""Redis loses everything while people talk: the sweep finds our conferences, and no one is left alone."""

import pytest

from conferral.sandbox import CallHandle, PhoneScript
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import CUSTOMER, DEADLINE_S, NUMBER, LocalSystem

pytestmark = [pytest.mark.redis, pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=0.5)]


async def forget(system: LocalSystem) -> None:
    """As a Redis that comes back empty."""
    await system.client.flushall()


async def found(system: LocalSystem, session_id: str, **fields: str) -> dict[str, str]:
    session = await system.until(session_id, **fields)
    events = [entry["event"] for entry in await system.log(session_id)]
    assert events[0] == "conference_found", events
    return session


async def test_party_found_alone_after_a_rollback_is_released(system: LocalSystem) -> None:
    system.end_calls_in_test()
    customer, agent = await system.converted()
    system.sandbox.faults.lose_callbacks("*", count=1_000)
    system.sandbox.faults.fail_fetches("/voice/dial-action", status=500, count=100)
    await forget(system)
    agent.hang_up()
    await found(system, customer.sid, state="ended", end_reason="agent-left")
    await system.settled()
    assert customer.status == "completed"


async def test_consult_continues_as_a_consult_after_redis_loss(system: LocalSystem) -> None:
    customer, _ = await system.converted()
    system.sandbox.phone(TARGET).script(answer_after_s=0.02)
    await system.done("transfer", customer.sid, to=TARGET, mode="consult")
    await forget(system)
    session = await found(system, customer.sid, state="transferring", phase="consult")
    assert session["party.customer.held"] == "true"
    await system.done("complete", customer.sid)
    session = await system.until(customer.sid, state="conferenced")
    assert session["party.customer.held"] == "false"
    customer.hang_up()
    await system.settled()


@pytest.mark.soak
async def test_conferences_of_others_are_left_alone_though_they_are_named_as_ours(system: LocalSystem) -> None:
    foreign = system.sandbox.add_foreign_conference("CA" + "7" * 32, age_s=60)
    customer, _ = await system.converted()
    await forget(system)
    await found(system, customer.sid, state="conferenced")
    await system.eventually(lambda: system.workers[0].metrics.sweeps.labels("done")._value.get() >= 6, "six sweeps")
    touching = [(entry.method, entry.path) for entry in system.sandbox.request_log.rest if foreign in entry.path]
    assert touching == [("GET", f"/Conferences/{foreign}/Participants.json")]
    assert not await system.client.exists(system.keys.session("CA" + "7" * 32))
    customer.hang_up()
    await system.settled()


async def waits(system: LocalSystem) -> CallHandle:
    """A caller waits in a conference; no callback about them arrives except requests to the wait URL."""
    system.sandbox.add_number(NUMBER, voice_url=f"{system.public_url}/voice/conference")
    return await system.sandbox.call_in(CUSTOMER, NUMBER)


@pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=600)
async def test_caller_lost_from_redis_gets_an_agent_after_the_music_ends(
    system: LocalSystem,
) -> None:
    """The sweep alone would take two intervals."""
    system.agent_phone.script_in_turn(PhoneScript(answer_after_s=0.1))
    system.sandbox.faults.lose_callbacks("*", count=2)
    customer = await waits(system)
    await system.sandbox.wait_until(lambda: str(customer.hears_now) == "music", DEADLINE_S)
    await forget(system)

    session = await system.until(customer.sid, **{"state": "conferenced", "party.agent.status": "connected"})

    assert session["direction"] == "inbound"
    assert len(system.agent_phone.call_sids) == 1
    customer.hang_up()
    await system.settled()


@pytest.mark.soak
async def test_an_agent_who_is_rung_when_all_trace_is_lost_is_not_rung_twice(system: LocalSystem) -> None:
    system.agent_phone.script_in_turn(PhoneScript(answer_after_s=8))
    customer = await waits(system)
    await system.until(customer.sid, **{"party.agent.status": "ringing"})
    await forget(system)

    await system.until(customer.sid, **{"state": "conferenced", "party.agent.status": "connected"})

    assert len(system.agent_phone.call_sids) == 1
    customer.hang_up()
    await system.settled()
