"""The callback of a conference's start comes before the join and the answer of who started it: the two just talk."""

import pytest

from tests.flows.flow_helpers import CAROL, TARGET, talking
from tests.flows.test_lost_agents import has_desk
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.phones import answers, busy

pytestmark = pytest.mark.redis
#: A moment, in real seconds, and longer than Conferral waits for the join before it reads Twilio.
LATE_S = pytest.mark.parametrize("late_s", [0.3, pytest.param(2.0, marks=pytest.mark.soak)])


def delay_arrival(system: LocalSystem, late_s: float) -> None:
    """Delays the callbacks that say who starts the next conference."""
    system.sandbox.faults.delay_callbacks("participant-join", late_s, StartConferenceOnEnter="true")
    system.sandbox.faults.delay_callbacks("answered", late_s, count=9)


async def they_talk_undisturbed(system: LocalSystem, session: str, customer, party: str) -> None:
    """The customer talks to the party that joined; neither was ever put on hold."""
    await system.until(session, state="conferenced", phase="connected")
    await system.until_talk(customer, await system.leg(session, party))
    log = [entry["event"] for entry in await system.log(session)]
    assert "conference_started" in log

    assert not [entry for entry in system.sandbox.request_log.requests("POST") if entry.get("Hold") == "true"]
    await system.ended_by_hang_up(customer, session, "customer-left")


@LATE_S
@pytest.mark.system(answered_by=[TARGET])
async def test_target_of_a_blind_transfer_is_heard_at_once(system, late_s):
    talk = await talking(system)
    delay_arrival(system, late_s)
    await system.done("transfer", talk.session, to=TARGET, mode="blind")
    await they_talk_undisturbed(system, talk.session, talk.customer, "agent")


@LATE_S
@pytest.mark.parametrize("mode", ["inbound", "conference"])
@pytest.mark.system(CONFERRAL_INBOUND_FALLBACK=CAROL, answered_by=[CAROL])
async def test_fallback_of_a_call_that_no_agent_takes_is_heard_at_once(system, mode, late_s):
    system.agent_phone.script_in_turn(busy())
    delay_arrival(system, late_s)
    customer = await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{system.public_url}/voice/{mode}")
    await they_talk_undisturbed(system, customer.sid, customer, "agent")


@LATE_S
@pytest.mark.parametrize("is_back", [True, False], ids=["return", "fallback"])
@pytest.mark.system(CONFERRAL_INBOUND_FALLBACK=CAROL, answered_by=[CAROL])
async def test_agent_who_was_lost_or_their_fallback_is_heard_at_once(system, is_back, late_s):
    await has_desk(system)
    talk = await talking(system)
    system.sandbox.phone(AGENT).script_in_turn(answers() if is_back else busy())
    delay_arrival(system, late_s)
    talk.agent.hang_up()
    await system.dialed(AGENT if is_back else CAROL, 2 if is_back else 1)
    await they_talk_undisturbed(system, talk.session, talk.customer, "agent")
