"""The same thing at every moment: someone hangs up, or a command comes, between any two steps of a transfer.

A scenario is what people and operators do. It is played over a `Network` one step at a time: an order carried out, a
callback delivered. At each step something interrupts, its callbacks delivered before all others or after them; then
the scenario goes on as far as it still can.
"""

from collections.abc import Callable, Iterator

import pytest

from conferral.statemachine.policy import Policy
from conferral.statemachine.states import State
from tests.statemachine.invariants import check_conclusions, check_dials, check_moment, check_settled, fire
from tests.statemachine.phone_network import PhoneNetwork
from tests.statemachine.scenario import BOB, CAROL

Act = Callable[[PhoneNetwork], object]


def answers(name: str) -> Act:
    return lambda network: name in network.ringing() and network.answers(name)


def declines(name: str) -> Act:
    return lambda network: name in network.ringing() and network.does_not_answer(name, "busy")


def hangs_up(name: str) -> Act:
    return lambda network: name in network.talking() and network.hangs_up(name)


def transfer(mode: str, *to: str, command_id: str = "transfer-1", **options: bool) -> Act:
    return lambda network: network.transfer(mode, *to, command_id=command_id, **options)


def gives(command: str, command_id: str = "") -> Act:
    return lambda network: getattr(network, command)(command_id or f"{command}-1")


#: Settings, where the two are when it begins (`room`, `bridge`, or the bridge of an outbound call), and what is done.
SCENARIOS: dict[str, tuple[Policy, str, tuple[Act, ...]]] = {
    "warm": (Policy(), "room", (transfer("warm"), answers("target"), gives("complete"))),
    "warm-from-bridge": (Policy(), "bridge", (transfer("warm"), answers("target"), gives("complete"))),
    "warm-cancelled": (Policy(), "room", (transfer("warm"), answers("target"), gives("cancel"))),
    "warm-busy": (Policy(), "room", (transfer("warm"), declines("target"))),
    "warm-gated": (Policy(), "room", (transfer("warm", confirm=True), answers("target"), gives("complete"))),
    "warm-several": (
        Policy(), "room", (transfer("warm", BOB, CAROL), answers("target-2"), answers("target-1"), gives("complete")),
    ),
    "consult": (Policy(), "room", (transfer("consult"), answers("target"), gives("complete"))),
    "consult-swap-merge": (
        Policy(), "room",
        (transfer("consult"), answers("target"), gives("swap"), gives("swap", "swap-2"), gives("merge"),
         gives("complete")),
    ),
    "consult-early-complete": (Policy(), "room", (transfer("consult"), gives("complete"), answers("target"))),
    "blind": (Policy(), "room", (transfer("blind"), answers("target"))),
    "blind-from-bridge": (Policy(), "bridge", (transfer("blind"), answers("target"))),
    "blind-recalled": (Policy(), "bridge", (transfer("blind"), declines("target"), answers("agent"))),
    "blind-fallback": (Policy(fallback=CAROL), "room", (transfer("blind"), declines("target"), answers("target"))),
    "blind-end": (Policy(fallback="end"), "room", (transfer("blind"), declines("target"))),
    "outbound-warm": (Policy(), "outbound", (transfer("warm"), answers("target"), gives("complete"))),
    "outbound-blind": (Policy(), "outbound", (transfer("blind"), answers("target"))),
    "outbound-recalled": (Policy(), "outbound", (transfer("blind"), declines("target"), answers("agent"))),
    "two-transfers": (
        Policy(), "room",
        (transfer("warm"), answers("target"), gives("complete"), transfer("blind", CAROL, command_id="transfer-2"),
         answers("target")),
    ),
}  # fmt: skip
BETWEEN: dict[str, Act] = {
    "customer-hangs-up": hangs_up("customer"),
    "agent-hangs-up": hangs_up("agent"),
    "target-hangs-up": hangs_up("target"),
    "target-declines": declines("target"),
    "complete": gives("complete", "late"),
    "cancel": gives("cancel", "late"),
    "second-transfer": transfer("blind", CAROL, command_id="late"),
    "end": gives("end", "late"),
}
#: What is done by people; the rest are commands, which arrive at once.
PEOPLE = ("customer", "agent", "target")


def begin(name: str) -> tuple[PhoneNetwork, tuple[Act, ...]]:
    """A scenario's first moment, and what is to be done in it."""
    policy, place, acts = SCENARIOS[name]
    network = PhoneNetwork(given=policy, is_outbound=place == "outbound").connect()
    if place == "room":
        network.convert("convert-0")
        network.settle(fire(network))
    return network, acts


def advance(network: PhoneNetwork, acts: tuple[Act, ...]) -> tuple[Act, ...]:
    """One step of a scenario: deliver pending callbacks, perform requested effects, then the next act."""
    if network.owed:
        network.deliver()
    elif network.orders:
        network.execute()
    else:
        acts[0](network)
        acts = acts[1:]
    check_moment(network)
    return acts


def play(network: PhoneNetwork, acts: tuple[Act, ...]) -> Iterator[tuple[PhoneNetwork, tuple[Act, ...]]]:
    """The moments of a scenario, each with what is still to be done."""
    while acts or network.owed or network.orders:
        acts = advance(network, acts)
        yield network, acts


def finish(network: PhoneNetwork, acts: tuple[Act, ...] = ()) -> None:
    """The rest of it, and all that is owed; then no one is left in silence, alone or on hold."""
    for _ in play(network, acts):
        pass
    assert network.settle(fire(network)), "it comes to no end"
    check_dials(network)
    check_conclusions(network)
    check_settled(network)


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_by_itself(name):
    network, acts = begin(name)
    finish(network, acts)
    assert network.session.state is (State.ENDED if name == "blind-end" else State.CONFERENCED)
    assert [one.kind for one in network.outcome_records].count("transfer") == (2 if name == "two-transfers" else 1)


def check_between(name: str, between: str, *, reported_first: bool = False) -> None:
    moments = 0
    for moment, acts in play(*begin(name)):
        moments += 1
        network = moment.fork()
        owed_before = len(network.owed)
        if BETWEEN[between](network) is False:
            continue  # no one is there to do it: what follows is the scenario by itself
        if reported_first:
            if not owed_before:
                continue  # first and last are one
            network.owed = network.owed[owed_before:] + network.owed[:owed_before]
        finish(network, acts)
        if between == "end":
            assert network.session.end_reason in ("command", "transfer-failed")
        if between == "customer-hangs-up":
            assert network.session.end_reason in ("customer-left", "transfer-failed")
    assert moments > 10


@pytest.mark.parametrize("between", [one for one in BETWEEN if one.startswith(PEOPLE)])
@pytest.mark.parametrize("name", SCENARIOS)
def test_party_may_leave_at_any_moment_and_be_reported_last(name, between):
    check_between(name, between)


@pytest.mark.parametrize("between", [one for one in BETWEEN if one.startswith(PEOPLE)])
@pytest.mark.parametrize("name", SCENARIOS)
def test_party_may_leave_at_any_moment_and_be_reported_first(name, between):
    check_between(name, between, reported_first=True)


@pytest.mark.parametrize("between", [one for one in BETWEEN if not one.startswith(PEOPLE)])
@pytest.mark.parametrize("name", SCENARIOS)
def test_command_that_comes_at_any_moment(name, between):
    check_between(name, between)
