"""Parked calls with everything at random, as in `test_transfer_races.py`: callbacks late, doubled or lost, people who
come and go, commands at every moment. Afterwards nobody is left in silence, alone or on hold.
"""

from random import Random

import pytest

from conferral.statemachine.events import Park, Retrieve
from conferral.statemachine.policy import Policy
from conferral.statemachine.states import Phase, State
from tests.statemachine.invariants import TIMER, check_conclusions, check_dials, check_moment, check_settled, fire
from tests.statemachine.phone_network import PhoneNetwork
from tests.statemachine.scenario import BOB, CAROL
from tests.statemachine.test_transfer_races import is_lossy, person

POLICIES = (Policy(), Policy(fallback="end"), Policy(fallback=CAROL), Policy(park_timeout_ms=2_000))


def command(network: PhoneNetwork, random: Random, number: int) -> None:
    if random.random() < 0.03:
        network.end(f"end-{number}")
    elif random.random() < 0.1:
        network.convert(f"convert-{number}")
    elif network.session.phase is Phase.PARKED:
        network.command(Retrieve, f"retrieve-{number}", to=BOB, confirm=random.random() < 0.3)
    else:
        network.command(Park, f"park-{number}")


def move(network: PhoneNetwork, random: Random, number: int, *, faults: bool) -> None:
    chance = random.random()
    if chance < 0.45 and network.owed:
        index = 0 if random.random() < 0.6 else random.randrange(len(network.owed))
        if faults and is_lossy(network.owed[index]) and random.random() < 0.1:
            network.owed.pop(index)
            return
        if faults and random.random() < 0.1:
            network.owed.append(network.owed[index])
        network.later(random.randrange(300)).deliver(index)
    elif chance < 0.75 and network.orders:
        result = random.choices(["done", "refused", "unknown", "done-unknown"], [20, 1, 1, 1])[0] if faults else "done"
        network.execute(result)
    elif chance < 0.87:
        person(network, random)
    elif chance < 0.93:
        command(network, random, number)
    elif network.next_timer():
        network.fires(TIMER[network.next_timer()])


def run(seed: int, *, faults: bool) -> None:
    random = Random(seed)
    network = PhoneNetwork(given=random.choice(POLICIES), is_outbound=random.random() < 0.3).connect()
    if random.random() < 0.5:
        network.convert("convert-0")
        if random.random() < 0.7:
            network.settle(fire(network))
    network.command(Park, "park-0")
    for number in range(1, 80):
        move(network, random, number, faults=faults)
        check_moment(network)
        if network.session.state is State.ENDED:
            break
    # A call that stays parked is parked for too long at last.
    assert network.settle(fire(network)), "it comes to no end"
    for name in network.ringing():
        network.answers(name)
        assert network.settle(fire(network)), "it comes to no end"
    assert network.session.phase is not Phase.PARKED
    check_moment(network)
    check_dials(network)
    check_conclusions(network)
    check_settled(network)


@pytest.mark.parametrize("seed", range(80))
@pytest.mark.parametrize("faults", [False, True], ids=["in order", "faults"])
def test_any_history_of_a_parked_call_comes_to_a_good_end(seed, faults):
    run(seed, faults=faults)
