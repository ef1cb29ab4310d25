"""What can come in any order, comes in any order: the calls of a network are true at once and told at random.

`Network` carries out what the machine orders and owes it the callbacks. People answer, refuse and hang up, Twilio
refuses or leaves in doubt, callbacks are late, doubled or lost, commands come at every moment. Afterwards everything
that is still owed comes: then nobody may be left in silence, alone or on hold, and every command has its answer.
"""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statemachine.effects import CreateCall, CreateParticipant
from statemachine.events import TIMERS, CallProgressed, CallsRead, EffectOutcome, Event
from statemachine.policy import Policy
from statemachine.states import Phase, Stage, State, TransferStatus
from tests.statemachine.network import Network
from tests.statemachine.story import BOB, CAROL

POLICIES = (Policy(), Policy(fallback="end"), Policy(fallback=CAROL), Policy(confirm_phones=True))
TIMER = {timer.timer: timer for timer in TIMERS}
FINAL = {"done", "failed", "rejected"}
MODES = ("warm", "consult", "blind")
STEPS = ("complete", "cancel", "swap", "merge", "convert")


def fire(network: Network):
    return lambda name: network.fires(TIMER[name])


def person(network: Network, random: Random) -> None:
    """Somebody picks up, refuses or hangs up."""
    ringing, talking = network.ringing(), network.talking()
    if ringing and random.random() < 0.7:
        name = random.choice(ringing)
        if random.random() < 0.7:
            network.answers(name)
        else:
            network.does_not_answer(name, random.choice(["busy", "no-answer", "failed"]))
    elif talking and random.random() < 0.06:
        network.hangs_up(random.choice(talking))


def command(network: Network, random: Random, number: int) -> None:
    transferring = network.session.transfer is not None and network.session.transfer.runs
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


def move(network: Network, random: Random, number: int, *, faults: bool) -> None:
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


# ---- what holds at every moment ----------------------------------------------------------------------------------


def check_moment(network: Network) -> None:
    session, transfer = network.session, network.session.transfer
    if session.state is State.ENDED:
        assert not session.timers
    else:
        assert session.timers
    if session.state is State.TRANSFERRING and session.phase is Phase.CONSULT and transfer is not None:
        apart = transfer.status is TransferStatus.CONSULTING
        if apart and transfer.stage in (Stage.TALKING, Stage.SWAPPING, Stage.SWAPPED):
            heard = [
                party.name
                for party in session.parties.values()
                if party.name in ("customer", "target") and party.in_room and not party.held
            ]
            assert len(heard) < 2, "customer and target hear each other in a consult"


def check_dials(network: Network) -> None:
    """Nobody is dialled twice for one intent."""
    dials = [effect for effect in network.effects if isinstance(effect, CreateCall | CreateParticipant)]
    assert len({dial.effect_id for dial in dials}) == len(dials)
    for conclusion in network.conclusions:
        if conclusion.kind != "transfer":
            continue
        most = Counter(conclusion.to.split(","))
        if network.policy.fallback not in ("recall", "end"):
            most[network.policy.fallback] += 1
        tried = Counter(attempt.to for attempt in conclusion.attempts if attempt.party.startswith("target"))
        assert tried <= most
        assert len(conclusion.attempts) - tried.total() <= network.policy.recalls_max
    attempted = sum(len(one.attempts) for one in network.conclusions if one.kind == "transfer")
    running = network.session.transfer
    attempted += len(running.attempts) if running is not None and running.runs else 0
    assert attempted == len(dials)


def check_conclusions(network: Network) -> None:
    ids = [one.id for one in network.conclusions]
    assert len(ids) == len(set(ids))
    assert (network.session.state is State.ENDED) == any(one.kind == "session" for one in network.conclusions)


# ---- what holds once everything has come -------------------------------------------------------------------------


def check_settled(network: Network) -> None:
    session = network.session
    inside = [party for party in session.parties.values() if party.in_room and not party.is_gone]
    held = {party.name for party in session.parties.values() if party.held and not party.is_gone}
    if session.state is State.ENDED:
        assert not network.talking(), "somebody is left on the line"
        assert not network.ringing(), "somebody's phone still rings"
    elif session.state is State.BRIDGED:
        assert network.is_bridged
    elif session.state is State.CONFERENCED:
        assert len(inside) >= 2, "somebody is alone"
        assert not held, "somebody is left on hold"
        assert {network._name_of(network.legs.of_call(party.call_sid)) for party in inside} == set(network.inside)
    else:
        assert session.state is State.TRANSFERRING
        assert session.transfer is not None
        assert session.transfer.stage is Stage.TALKING, "the transfer waits for nothing"
        assert {party.name for party in inside} == {"customer", "agent", "target"}
        apart = session.transfer.status is TransferStatus.CONSULTING
        assert len(held) == (1 if apart else 0)
        assert held <= {"customer", "target"}
    for name in network.talking():
        party = session.party_of(call_sid=network.legs[name].call_sid)
        assert party is not None, f"{name} is forgotten"
        assert not party.is_gone, f"{name} is left on the line"
    for command_id, told in network.reports.items():
        finals = [status for status, _ in told if status in FINAL]
        assert len(finals) == 1, f"{command_id} was told {told}"


def run(seed: int, *, faults: bool, moves: int = 60) -> Network:
    random = Random(seed)
    network = Network(given=random.choice(POLICIES)).connect()
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


@pytest.mark.parametrize("seed", range(150))
def test_any_order_of_callbacks_comes_to_a_good_end(seed):
    run(seed, faults=False)


@pytest.mark.parametrize("seed", range(150))
def test_any_loss_and_doubt_comes_to_a_good_end(seed):
    run(seed, faults=True)


@given(st.integers(min_value=1_000), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_history_of_a_transfer_comes_to_a_good_end(seed, faults):
    run(seed, faults=faults)
