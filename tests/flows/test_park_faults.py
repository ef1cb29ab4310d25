"""Parked calls of which Twilio refuses, delays or forgets a part, and people who leave at each step."""

import pytest

from offhook.model.behavior import Behavior
from tests.flows.flow_helpers import BOTH_DIRECTIONS, TARGET
from tests.flows.test_park import is_parked, talking, transfers
from tests.support.local_system import LocalSystem

pytestmark = [pytest.mark.redis, pytest.mark.system(answered_by=[TARGET])]

#: How Twilio may report that someone's wait document could not be fetched.
FAILED_WAITS = pytest.mark.parametrize("failed_wait", ["add-failed", "hung-up"])


async def has_been_taken_up(system, talk, debugger=frozenset()):
    leg = await system.leg(talk.session, "agent")
    await system.until_talk(talk.customer, leg)
    assert leg.record.to == TARGET
    assert system.listening.never_heard(talk.agent, leg)
    assert system.dials_to(TARGET) == 1
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left", debugger=debugger)


# ---- park: callbacks that Twilio does not send -----------------------------------------------------------------------


@pytest.mark.soak
async def test_hold_without_an_answer_parks_nothing_and_the_two_talk_on(system):
    """Without it the customer would be in silence, and would end the conference for the agent's leaving."""
    talk = await talking(system, conferenced=True)
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants/*", status=500, count=99, Hold="true")
    await system.failed("hold-failed", "park", talk.session)
    session = await system.until(talk.session, state="conferenced", phase="connected")
    assert (session["transfer.status"], session["transfer.reason"]) == ("failed", "hold-failed")
    assert talk.agent.status == "in-progress"
    await system.until_hears(talk.customer, [talk.agent])
    system.sandbox.faults.clear()
    # And it can be tried again.
    await system.done("park", talk.session)
    assert await transfers(system) == [("park", "", "failed", "hold-failed"), ("park", "", "completed", "")]
    await is_parked(system, talk)
    await system.done("retrieve", talk.session, to=TARGET)
    await has_been_taken_up(system, talk)


# ---- the wait audio --------------------------------------------------------------------------------------------------


@BOTH_DIRECTIONS
@FAILED_WAITS
async def test_customer_without_wait_audio_waits_elsewhere_and_is_retrieved_from_there(
    redis_server, direction, failed_wait
):
    """Twilio ends a `<Conference>` whose wait URL fails; the third time they come with Twilio's own music."""
    async with LocalSystem(redis_server.url, speed=20, behavior=Behavior(failed_wait=failed_wait)) as system:
        system.answered_by(TARGET)
        talk = await talking(system, direction)
        system.sandbox.faults.fail_fetches("/voice/wait", status=500, count=50)
        await system.done("park", talk.session)
        await system.until(talk.session, phase="parked", **{"party.customer.waits_for_start": "true"})
        await system.until_hears(talk.customer, "music")
        assert not [entry for entry in system.sandbox.request_log.requests("POST") if entry.get("Hold") == "true"]
        await system.done("retrieve", talk.session, to=TARGET)
        await has_been_taken_up(system, talk, debugger=frozenset({11200}))
