"""Any one callback of a consult or a blind transfer is lost; exploration fails each request as well.

Whatever happens, each command has one answer, no one is dialed twice, and the customer never hears the consult. A lost
`participant-leave` of a settled conference is not covered here: no transfer is left that would read it.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from conferral.sandbox.faults import Faults
from tests.flows.flow_helpers import TARGET
from tests.flows.small_systems import BLIND, Command, SmallSystem, side_by_side, small_world
from tests.support.local_system import AGENT, NUMBER

pytestmark = pytest.mark.redis

CONSULT: Sequence[Command] = (("transfer", {"to": TARGET, "mode": "consult"}), ("swap", {}), ("complete", {}))
GATED: Sequence[Command] = (("transfer", {"to": TARGET, "mode": "blind", "brief": "Hello."}),)
#: Who the customer talks to in the end, what became of each command, the transfer's result and its reason.
Reported = tuple[str, ...]
Arm = Callable[[Faults], None]
#: Worlds that are played side by side (count).
AT_ONCE = 8


async def play(
    redis_url: str, plot: Sequence[Command], converted: bool, before: str, arm: Arm, **policy: int
) -> Reported:
    """The story with a fault that is ordered right before that command; returns what became of it."""
    system = small_world(redis_url, policy={"hold_timeout_ms": 3_000, **policy})
    async with system:
        system.answered_by(TARGET)
        cast = SmallSystem(system, *(await (system.converted() if converted else system.talking())))
        await cast.is_quiet()
        for kind, fields in plot:
            if kind == before:
                arm(system.sandbox.faults)
            await cast.give(kind, **fields)
        company = await cast.company()
        assert not system.sandbox.faults.pending_count(), "the fault has not happened"
        assert plot is not CONSULT or cast.customer_never_heard_the_consult()
        found = await cast.answers()
        return company, *(outcome.status for outcome in found.values()), *await cast.published()


async def play_all(stories: dict[str, Coroutine[Any, Any, Reported]]) -> dict[str, Reported | BaseException]:
    """Many stories side by side."""
    return dict(zip(stories, await side_by_side(stories.values(), AT_ONCE), strict=True))


def succeeded(plot: Sequence[Command]) -> Reported:
    """What becomes of a story that goes well."""
    return "target", *("done" for _ in plot), "completed", ""


@pytest.mark.parametrize("plot, converted, lost", [
    (CONSULT, True, [
        ("participant-modify", "agent-1"), ("participant-modify", "target-1"),
        ("participant-hold", "customer-1"), ("participant-hold", "target-1"), ("participant-unhold", "customer-1"),
        ("participant-unhold", "target-1"), ("participant-join", "target-1"), ("participant-leave", "agent-1"),
        ("initiated", "target"), ("ringing", "target"), ("answered", "target"), ("completed", "target"),
        ("completed", "agent"), ("completed", "customer"), ("conference-end", ""),
    ]),
    (CONSULT, False, [("participant-join", "customer-1"), ("participant-join", "agent-1"), ("conference-start", "")]),
    (BLIND, False, [
        ("completed", "agent"), ("participant-join", "customer-1"), ("participant-join", "target-1"),
        ("answered", "target"), ("conference-start", ""), ("conference-end", ""),
    ]),
    (GATED, False, [("answered", "target"), ("participant-join", "target-1"), ("completed", "target")]),
    (BLIND, True, [
        ("participant-hold", "customer-1"), ("participant-unhold", "customer-1"), ("completed", "agent"),
        ("participant-leave", "agent-1"),
    ]),
], ids=["consult", "consult-from-bridge", "blind", "blind-gated", "blind-from-room"])  # fmt: skip
async def test_transfer_comes_to_its_end_though_any_one_callback_is_lost(redis_server, plot, converted, lost):
    """Timers and reads replace it."""

    def arming(event: str, who: str) -> Arm:
        of_call = {"target": {"To": TARGET}, "agent": {"To": AGENT}, "customer": {"To": NUMBER}}
        params = of_call.get(who) or ({"ParticipantLabel": who} if who else {})
        return lambda faults: faults.lose_callbacks(event, **params)

    found = await play_all(
        {
            f"{event} {who}": play(
                redis_server.url, plot, converted, "transfer", arming(event, who), ring_timeout_ms=1_000
            )
            for event, who in lost
        }
    )
    assert found == {f"{event} {who}": succeeded(plot) for event, who in lost}
