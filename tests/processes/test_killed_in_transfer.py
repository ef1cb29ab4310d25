"""A worker killed with SIGKILL at each step of a consult and of a blind transfer, whose successor finishes it.

Several such stories are played side by side, each in a world of its own with two workers.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

import pytest

from conferral.worker.process import make_policy
from tests.flows.flow_helpers import TARGET
from tests.processes.small_systems import BLIND, CONSULT, Command, SmallSystem, side_by_side, small_world
from tests.support.forked_worker import ForkedWorker
from tests.support.local_system import FAST, LocalSystem

pytestmark = [pytest.mark.redis, pytest.mark.processes]
LEASE_MS = 1_000
GATED: Sequence[Command] = (("transfer", {"to": TARGET, "mode": "blind", "brief": "Hello."}),)
#: Longer than a take-over: what is waited for is late here because a worker is gone, not because Twilio is slow.
PATIENT = {"hold_timeout_ms": 10_000, "ringback_timeout_ms": 10_000}


def around(*requests: tuple[str, int]) -> list[tuple[str, int, str]]:
    """Right before and right after requests of these kinds and numbers."""
    return [(point, nth, kind) for kind, nth in requests for point in ("before_request", "after_request")]


def commits(*numbers: int) -> list[tuple[str, int, str]]:
    """Right before and right after these commits, counted from the transfer on."""
    return [(point, nth, "") for nth in numbers for point in ("before_commit", "after_commit")]


#: Of updates the first clears the flag; then come the hold, the swap's hold and its unhold.
IN_CONSULT = [
    ("after_read", 1, ""),
    *commits(1, 6),
    *around(*(("update_participant", nth) for nth in range(1, 5)), ("create_participant", 1), ("hang_up_call", 1)),
]
IN_BLIND = [*commits(1, 3), *around(("hang_up_call", 1), ("create_participant", 1))]
IN_BLIND_FROM_CONFERENCE = [*commits(2), *around(*(("update_participant", nth) for nth in (2, 3)), ("hang_up_call", 1))]
IN_GATED = [*commits(2), *around(("create_call", 1))]


#: A call that may have been placed is never placed again: its callbacks report it, or it counts as failed.
FAILURES: dict[Any, tuple[str, ...]] = {("before_request", 1, "create_call"): ("recalled", "failed", "recalled")}


def start(system: LocalSystem, folder: Any, name: str, **doom: Any) -> ForkedWorker:
    policy = asdict(replace(make_policy(system.settings), **(FAST | PATIENT)))
    return ForkedWorker(system, folder, name, lease_ms=LEASE_MS, policy=policy, **doom)


@asynccontextmanager
async def doomed(
    redis_url: str, folder: Any, step: Any, **options: Any
) -> AsyncIterator[tuple[LocalSystem, ForkedWorker]]:
    """A world in which a worker holds everything and, once it is armed, dies at that step; a second one is there."""
    point, nth, kind = step
    async with small_world(redis_url, workers=0, CONFERRAL_CONVERT_TIMEOUT=20, **options) as system:
        with start(system, folder, "first", die_at=point, nth=nth, kind=kind) as first:
            await system.eventually(system.all_held, "the first holds every lease")
            await system.eventually(
                lambda: system.client.hexists(system.keys.lease(0), "server"), "and knows its Redis"
            )
            with start(system, folder, "second") as second:
                yield system, first
                assert first.was_killed, f"{first.text()}\n----\n{second.text()}"


async def at_each_step(play: Callable[[Any, Any], Awaitable[Any]], folder: Any, steps: Sequence[Any]) -> dict[Any, Any]:
    """Plays a story, which gets a folder of its own and the step, for each of the steps; returns what came of it."""
    folders = [folder / "-".join(map(str, step)) for step in steps]
    for one in folders:
        one.mkdir()
    return dict(zip(steps, await side_by_side(map(play, folders, steps)), strict=True))


async def play(redis_url: str, folder: Any, plot: Sequence[Command], converted: bool, step: Any) -> tuple[str, ...]:
    """One story; returns who the customer talks to, what became of the commands, and the transfer's result."""
    async with doomed(redis_url, folder, step) as (system, first):
        system.answered_by(TARGET)
        cast = SmallSystem(system, *(await (system.converted() if converted else system.talking())))
        await cast.is_quiet()
        first.arm()
        for command, fields in plot:
            await cast.give(command, **fields)
        company = await cast.company()
        assert plot is not CONSULT or cast.customer_never_heard_the_consult()
        found = [outcome.status for outcome in (await cast.answers()).values()]
        return company, *found, (await cast.published())[0]


@pytest.mark.soak
@pytest.mark.parametrize(
    "plot, converted, steps",
    [
        (CONSULT, True, IN_CONSULT),
        (BLIND, False, IN_BLIND),
        (BLIND, True, IN_BLIND_FROM_CONFERENCE),
        (GATED, False, IN_GATED),
    ],
    ids=["consult", "blind-from-bridge", "blind-from-room", "blind-gated"],
)
async def test_successor_finishes_the_transfer_of_a_worker_that_was_killed_at_any_step(
    redis_server, tmp_path, plot, converted, steps
):
    found = await at_each_step(
        lambda folder, step: play(redis_server.url, folder, plot, converted, step), tmp_path, steps
    )
    assert found == {step: FAILURES.get(step, ("target", *("done" for _ in plot), "completed")) for step in steps}
