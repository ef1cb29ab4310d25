"""Queued requests delay no others: withdrawn dials, slow reads, slow hang-ups."""

import asyncio

import pytest

from conferral.statemachine.effects import Effect
from offhook.model.behavior import Behavior
from tests.flows.flow_helpers import TARGET, goes_on_and_ends, talking
from tests.support.broken_effects import Death
from tests.support.entries import entry_of
from tests.support.local_system import DEADLINE_S, LocalSystem

pytestmark = pytest.mark.redis
STRAY = "CA" + "9" * 32


async def test_cancelled_consult_whose_dial_waits_for_a_retry_gives_the_customer_back_at_once(system) -> None:
    """Twilio would take the dial in half a minute; no one is dialed then either."""
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants.json", status=429, retry_after_s=30)
    talk = await talking(system, conferenced=True)
    await system.begins("transfer", talk.session, to=TARGET, mode="consult")

    async def dial_waits() -> bool:
        return bool(system.sandbox.request_log.requests("POST", "/Participants.json"))

    await system.eventually(dial_waits, "the dial waits for its retry")
    began_s = system.clock.monotonic_s()
    await system.begins("cancel", talk.session)

    await goes_on_and_ends(system, talk.customer, talk.agent)
    assert system.clock.monotonic_s() - began_s < 5
    assert system.dials_to(TARGET) == 0


@pytest.mark.system(behavior=Behavior(early_media_counts_as_join=True))
async def test_customer_returns_to_the_agent_while_a_read_hangs(system) -> None:
    """A party in the conference by early media alone is read now and then."""
    system.not_answered_by(TARGET)
    talk = await talking(system, conferenced=True)

    async def read_hangs() -> bool:
        requests = system.sandbox.request_log.rest
        return any(one.method == "GET" and one.fault == "latency" and not one.duration_ms for one in requests)

    await system.begins("transfer", talk.session, to=TARGET, mode="consult")
    await system.dialed(TARGET)
    system.sandbox.faults.next_rest("GET", "*", latency_s=1, count=1000)
    await system.eventually(read_hangs, "a look is under way")
    await system.begins("cancel", talk.session)

    await system.until_hears(talk.customer, [talk.agent])
    assert await read_hangs()
    system.sandbox.faults.clear()
    await goes_on_and_ends(system, talk.customer, talk.agent)


class Dying:
    """A checkpoint at which the process dies over the hang-up of a stray call, as late as the test says."""

    def __init__(self) -> None:
        self.is_there = asyncio.Event()
        self.dies = asyncio.Event()

    async def __call__(self, point: str, effect: Effect) -> None:
        if point == "before_request" and effect.target == STRAY and not self.dies.is_set():
            self.is_there.set()
            await self.dies.wait()
            raise Death


async def test_stray_call_is_hung_up_by_the_successor_although_its_session_has_ended(redis_server) -> None:
    system = LocalSystem(redis_server.url)
    dying = system.worker_options["effect_checkpoint"] = Dying()
    async with system:
        talk = await talking(system, conferenced=True)
        # A dial that was given up shows up late.
        about = {"token": "t1", "party": "target", "dial": "forgotten", "call_sid": STRAY, "status": "ringing"}
        late = entry_of("call_progressed", talk.session, **about)
        await system.client.xadd(system.keys.events(system.keys.partition_of(talk.session)), late)
        await asyncio.wait_for(dying.is_there.wait(), DEADLINE_S)
        await system.begins("end", talk.session)
        await system.until(talk.session, state="ended")
        dying.dies.set()
        await system.stop_worker()
        assert not system.sandbox.request_log.requests("POST", f"/Calls/{STRAY}")

        system.start_worker()

        await system.settled()
        assert len(system.sandbox.request_log.requests("POST", f"/Calls/{STRAY}")) == 1
