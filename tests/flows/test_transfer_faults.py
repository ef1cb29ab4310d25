"""Twilio's answers go wrong or get lost in the middle of a consult and of a blind transfer, each request and callback.

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
PARTICIPANT, HANG_UP = "/Conferences/*/Participants/*", "/Calls/*"

FAULTS: dict[str, dict[str, Any]] = {
    "time-out-before": {"cut": "before"},
    "time-out-after": {"cut": "after"},
    "500": {"status": 500},
    "429": {"status": 429},
    "404": {"status": 404},
}
#: By name: the commands, whether the two are in a conference already, before which command the fault is ordered, and
#: the request that is hit.
REQUESTS: dict[str, tuple[Sequence[Command], bool, str, str, dict[str, str]]] = {
    "consult: clear the flag": (CONSULT, True, "transfer", PARTICIPANT, {"EndConferenceOnExit": "false"}),
    "consult: hold": (CONSULT, True, "transfer", PARTICIPANT, {"Hold": "true"}),
    "consult: dial": (CONSULT, True, "transfer", "/Conferences/*/Participants.json", {"To": TARGET}),
    "consult: hold for a swap": (CONSULT, True, "swap", PARTICIPANT, {"Hold": "true"}),
    "consult: unhold": (CONSULT, True, "swap", PARTICIPANT, {"Hold": "false", "EndConferenceOnExit": ""}),
    "consult: unhold to complete": (
        CONSULT,
        True,
        "complete",
        PARTICIPANT,
        {"Hold": "false", "EndConferenceOnExit": ""},
    ),
    "consult: hang the agent up": (CONSULT, True, "complete", HANG_UP, {"Status": "completed"}),
    "consult: set the flag": (CONSULT, True, "complete", PARTICIPANT, {"EndConferenceOnExit": "true"}),
    "blind: hang the agent up": (BLIND, False, "transfer", HANG_UP, {"Status": "completed"}),
    "blind: dial": (BLIND, False, "transfer", "/Conferences/*/Participants.json", {"To": TARGET}),
    "blind: dial to the gate": (GATED, False, "transfer", "/Calls.json", {"To": TARGET}),
    "blind from room: hold": (BLIND, True, "transfer", PARTICIPANT, {"Hold": "true"}),
    "blind from room: hang the agent up": (BLIND, True, "transfer", HANG_UP, {"Status": "completed"}),
    "blind from room: unhold": (BLIND, True, "transfer", PARTICIPANT, {"Hold": "false", "EndConferenceOnExit": ""}),
}


#: Dials that can't succeed: one that Twilio refuses, and one that is never resent because it can't be verified.
FAILURES: dict[tuple[str, str], Reported] = {
    ("404", "consult: dial"): ("agent", "failed", "rejected", "rejected", "failed", "failed"),
    ("404", "blind: dial"): ("recalled", "failed", "recalled", "failed"),
    ("404", "blind: dial to the gate"): ("recalled", "failed", "recalled", "failed"),
    ("time-out-before", "blind: dial to the gate"): ("recalled", "failed", "recalled", "unknown"),
    ("500", "blind: dial to the gate"): ("recalled", "failed", "recalled", "unknown"),
}


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


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_of_any_request_costs_time_or_fails_the_transfer_for_one_reason(redis_server, fault):
    def arming(path: str, params: dict[str, str]) -> Arm:
        return lambda faults: faults.next_rest("POST", path, **FAULTS[fault], **params)

    found = await play_all(
        {
            name: play(redis_server.url, plot, converted, before, arming(path, params))
            for name, (plot, converted, before, path, params) in REQUESTS.items()
        }
    )
    wanted = {name: FAILURES.get((fault, name)) or succeeded(plot) for name, (plot, *_) in REQUESTS.items()}
    assert found == wanted


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
