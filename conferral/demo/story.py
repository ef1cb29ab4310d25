"""The story: a call comes in, is bridged, converted without a gap, and cleaned up when the agent hangs up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from conferral import output
from conferral.access import Fields
from conferral.demo.narrator import Narrator
from conferral.demo.phones import Phones
from conferral.demo.stage import AGENT, BUSINESS, CUSTOMER, OTHER_CUSTOMER, Stage
from conferral.demo.waiting import until
from conferral.errors import NotDoneError
from conferral.following import Follower
from streams import commands

#: How long one step may take, seconds.
STEP_S = 15.0
#: How long they talk, so that a reader can follow, seconds.
TALK_S = 1.5
RING_AFTER_S = 0.3
ANSWER_AFTER_S = 1.0


async def play(stage: Stage, phones: Phones) -> None:
    """Plays the story once.

    Raises:
        NotDoneError: something did not happen.
    """
    await phones.answer_by_itself(AGENT, ring_after_s=RING_AFTER_S, answer_after_s=ANSWER_AFTER_S)
    session_id = await phones.call(CUSTOMER, BUSINESS)
    output.result(f"The story of {session_id}")
    async with _narrated(stage, session_id) as narrator:
        await _until(stage, session_id, "the agent's answer", lambda it: it.get("phase") == "connected")
        await asyncio.sleep(TALK_S)
        await _convert(stage, phones, session_id, narrator)
        await asyncio.sleep(TALK_S)
        agent_call = (await stage.reader.session(session_id))["party.agent.call_sid"]
        await phones.hang_up(agent_call)
        await _until(stage, session_id, "the end", lambda it: it.get("state") == "ended")
        await _until_silent(phones)
        await narrator.catch_up()
        narrator.add(f"calls left at the local Twilio: {await phones.live_calls()}")


async def second_call(stage: Stage, phones: Phones) -> str:
    """Brings a call up that stays bridged; returns its session's id.

    Raises:
        NotDoneError: it did not come up.
    """
    session_id = await phones.call(OTHER_CUSTOMER, BUSINESS)
    await _until(stage, session_id, "the agent's answer", lambda it: it.get("phase") == "connected")
    return session_id


async def _convert(stage: Stage, phones: Phones, session_id: str, narrator: Narrator) -> None:
    reader = stage.reader
    asked_s = await phones.now_s()
    command_id = await commands.publish(reader.client, reader.keys, {"type": "convert", "session": session_id})
    outcome = await commands.wait_for_outcome(reader.client, reader.keys, command_id, STEP_S)
    if outcome.status != "done":
        raise NotDoneError(f"convert {outcome.status or 'was not taken up'}: {outcome.reason}")
    until_s = await phones.now_s()
    await narrator.catch_up()
    fields = await reader.session(session_id)
    customer_s, agent_s = [
        await phones.lonely_s(fields[f"party.{party}.call_sid"], asked_s, until_s) for party in ("customer", "agent")
    ]
    narrator.add(f"the customer heard nobody for {customer_s * 1000:.0f} ms, alice for {agent_s * 1000:.0f} ms")


@asynccontextmanager
async def _narrated(stage: Stage, session_id: str) -> AsyncIterator[Narrator]:
    narrator = Narrator(Follower(stage.reader, session_id))
    telling = asyncio.create_task(narrator.tell())
    try:
        yield narrator
    finally:
        # Told by a flag: a cancellation in the middle of a look at Redis can get lost.
        narrator.is_over = True
        await asyncio.wait({telling})
        error = telling.exception()
    if error is not None:
        raise error


async def _until(stage: Stage, session_id: str, what: str, holds: Callable[[Fields], bool]) -> None:
    async def came() -> bool:
        return holds(await stage.reader.session(session_id))

    if not await until(came, STEP_S):
        state = (await stage.reader.session(session_id)).get("state", "unknown")
        raise NotDoneError(f"{what} did not come within {STEP_S:g} s; the session is {state}")


async def _until_silent(phones: Phones) -> None:
    async def are_over() -> bool:
        return not await phones.live_calls()

    if not await until(are_over, STEP_S):
        raise NotDoneError("the session has ended, but calls are left")
