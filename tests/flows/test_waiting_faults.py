"""Conferences from the start of which Twilio refuses or forgets a part: no one is called twice or waits for nothing."""

import pytest

from offhook import CallHandle
from offhook.model.behavior import Behavior
from tests.flows.conference_starts import WAYS, ConferenceStart, by_way, opened, some
from tests.support.local_system import LocalSystem
from tests.support.phones import answers, busy

pytestmark = [pytest.mark.redis, pytest.mark.system(policy={"ring_timeout_ms": 1_000})]
BAD_ANSWERS = {
    "429": {"status": 429},
    "503": {"status": 503},
    "500-after-effect": {"status": 500, "moment": "after"},
    "cut-before": {"cut": "before"},
    "cut-after": {"cut": "after"},
}
WAIT_FAILED = frozenset({11200})


# ---- requests --------------------------------------------------------------------------------------------------------


@by_way("client")
@pytest.mark.parametrize("fault", some(BAD_ANSWERS, "cut-before", "cut-after"))
async def test_awaited_party_is_dialed_once_despite_a_bad_response(system, way, fault):
    system.answered_by(WAYS[way].phone)
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants.json", **BAD_ANSWERS[fault])
    await (await opened(system, way)).is_a_conference()


@by_way("waiting")
async def test_waiter_is_hung_up_even_if_the_sentence_cannot_be_played(system, way):
    """Twilio refuses the TwiML with the spoken sentence: the caller is hung up without it."""
    system.sandbox.phone(WAYS[way].phone).script_in_turn(busy())
    system.sandbox.faults.next_rest("POST", "/Calls/*", status=400, Twiml="*")
    opening = await opened(system, way)
    await opening.ends(f"{opening.way.awaited}-busy")
    # At once, and not only when the account is compared.
    assert system.sandbox.request_log.requests("POST", f"/Calls/{opening.waiter.sid}")[-1].get("Status") == "completed"
    assert "account_swept" not in {entry["event"] for entry in await system.log(opening.id)}
    assert not [what for what in system.sounds(opening.waiter) if str(what).startswith("said")]


# ---- what is heard while one waits -----------------------------------------------------------------------------------


async def rings_for_second_conference(opening: ConferenceStart) -> CallHandle:
    """Waits until the phone rings for the second conference alone: a dial into the first one is given up with it."""
    system = opening.system

    async def found() -> str:
        ringing = [one.sid for one in system.sandbox.calls_of(opening.way.phone) if one.status == "ringing"]
        shown = (await opening.session()).get(f"party.{opening.way.awaited}.call_sid")
        return shown if len(system.sandbox.model.state.conferences) == 2 and ringing == [shown] else ""

    await system.eventually(found, "the other is dialed into the second conference alone")
    return await system.leg(opening.id, opening.way.awaited)


@by_way("client")
@pytest.mark.parametrize("status", some([500, 404], 404))
@pytest.mark.system(policy={"arrive_timeout_ms": 5_000})
async def test_failing_wait_url_returns_to_the_conference_and_the_call_continues(system, way, status):
    """Twilio repeats our wait URL after a 500, and gives it up at once after a 404."""
    system.not_answered_by(WAYS[way].phone)
    system.sandbox.faults.fail_fetches("/voice/wait", status=status, count=20)
    opening = await opened(system, way)
    (await rings_for_second_conference(opening)).answer()
    leg = await opening.talks()
    assert opening.waiter.status == leg.status == "in-progress"
    await opening.ended_by_hang_up(leg, f"{opening.way.awaited}-left", debugger=WAIT_FAILED, conferences=2)


@pytest.mark.parametrize("failed_wait", ["add-failed", "hung-up"])
async def test_caller_whose_music_fails_hears_twilios_own_however_that_is_reported(redis_server, failed_wait):
    """Twilio may report like a hang-up that the wait document could not be fetched, while the call goes on."""
    policy = {"arrive_timeout_ms": 5_000}  # longer than an action takes on a busy machine, as in production
    async with LocalSystem(redis_server.url, policy=policy, behavior=Behavior(failed_wait=failed_wait)) as system:
        system.not_answered_by(WAYS["waiting"].phone)
        system.sandbox.faults.fail_fetches("/voice/wait", status=404, count=20)
        opening = await opened(system, "waiting")
        await system.until_hears(opening.waiter, "music")
        leg = await rings_for_second_conference(opening)
        leg.answer()
        await opening.talks()
        await opening.ended_by_hang_up(leg, "agent-left", debugger=WAIT_FAILED, conferences=2)


@pytest.mark.system(CONFERRAL_GREETING="Welcome.")
async def test_greeting_that_fails_does_not_cost_the_caller_the_call(system):
    system.agent_phone.script_in_turn(answers(0.3))
    system.sandbox.faults.fail_fetches("/voice/wait", status=404)
    opening = await opened(system, "waiting")
    leg = await opening.talks()
    await opening.ended_by_hang_up(leg, "agent-left", debugger=WAIT_FAILED, conferences=2)


async def test_first_url_that_fails_lets_the_fallback_bridge_the_caller(system):
    system.sandbox.faults.fail_fetches("/voice/conference", status=404)
    opening = await opened(system, "waiting")
    await system.until(opening.id, state="bridged", phase="connected")
    agent = await system.agent_leg(opening.waiter)
    await system.until_hears(opening.waiter, [agent])
    await opening.ended_by_command(debugger=frozenset({11200}))
