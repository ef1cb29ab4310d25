"""What holds of a session over a `Network`: at every moment, and once everything that was owed has come."""

from collections import Counter
from collections.abc import Callable

from conferral.statemachine.effects import CreateCall, CreateParticipant
from conferral.statemachine.events import TIMERS
from conferral.statemachine.states import Phase, State, TransferStage, TransferStatus
from tests.statemachine.phone_network import PhoneNetwork

TIMER = {timer.timer: timer for timer in TIMERS}
FINAL = {"done", "failed", "rejected"}


def fire(network: PhoneNetwork) -> Callable[[str], object]:
    """What lets a timer of that network expire."""
    return lambda name: network.fires(TIMER[name])


# ---- what holds at every moment ----------------------------------------------------------------------------------


def check_moment(network: PhoneNetwork) -> None:
    session, transfer = network.session, network.session.transfer
    if session.state is State.ENDED:
        assert not session.timers
    else:
        assert session.timers
    if session.state is State.TRANSFERRING and session.phase is Phase.CONSULT and transfer is not None:
        apart = transfer.status is TransferStatus.CONSULTING
        if apart and transfer.stage in (TransferStage.TALKING, TransferStage.SWAPPING, TransferStage.SWAPPED):
            heard = [
                party.name
                for party in session.parties.values()
                if party.name in ("customer", "target") and party.in_conference and not party.held
            ]
            assert len(heard) < 2, "customer and target hear each other in a consult"


def check_dials(network: PhoneNetwork) -> None:
    """No one is dialed twice for one intent."""
    dials = [effect for effect in network.effects if isinstance(effect, CreateCall | CreateParticipant)]
    assert len({dial.effect_id for dial in dials}) == len(dials)
    for conclusion in network.outcome_records:
        if conclusion.kind != "transfer":
            continue
        most = Counter(conclusion.to.split(","))
        if network.policy.fallback not in ("recall", "end"):
            most[network.policy.fallback] += 1
        tried = Counter(attempt.to for attempt in conclusion.attempts if attempt.party.startswith("target"))
        assert tried <= most
        assert len(conclusion.attempts) - tried.total() <= network.policy.recalls_max
    attempted = sum(len(one.attempts) for one in network.outcome_records if one.kind == "transfer")
    running = network.session.transfer
    attempted += len(running.attempts) if running is not None and running.is_running else 0
    calls = 1 if network.is_outbound else 0
    assert attempted <= len(dials) - calls <= attempted + network.refused_numbers


def check_conclusions(network: PhoneNetwork) -> None:
    ids = [one.id for one in network.outcome_records]
    assert len(ids) == len(set(ids))
    assert (network.session.state is State.ENDED) == any(one.kind == "session" for one in network.outcome_records)


# ---- what holds once everything has come -------------------------------------------------------------------------


def check_settled(network: PhoneNetwork) -> None:
    session = network.session
    inside = [party for party in session.parties.values() if party.in_conference and not party.is_gone]
    held = {party.name for party in session.parties.values() if party.held and not party.is_gone}
    if session.state is State.ENDED:
        assert not network.talking(), "somebody is left on the line"
        assert not network.ringing(), "somebody's phone still rings"
    elif session.state is State.BRIDGED:
        assert network.is_bridged
    elif session.state is State.CONFERENCED:
        assert len(inside) >= 2, "somebody is alone"
        assert not held, "somebody is left on hold"
        assert {network._name_of(party.call_sid) for party in inside} == set(network.inside)
    else:
        assert session.state is State.TRANSFERRING
        assert session.transfer is not None
        assert session.transfer.stage is TransferStage.TALKING, "the transfer waits for nothing"
        assert {party.name for party in inside} == {"customer", "agent", "target"}
        apart = session.transfer.status is TransferStatus.CONSULTING
        assert len(held) == (1 if apart else 0)
        assert held <= {"customer", "target"}
    for name in network.talking():
        party = session.find_party(call_sid=network.legs[name].call_sid)
        assert party is not None, f"{name} is forgotten"
        assert not party.is_gone, f"{name} is left on the line"
    for command_id, reported in network.reports.items():
        finals = [status for status, _ in reported if status in FINAL]
        assert len(finals) == 1, f"{command_id} was told {reported}"
