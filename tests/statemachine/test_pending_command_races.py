"""Commands over a network whose callbacks come in any order, doubled, late or lost: each command has an end, no one is
left alone, and once everyone hangs up it is over.
"""

from random import Random

import pytest

from conferral.statemachine.events import AnnouncementEnded, CallProgressed, CallsRead, EffectOutcome, Event
from conferral.statemachine.guards.waiting_party import present_parties
from conferral.statemachine.states import Phase, State
from tests.statemachine.command_scenarios import CHIEF, LAWYER
from tests.statemachine.invariants import FINAL, TIMER, check_conclusions
from tests.statemachine.phone_network import PhoneNetwork
from tests.statemachine.scenario import BOB, CAROL
from tests.statemachine.test_pending_command_histories import check_orders

COMMANDS = ("add", "remove", "hold", "hold", "mute", "unhold", "unmute", "supervise", "announce", "record")
MODES = ("warm", "consult", "blind")
STEPS = ("complete", "cancel", "swap", "merge", "convert")


def transfer_command(network: PhoneNetwork, random: Random, number: int) -> None:
    transferring = network.session.transfer is not None and network.session.transfer.is_running
    if random.random() < (0.1 if transferring else 0.9):
        to = random.choice([(BOB,), (BOB, CAROL)])
        options = random.choice([{}, {}, {"confirm": True}])
        network.transfer(random.choice(MODES), *to, command_id=f"transfer-{number}", **options)
    elif random.random() < 0.03:
        network.end(f"end-{number}")
    else:
        getattr(network, random.choice(STEPS))(f"step-{number}")


def command(network: PhoneNetwork, random: Random, number: int) -> None:
    match random.choice(COMMANDS):
        case "add":
            options = random.choice([{}, {}, {"confirm": True}])
            network.add(random.choice(["lawyer", "expert"]), f"order-{number}", to=LAWYER, **options)
        case "supervise":
            network.supervise(random.choice(["monitor", "whisper", "barge"]), f"order-{number}", to=CHIEF)
        case "announce":
            network.announce(f"order-{number}")
        case "record":
            network.record(random.choice(["start", "pause", "resume", "stop"]), f"order-{number}")
        case "remove" if random.random() < 0.6:
            network.remove(random.choice(list(network.session.parties)[1:]), f"order-{number}")
        case command:
            getattr(network, command)(random.choice(list(network.session.parties)), f"order-{number}")


def is_lossy(event: Event) -> bool:
    """Whether a callback may get lost: a party's end has two, and an announcement's has no substitute."""
    if isinstance(event, CallProgressed):
        return not event.is_final
    return not isinstance(event, EffectOutcome | CallsRead | AnnouncementEnded)


def move(network: PhoneNetwork, random: Random, number: int, *, faults: bool) -> None:
    chance = random.random()
    if network.owed and chance < 0.45:
        index = random.randrange(min(3, len(network.owed)))
        if faults and is_lossy(network.owed[index]) and random.random() < 0.1:
            network.owed.pop(index)
            return
        network.deliver(index)
    elif network.orders and chance < 0.7:
        network.execute(random.choice(["done"] * 9 + ["refused", "unknown", "done-unknown"]) if faults else "done")
    elif 0.7 < chance < 0.74 and network.next_timer():
        network.fires(TIMER[network.next_timer()])
    elif 0.74 < chance < 0.9 and network.ringing():
        name = random.choice(network.ringing())
        if random.random() < 0.75:
            network.answers(name)
        else:
            network.does_not_answer(name, random.choice(["busy", "no-answer"]))
    elif 0.9 < chance < 0.906 and network.talking():
        network.hangs_up(random.choice(network.talking()))
    elif 0.91 < chance < 0.99:
        command(network, random, number)
    elif chance > 0.99:
        transfer_command(network, random, number)


def check_moment(network: PhoneNetwork) -> None:
    assert network.session.timers or network.session.state is State.ENDED
    check_orders(network.session)


def check_end(network: PhoneNetwork) -> None:
    """Everything that was owed has come."""
    session = network.session
    if session.state is State.ENDED:
        assert not network.talking(), "somebody is left on the line"
        assert not network.ringing(), "somebody's phone still rings"
        for command_id, reported in network.reports.items():
            assert len([status for status, _ in reported if status in FINAL]) == 1, f"{command_id} was told {reported}"
    elif session.state is State.CONFERENCED and session.phase is Phase.NONE:
        assert len(present_parties(session)) >= 2, "somebody is alone"
        for party in present_parties(session):
            leg = network.legs.of_call(party.call_sid)
            assert (party.held, party.muted) == (leg.held, leg.muted), "it is not known who hears whom"
            assert (party.held, party.muted) == (party.desired_hold, party.desired_mute), "it is not as wanted"
    assert session.pending_commands == (), "a command has no end"


def settle(network: PhoneNetwork) -> None:
    """Delivers everything; a phone that still rings is not answered in the end."""
    for _ in range(4):
        assert network.settle(lambda name: network.fires(TIMER[name]), steps=600), "it comes to no end"
        for name in network.ringing():
            network.does_not_answer(name, "no-answer")
    assert network.settle(lambda name: network.fires(TIMER[name]), steps=600), "it comes to no end"


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("faults", [False, True], ids=["in any order", "with losses"])
def test_orders_come_to_a_good_end(seed, faults):
    random = Random(f"{seed}-{faults}")
    network = PhoneNetwork(is_outbound=seed % 3 == 2).connect()
    if seed % 4:
        network.convert("convert-0")
    for number in range(random.choice([100, 250])):
        move(network, random, number, faults=faults)
        check_moment(network)
    settle(network)
    check_dials_of_orders(network)
    check_conclusions(network)
    check_end(network)
    while network.talking():
        network.hangs_up(network.talking()[0])
    settle(network)
    assert network.session.state is State.ENDED
    check_end(network)


def check_dials_of_orders(network: PhoneNetwork) -> None:
    ids = [effect.effect_id for effect in network.effects if hasattr(effect, "timeout_s")]
    assert len(ids) == len(set(ids))
