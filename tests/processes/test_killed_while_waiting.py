"""A worker killed with SIGKILL at each step of the way into a conference from the start; its successor goes on.

Several such stories are played side by side, each in a world of its own with two workers.
"""

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from tests.flows.conference_starts import WAYS, opened
from tests.flows.flow_helpers import dials_to, everyone_is_gone, outcome_of
from tests.flows.interruptions import small_world
from tests.processes.test_killed_in_transfer import AT_ONCE, around, commits, start
from tests.support.local_system import AGENT
from tests.support.phones import answers, busy

pytestmark = [pytest.mark.redis, pytest.mark.processes]

#: Of events: the call, its join, then the other one's ringing, answer and join.
ON_THE_WAY = {
    "waiting": [*commits(1, 2, 4), *around(("create_participant", 1))],
    "client": [*commits(1, 3), *around(("create_participant", 1))],
    "call": [*commits(1, 3), *around(("create_call", 1), ("create_participant", 1))],
}
#: Of these, what is in every run.
USUAL = [*commits(2), *around(("create_participant", 1))]
#: The other one is busy.
ON_THE_WAY_OUT = {way: [*commits(3), *around(("say_and_hang_up", 1))] for way in WAYS}
#: A call that may have been placed is never placed again: one that was not has failed.
NOT_PLACED = ("before_request", 1, "create_call")


async def play(redis_url: str, folder: Any, way: str, step: Any, *, is_busy: bool) -> str:
    """One story; returns how it ended, once everyone is gone and no one was dialed twice."""
    point, nth, kind = step
    async with small_world(redis_url, workers=0, speed=5, CONFERRAL_CONVERT_TIMEOUT=20) as system:
        with ExitStack() as processes:
            first = processes.enter_context(start(system, folder, "first", die_at=point, nth=nth, kind=kind))
            keys = system.keys
            await system.eventually(lambda: system.client.hexists(keys.lease(0), "holder"), "the first holds the lease")
            await system.eventually(lambda: system.client.hexists(keys.commands_lease, "holder"), "and the router's")
            await system.eventually(lambda: system.client.hexists(keys.lease(0), "redis"), "and knows its Redis")
            second = processes.enter_context(start(system, folder, "second"))
            system.sandbox.phone(WAYS[way].phone).script_in_turn(busy() if is_busy else answers())
            first.arm()
            if step == NOT_PLACED:
                outcome = await system.command("call", "", agent=AGENT, customer="+14155550123", mode="conference")
                assert dials_to(system, AGENT) == 0
                await everyone_is_gone(system, outcome.session, outcome.reason)
                return outcome.reason
            opening = await opened(system, way)
            if not is_busy:
                leg = await opening.talks()
                leg.hang_up()
            ended = await opening.until(state="ended")
            await everyone_is_gone(system, opening.id, ended["end_reason"])
            assert first.was_killed, f"{first.text()}\n----\n{second.text()}"
            assert dials_to(system, opening.way.phone) == 1
            assert way != "call" or dials_to(system, AGENT) == 1
            called = await outcome_of(system, opening.command_id) if opening.command_id else None
            assert called is None or called.status == ("failed" if is_busy else "done")
            if is_busy:
                assert str(system.listening.whats(opening.waiter)[-1]).startswith("said We could not reach anybody.")
            return ended["end_reason"]


EXAMPLES = [
    pytest.param("waiting", False, USUAL, id="usual"),
    *(pytest.param(way, False, ON_THE_WAY[way], id=f"{way}-in", marks=pytest.mark.soak) for way in WAYS),
    *(pytest.param(way, True, ON_THE_WAY_OUT[way], id=f"{way}-out", marks=pytest.mark.soak) for way in WAYS),
]


@pytest.mark.parametrize("way, is_busy, steps", EXAMPLES)
async def test_successor_continues_with_the_waiting_party(redis_server, tmp_path, way, is_busy, steps):
    places = asyncio.Semaphore(AT_ONCE)

    async def one(step: Any) -> str:
        folder = tmp_path / "-".join(map(str, step))
        folder.mkdir()
        async with places:
            return await play(redis_server.url, folder, way, step, is_busy=is_busy)

    found = dict(zip(steps, await asyncio.gather(*map(one, steps), return_exceptions=True), strict=True))
    usual = f"{WAYS[way].awaited}-{'busy' if is_busy else 'left'}"
    assert found == {step: "agent-failed" if step == NOT_PLACED else usual for step in steps}
