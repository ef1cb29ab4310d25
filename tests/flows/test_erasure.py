"""A call that is over is forgotten: of all that a real one leaves behind nothing is left, and nothing comes back."""

import pytest

from conferral.cli.recording_erasure import erase_recordings
from conferral.operations import erasure
from conferral.operations.erasure import ErasureRefused, SessionErasure
from conferral.statemachine.events import CallProgressed
from conferral.storage.queries.session_reader import SessionReader
from offhook.model.messages import RestRequest
from tests.flows.flow_helpers import TARGET, talking
from tests.flows.test_fallbacks import until_tone
from tests.support.local_system import AGENT, CUSTOMER, LocalSystem
from tests.support.phones import busy, presses
from tests.support.redis_dump import everything_in

pytestmark = pytest.mark.redis
RECORDED = {"speed": 20, "CONFERRAL_RECORD": "customer"}


async def test_nothing_of_a_call_with_a_transfer_is_left_and_a_late_callback_brings_nothing_back(
    redis_server, monkeypatch
):
    monkeypatch.setattr(erasure, "QUIET_PERIOD_S", 0)
    async with LocalSystem(redis_server.url) as system:
        system.sandbox.phone(TARGET).script_in_turn(presses("1"))
        customer, agent = await system.talking()
        command_id = (await system.done("transfer", customer.sid, to=TARGET, mode="warm", confirm="true")).command_id
        target = await system.leg(customer.sid, "target")
        conference = (await system.session(customer.sid))["conference_sid"]
        await system.ended_by_command(customer.sid)
        identifying = (
            customer.sid,
            agent.sid,
            target.sid,
            conference,
            CUSTOMER[1:],
            TARGET[1:],
            AGENT.partition(":")[2],
        )
        with redis_server.client() as redis:
            before = everything_in(redis)
            assert all(one in before for one in identifying)

            forgets = SessionErasure(SessionReader(system.client, system.keys))
            plan = await forgets.plan(target.sid)
            assert all(count for what, count in plan.counts.items() if what != "dead_letters")
            await forgets.erase(plan)
            redis.delete(system.keys.agent_talked("alice"))  # it expires within the quiet period
            assert not [one for one in identifying if one in everything_in(redis)]

            # The worker still has it in memory, as it was: what it decides about that is not written.
            late = CallProgressed(
                session_id=customer.sid, token="late", party="agent", call_sid=agent.sid, status="completed"
            )
            await system.publisher.publish(late)
            await system.settled()
            assert not [one for one in identifying if one in everything_in(redis)]
            assert redis.hgetall(system.keys.command(command_id)).keys() == {"entry", "status"}


# ---- recordings at Twilio --------------------------------------------------------------------------------------------


async def recorded(system: LocalSystem, monkeypatch):
    """A call with a recording and a message is over: what Redis knows of it, and the recordings at Twilio."""
    monkeypatch.setattr(erasure, "QUIET_PERIOD_S", 0)
    talk = await talking(system)
    await system.until(talk.session, **{"recording.status": "in-progress"})
    system.sandbox.phone(TARGET).script_in_turn(busy())
    await system.failed("busy", "transfer", talk.session, to=TARGET, mode="blind", fallback="voicemail")
    await until_tone(system, talk.customer)
    talk.customer.speak("It is about my order")
    await system.everyone_is_gone(talk.session, "voicemail")
    plan = await SessionErasure(SessionReader(system.client, system.keys)).plan(talk.session)
    return plan, [one.sid for one in system.sandbox.recordings()]


@pytest.mark.system(**RECORDED)
async def test_the_recordings_of_a_call_and_its_message_are_deleted(system, monkeypatch):
    traces, made = await recorded(system, monkeypatch)
    assert len(made) == 2
    found = await erase_recordings(system.settings, [traces], dry_run=True)
    assert (found, len(system.sandbox.recordings())) == (({traces.session_id: 2}, []), 2)
    # One was deleted before: Twilio answers 404.
    system.sandbox.apply(RestRequest("DELETE", f"/Recordings/{made[0]}.json"))
    erased = await erase_recordings(system.settings, [traces], dry_run=False)
    assert (erased, system.sandbox.recordings()) == (({traces.session_id: 2}, []), [])


@pytest.mark.system(**RECORDED)
async def test_what_twilio_refuses_is_named_and_the_rest_is_deleted(system, monkeypatch):
    traces, made = await recorded(system, monkeypatch)
    system.sandbox.faults.next_rest("DELETE", f"/Recordings/{made[0]}", status=403)
    counts, refused = await erase_recordings(system.settings, [traces], dry_run=False)
    assert (counts, [one.sid for one in system.sandbox.recordings()]) == ({traces.session_id: 1}, [made[0]])
    assert refused == [f"{made[0]}: HTTP 403, code 20403"]


@pytest.mark.system(**RECORDED)
async def test_nothing_is_erased_while_twilio_can_not_be_asked(system, monkeypatch):
    traces, made = await recorded(system, monkeypatch)
    system.sandbox.faults.next_rest("GET", "/Calls", status=503, count=2)
    with pytest.raises(ErasureRefused, match="Twilio can't be asked for recordings"):
        await erase_recordings(system.settings, [traces], dry_run=False)
    assert [one.sid for one in system.sandbox.recordings()] == made
