"""What can come in any order, comes in any order: the calls of a network are true at once and told at random.

`Network` carries out what the machine orders and owes it the callbacks. People answer, refuse and hang up, Twilio
refuses or leaves in doubt, callbacks are late, doubled or lost, commands come at every moment. Afterwards everything
that is still owed comes: then nobody may be left in silence, alone or on hold, and every command has its answer.
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conferral.statemachine.events import CallProgressed, CallsRead, EffectOutcome, Event
from conferral.statemachine.policy import Policy
from conferral.statemachine.states import State
from tests.statemachine.invariants import TIMER, check_conclusions, check_dials, check_moment, check_settled, fire
from tests.statemachine.phone_network import PhoneNetwork
from tests.statemachine.scenario import BOB, CAROL

POLICIES = (Policy(), Policy(fallback="end"), Policy(fallback=CAROL), Policy(shows_customer_number=True))
MODES = ("warm", "consult", "blind")
STEPS = ("complete", "cancel", "swap", "merge", "convert")


def person(network: PhoneNetwork, random: Random) -> None:
    """Somebody picks up, refuses or hangs up."""
    ringing, talking = network.ringing(), network.talking()
    if ringing and random.random() < 0.7:
        name = random.choice(ringing)
        if random.random() < 0.7:
            network.answers(name)
        else:
            network.does_not_answer(name, random.choice(["busy", "no-answer", "failed"]))
    elif talking and random.random() < 0.03:
        network.hangs_up(random.choice(talking))


def command(network: PhoneNetwork, random: Random, number: int) -> None:
    transferring = network.session.transfer is not None and network.session.transfer.is_running
    if random.random() < (0.1 if transferring else 0.9):
        to = random.choice([(BOB,), (BOB, CAROL)])
        options = random.choice([{}, {}, {"confirm": True}])
        network.transfer(random.choice(MODES), *to, command_id=f"transfer-{number}", **options)
    elif random.random() < 0.03:
        network.end(f"end-{number}")
    else:
        getattr(network, random.choice(STEPS))(f"step-{number}")


def is_lossy(event: Event) -> bool:
    """Whether a callback may get lost. Of somebody's end there are two; with both lost only a sweep finds it."""
    if isinstance(event, CallProgressed):
        return not event.is_final
    return not isinstance(event, EffectOutcome | CallsRead)


def move(network: PhoneNetwork, random: Random, number: int, *, faults: bool) -> None:
    """One thing happens, whatever it is."""
    chance = random.random()
    if chance < 0.45 and network.owed:
        index = 0 if random.random() < 0.6 else random.randrange(len(network.owed))
        lossy = faults and is_lossy(network.owed[index])
        if lossy and random.random() < 0.1:
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
    elif chance < 0.95:
        command(network, random, number)
    elif network.next_timer():
        network.fires(TIMER[network.next_timer()])


def run(seed: int, *, faults: bool, moves: int = 80) -> PhoneNetwork:
    random = Random(seed)
    network = PhoneNetwork(given=random.choice(POLICIES), is_outbound=random.random() < 0.3).connect()
    if random.random() < 0.6:
        network.convert("convert-0")
        network.settle(fire(network))
    for number in range(moves):
        move(network, random, number, faults=faults)
        check_moment(network)
        if network.session.state is State.ENDED:
            break
    assert network.settle(fire(network)), "it comes to no end"
    for name in network.ringing():
        # Of whom nobody knows: as soon as he picks up, he is heard of.
        network.answers(name)
        assert network.settle(fire(network)), "it comes to no end"
    check_moment(network)
    check_dials(network)
    check_conclusions(network)
    check_settled(network)
    return network


@pytest.mark.parametrize("seed", range(100))
def test_any_order_of_callbacks_comes_to_a_good_end(seed):
    run(seed, faults=False)


@pytest.mark.parametrize("seed", range(100))
def test_any_loss_and_doubt_comes_to_a_good_end(seed):
    run(seed, faults=True)


@given(st.integers(min_value=1_000), st.booleans())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_history_of_a_transfer_comes_to_a_good_end(seed, faults):
    run(seed, faults=faults)
