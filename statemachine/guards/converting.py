"""Questions about a conversion under way."""

from conferral.statemachine.events import CallProgressed, DialEnded, Event, ParticipantLeft
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER
from conferral.statemachine.states import TransferMode


def is_too_soon(scratch: Scratch, _event: Event) -> bool:
    """Whether a leg was moved so lately that it may still be on its way."""
    moved_at_ms = scratch.session.moved_at_ms
    return bool(moved_at_ms) and scratch.now_ms - moved_at_ms < scratch.policy.settle_ms


def has_moved_nobody(scratch: Scratch, _event: Event) -> bool:
    """Whether nothing says that a leg has left the bridge, so that the two talk as before."""
    session = scratch.session
    return not (session.in_room or session.dial_call_status or session.conference_sid or session.moved_at_ms)


def is_redirecting(scratch: Scratch, _event: Event) -> bool:
    """Whether a request that moves somebody is under way; its end comes as an event."""
    return bool(scratch.session.redirecting)


def waits_for_a_redirect(scratch: Scratch, event: Event) -> bool:
    """Whether nothing has moved so far and a request that would move somebody is still under way."""
    return bool(scratch.session.redirecting) and has_moved_nobody(scratch, event)


def is_unrepaired(scratch: Scratch, _event: Event) -> bool:
    """Whether the conversion's one repair is still to be tried."""
    return not scratch.session.repaired


# ---- for a transfer ----------------------------------------------------------------------------------------------


def converts_for_transfer(scratch: Scratch, _event: Event) -> bool:
    """Whether a transfer waits until both are in the conference."""
    transfer = scratch.session.transfer
    return transfer is not None and transfer.runs


def converts_for_park(scratch: Scratch, event: Event) -> bool:
    """Whether the call is to be parked when both are in."""
    transfer = scratch.session.transfer
    return converts_for_transfer(scratch, event) and transfer is not None and transfer.mode is TransferMode.PARK


def agent_leaves_transfer(scratch: Scratch, event: CallProgressed | DialEnded | ParticipantLeft) -> bool:
    """Whether the agent, and nobody else, has hung up while the session converts for a transfer."""
    if not converts_for_transfer(scratch, event) or scratch.session.parties[CUSTOMER].is_gone:
        return False
    if isinstance(event, CallProgressed):
        over, party = event.is_final, scratch.session.party_of(call_sid=event.call_sid, name=event.party)
    elif isinstance(event, DialEnded):
        over, party = event.party_is_gone, scratch.session.party_of(call_sid=event.call_sid)
    else:
        over = event.hung_up and not event.goes_on
        party = scratch.session.party_of(call_sid=event.call_sid, label=event.label)
    return over and party is not None and party.name == AGENT


def agent_left_for_transfer(scratch: Scratch, event: Event) -> bool:
    """Whether the agent is gone, so that the transfer goes on as a blind one."""
    parties = scratch.session.parties
    return converts_for_transfer(scratch, event) and parties[AGENT].is_gone and not parties[CUSTOMER].is_gone


def only_customer_came(scratch: Scratch, event: Event) -> bool:
    """Whether a conversion for a transfer has brought the customer into the conference and not the agent."""
    parties = scratch.session.parties
    return converts_for_transfer(scratch, event) and parties[CUSTOMER].in_room and not parties[AGENT].in_room
