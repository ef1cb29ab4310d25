"""Supervisors: who hears whom in each mode, after each leave, and whatever Twilio refuses."""

import pytest

from offhook.model.behavior import Behavior
from tests.flows.flow_helpers import CAROL
from tests.flows.group_call import GroupCall, two
from tests.support.local_system import LocalSystem
from tests.support.people import SECOND, TARGET

pytestmark = pytest.mark.redis
PARTICIPANT = "/Conferences/*/Participants/*"
MODES = ("monitor", "whisper", "barge")
#: From the leave of a coached agent to the mute of the coach: a callback, a request and a busy machine.
AWAY_S = 0.5
#: What Twilio is asked so that a mode comes true.
ASKED = {
    "monitor": {"Muted": "true", "Coaching": "false"},
    "whisper": {"Muted": "false", "Coaching": "true"},
    "barge": {"Muted": "false", "Coaching": "false"},
}


async def is_heard_as(crowd: GroupCall, mode: str) -> None:
    """Waits until each of the three hears whom they should in that mode."""
    also = {"monitor": (), "whisper": ("agent",), "barge": ("agent", "customer")}[mode]
    await crowd.expect_heard(
        supervisor=["customer", "agent"],
        agent=["customer", *(["supervisor"] if "agent" in also else [])],
        customer=["agent", *(["supervisor"] if "customer" in also else [])],
    )


# ---- who hears whom ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_supervisor_hears_all_and_is_heard_per_mode_from_the_start(system, mode):
    crowd = await two(system)
    await crowd.supervise(mode)
    await is_heard_as(crowd, mode)
    # Someone who whispers, or listens, was heard by the customer at no moment, the first one included.
    assert (mode == "barge") != crowd.never_heard("customer", "supervisor")
    assert (mode == "monitor") == crowd.never_heard("agent", "supervisor")
    (dial,) = system.dial_requests(SECOND)
    asked = {name: dial.get(name) for name in ("Muted", "Coaching", "EarlyMedia", "StartConferenceOnEnter")}
    assert asked["Muted"] == "true"
    assert asked["Coaching"] in ("", "false")
    assert asked["EarlyMedia"] == asked["StartConferenceOnEnter"] == "false"
    crowd["customer"].hang_up()
    # A supervisor doesn't count as a party: someone left with one is disconnected.
    await crowd.ends("customer-left")


# ---- no company --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("leaver", ["customer", "agent"])
async def test_party_left_with_a_supervisor_is_alone(system, mode, leaver):
    crowd = await two(system)
    supervisor, customer = await crowd.supervise(mode), crowd["customer"]
    system.end_calls_in_test()
    await crowd.ended_by_hang_up(leaver, f"{leaver}-left")
    # A hang-up is not known in advance: until it is reported, Twilio lets everyone hear the whispering supervisor.
    heard_s = system.listening.seconds(customer, supervisor)
    assert mode == "barge" or heard_s < (AWAY_S if (mode, leaver) == ("whisper", "agent") else 0.001)


# ---- the coached agent leaves ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["warm", "consult", "blind"])
async def test_coach_of_an_agent_who_hands_over_is_never_heard_by_the_customer_and_coaches_the_next(system, mode):
    crowd = await two(system)
    await crowd.supervise("whisper")
    system.answered_by(CAROL)
    await crowd.done("transfer", to=CAROL, mode=mode)
    carol = await system.dialed(CAROL)
    if mode != "blind":
        await crowd.done("complete")
    crowd.people["agent-1"] = crowd.people.pop("agent")
    crowd.people["agent"] = carol
    await crowd.wait_until(state="conferenced", **{"party.agent.address": CAROL})
    await is_heard_as(crowd, "whisper")
    assert crowd.never_heard("customer", "supervisor"), crowd.heard()
    # The coach was muted before the coached one was hung up, and Twilio had confirmed it.
    muted_and_gone = ["mute supervisor", "hang up agent-1"]
    assert [word for word in crowd.asked() if word in muted_and_gone] == muted_and_gone
    assert crowd["agent-1"].status == "completed"
    await crowd.let_go()


@pytest.mark.parametrize("orphan", ["heard", "unheard"])
async def test_coach_is_muted_at_once_when_the_agent_hangs_up(redis_server, orphan):
    """Whichever way Twilio takes it that no one is there to be coached."""
    async with LocalSystem(redis_server.url, behavior=Behavior(orphaned_coach=orphan)) as system:
        await coached_agent_hangs_up(system)


async def coached_agent_hangs_up(system: LocalSystem) -> None:
    crowd = await two(system)
    await crowd.add("bob", TARGET)
    await crowd.supervise("whisper")
    left_s = system.listening.now()
    await crowd.leaves("agent")
    await crowd.expect_heard(customer="bob", bob="customer", supervisor=["customer", "bob"])
    # Twilio lets all hear the coach from the agent's leaving on; what lies between is a callback and a request.
    assert system.listening.seconds(crowd["customer"], crowd["supervisor"], left_s) < AWAY_S, crowd.heard()

    async def is_muted() -> bool:  # if no one hears the supervisor before either, hearing proves nothing
        return (await crowd.member("supervisor")).muted

    await system.eventually(is_muted, "the supervisor is muted")
    await crowd.let_go()


@pytest.mark.parametrize("mode", MODES)
async def test_supervised_consult_is_unheard_by_the_customer(system, mode):
    crowd = await two(system)
    await crowd.supervise(mode)
    since_s = system.listening.now()
    system.answered_by(CAROL)
    await crowd.done("transfer", to=CAROL, mode="consult")
    crowd.people["target"] = await system.dialed(CAROL)
    await crowd.expect_heard(customer="music", supervisor=["agent", "target"])
    assert mode == "barge" or crowd.never_heard("target", "supervisor", since_s)
    await crowd.done("cancel")
    crowd.people.pop("target")
    await is_heard_as(crowd, mode)
    assert mode == "barge" or crowd.never_heard("customer", "supervisor")
    await crowd.let_go()


# ---- Twilio ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, code", [("whisper", 13240), ("whisper", 16028), ("barge", 20001)])
async def test_refused_mode_has_failed_and_the_supervisor_monitors(system, mode, code):
    crowd = await two(system)
    system.sandbox.faults.next_rest("POST", PARTICIPANT, status=400, code=code, count=9, **ASKED[mode])
    system.answered_by(SECOND)
    status, reason = await crowd.outcome(await crowd.say("supervise", to=SECOND, mode=mode))
    assert (status, reason) == ("failed", f"Twilio refused (HTTP 400, code {code})")
    await crowd.comes("supervisor", SECOND, 1)
    await is_heard_as(crowd, "monitor")
    assert crowd.never_heard("customer", "supervisor")
    system.sandbox.faults.clear()
    await crowd.done("supervise", to=SECOND, mode=mode)
    await is_heard_as(crowd, mode)
    await crowd.let_go()
