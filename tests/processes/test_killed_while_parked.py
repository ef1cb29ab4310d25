"""A worker killed with SIGKILL at each step of parking a call and of taking it up, whose successor finishes it."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from tests.flows.flow_helpers import TARGET, done, until_hears
from tests.flows.interruptions import Command, SmallSystem, small_world
from tests.processes.test_killed_in_transfer import AT_ONCE, around, commits, start
from tests.support.phones import answers

pytestmark = [pytest.mark.redis, pytest.mark.processes]
PARK: Sequence[Command] = (("park", {}), ("retrieve", {"to": TARGET}))

#: Of updates the first clears the flag; then come the hold and, when someone retrieves the call, the unhold.
IN_CONFERENCE = [
    ("after_read", 1, ""),
    *commits(1, 3),
    *around(*(("update_participant", nth) for nth in (1, 2, 3)), ("hang_up_call", 1), ("create_call", 1)),
]
FROM_BRIDGE = [*commits(1, 2), *around(("hang_up_call", 1), ("create_call", 1))]
#: A call that may have been placed is never placed again: its callbacks report it, or it counts as failed.
UNSENT = ("before_request", 1, "create_call")


async def play(redis_url: str, folder: Any, converted: bool, step: Any) -> tuple[str, ...]:
    """One story; returns who the customer talks to in the end, and what became of the commands."""
    point, nth, kind = step
    async with small_world(redis_url, workers=0, CONFERRAL_CONVERT_TIMEOUT=20) as system:
        with ExitStack() as processes:
            first = processes.enter_context(start(system, folder, "first", die_at=point, nth=nth, kind=kind))
            keys = system.keys
            await system.eventually(lambda: system.client.hexists(keys.lease(0), "holder"), "the first holds the lease")
            await system.eventually(lambda: system.client.hexists(keys.commands_lease, "holder"), "and the router's")
            second = processes.enter_context(start(system, folder, "second"))
            system.sandbox.phone(TARGET).script_in_turn(answers())
            cast = SmallSystem(system, *(await (system.converted() if converted else system.talking())))
            await cast.is_quiet()
            first.arm()
            for command, fields in PARK:
                await cast.give(command, **fields)
            assert first.was_killed, f"{first.text()}\n----\n{second.text()}"
            found = tuple(outcome.status for outcome in (await cast.answers()).values())
            if found[-1] == "failed":
                session = await system.until(cast.id, phase="parked")
                assert session["transfer.reason"] == "unknown"
                await until_hears(system, cast.customer, "music")
                await done(system, "retrieve", cast.id, to=TARGET)
            return await cast.company(), *found


@pytest.mark.soak
@pytest.mark.parametrize(
    "converted, steps",
    [
        pytest.param(True, IN_CONFERENCE, marks=pytest.mark.soak),
        pytest.param(False, FROM_BRIDGE, marks=pytest.mark.soak),
        (False, around(("create_call", 1))),
    ],
    ids=["conferenced", "bridged", "at-the-dial"],
)
async def test_successor_parks_and_retrieves_for_a_worker_that_was_killed_at_any_step(
    redis_server, tmp_path, converted, steps
):
    places = asyncio.Semaphore(AT_ONCE)

    async def one(step: Any) -> tuple[str, ...]:
        folder = tmp_path / "-".join(map(str, step))
        folder.mkdir()
        async with places:
            return await play(redis_server.url, folder, converted, step)

    found = dict(zip(steps, await asyncio.gather(*map(one, steps), return_exceptions=True), strict=True))
    assert found == {step: ("target", "done", "failed" if step == UNSENT else "done") for step in steps}
