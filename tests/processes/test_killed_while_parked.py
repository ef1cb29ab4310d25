"""A worker killed with SIGKILL at each step of parking a call and of taking it up, whose successor finishes it."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.flows.flow_helpers import TARGET
from tests.processes.small_systems import Command, SmallSystem
from tests.processes.test_killed_in_transfer import around, at_each_step, commits, doomed

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
    async with doomed(redis_url, folder, step) as (system, first):
        system.answered_by(TARGET)
        cast = SmallSystem(system, *(await (system.converted() if converted else system.talking())))
        await cast.is_quiet()
        first.arm()
        for command, fields in PARK:
            await cast.give(command, **fields)
        found = tuple(outcome.status for outcome in (await cast.answers()).values())
        if found[-1] == "failed":
            session = await system.until(cast.id, phase="parked")
            assert session["transfer.reason"] == "unknown"
            await system.until_hears(cast.customer, "music")
            await system.done("retrieve", cast.id, to=TARGET)
        return await cast.company(), *found


@pytest.mark.soak
@pytest.mark.parametrize(
    "converted, steps",
    [
        (True, IN_CONFERENCE),
        (False, FROM_BRIDGE),
        (False, around(("create_call", 1))),
    ],
    ids=["conferenced", "bridged", "at-the-dial"],
)
async def test_successor_parks_and_retrieves_for_a_worker_that_was_killed_at_any_step(
    redis_server, tmp_path, converted, steps
):
    found = await at_each_step(lambda folder, step: play(redis_server.url, folder, converted, step), tmp_path, steps)
    assert found == {step: ("target", "done", "failed" if step == UNSENT else "done") for step in steps}
