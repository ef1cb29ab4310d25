"""A worker killed with SIGKILL at each step of the way into a conference from the start; its successor goes on.

Several such stories are played side by side, each in a world of its own with two workers.
"""

from typing import Any

import pytest

from tests.flows.conference_starts import WAYS, opened
from tests.processes.test_killed_in_transfer import around, at_each_step, commits, doomed
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
    async with doomed(redis_url, folder, step, speed=5) as (system, first):
        system.sandbox.phone(WAYS[way].phone).script_in_turn(busy() if is_busy else answers())
        first.arm()
        if step == NOT_PLACED:
            outcome = await system.command("call", "", agent=AGENT, customer="+14155550123", mode="conference")
            assert system.dials_to(AGENT) == 0
            await system.everyone_is_gone(outcome.session, outcome.reason)
            return outcome.reason
        opening = await opened(system, way)
        if not is_busy:
            leg = await opening.talks()
            leg.hang_up()
        ended = await opening.until(state="ended")
        await system.everyone_is_gone(opening.id, ended["end_reason"])
        assert system.dials_to(opening.way.phone) == 1
        assert way != "call" or system.dials_to(AGENT) == 1
        called = await system.outcome_of(opening.command_id) if opening.command_id else None
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
    found = await at_each_step(
        lambda folder, step: play(redis_server.url, folder, way, step, is_busy=is_busy), tmp_path, steps
    )
    usual = f"{WAYS[way].awaited}-{'busy' if is_busy else 'left'}"
    assert found == {step: "agent-failed" if step == NOT_PLACED else usual for step in steps}
