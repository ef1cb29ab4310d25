"""What a call waits for, since when, and what happens by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conferral.operations import catalog
from conferral.operations.explain import people
from conferral.operations.explain.timeline import TimelineEntry, unfinished_effects
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session
from conferral.statemachine.states import Phase, State, TransferStage, TransferStatus

#: Beyond this distance, a time of day alone is ambiguous, in milliseconds.
_SAME_DAY_MS = 43_200_000


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that a session waits for."""

    #: A phrase that follows "waits for"; for a timer, what happens when it fires.
    for_: str
    #: Start of the wait, in Unix milliseconds; 0 if unknown.
    since_ms: int
    #: When it happens automatically, in Unix milliseconds; 0 if unknown.
    comes_at_ms: int
    by: catalog.WaitSource


def list_waits(session: Session, moments: Sequence[TimelineEntry], now_ms: int) -> tuple[Wait, ...]:
    """Return what a session waits for: people and Twilio, timers, the sweep.

    Its timeline has the requests without an answer, and when commands were accepted.
    """
    twilio_waits = [
        Wait(f"Twilio's answer: {one.what}", one.requested_at_ms, 0, "twilio") for one in unfinished_effects(moments)
    ]
    if not session.is_live:
        return tuple(twilio_waits)
    accepted_ms = {moment.entry.command_id: moment.entry.at_ms for moment in moments}
    waits = [wait for party in session.present.values() for wait in _waits_for_party(session, party)]
    waits += [
        Wait(f"the command '{one.name}{one.party and f' {one.party}'}' to finish", since_ms, 0, "twilio")
        for one in session.pending_commands
        for since_ms in (accepted_ms.get(one.command_id, 0),)
    ]
    if session.open_read_id:
        waits.append(Wait("Twilio to report the state of the calls", session.open_read_since_ms, 0, "twilio"))
    waits = waits or _waits_for_people(session)
    waits += twilio_waits
    due = sorted(session.timers.items(), key=lambda item: item[1])
    # The age timer, a day away, matters only if it is the only one. In a pause, the stage timer says more.
    near = [(name, at_ms) for name, at_ms in due if name != "age" or at_ms < now_ms or len(due) == 1]
    waits += [Wait(timer_effect(name, session), 0, at_ms, "timer") for name, at_ms in near]
    waits.append(Wait("the sweep, which detects lost callbacks", 0, 0, "sweep"))
    return tuple(waits)


def _waits_for_party(session: Session, party: Party) -> list[Wait]:
    """Return waits for a party's answer, join, update, or leaving."""
    name, found = party.name, []
    dialed_next, state_since_ms = people.next_dialed_party(session), session.state_since_ms
    if name == dialed_next:
        return []
    is_dialed = not people.is_ringing_caller(session, party) and not party.is_leaving
    if party.status in catalog.PARTY_WAITS and is_dialed:
        what, by = catalog.PARTY_WAITS[party.status]
        then = f"; then {dialed_next} is dialed" if dialed_next and name == AGENT else ""
        found.append(Wait(f"{what.format(party=name)}{then}", people.party_since_ms(session, party), 0, by))
    if party.pending_update:
        what = catalog.describe_update(party.pending_update, name) or f"{party.pending_update} {name}"
        found.append(Wait(f"Twilio's confirmation that {what}", party.pending_since_ms or state_since_ms, 0, "twilio"))
    if party.is_leaving:
        found.append(Wait(f"{name} to disconnect", state_since_ms, 0, "twilio"))
    is_converting = session.state == State.CONVERTING
    moves = is_converting or session.transfer_stage == TransferStage.MOVING_CUSTOMER
    is_moved = name == CUSTOMER or (name == AGENT and is_converting)
    if party.is_connected and moves and is_moved and not party.in_conference:
        found.append(Wait(f"{name} to join the conference", state_since_ms, 0, "twilio"))
    return found


def _waits_for_people(session: Session) -> list[Wait]:
    """Return waits for what only a person can do, such as to unhold."""
    since_ms = session.state_since_ms
    if session.phase == Phase.PARKED:
        return [Wait("someone to retrieve the parked call", since_ms, 0, "person")]
    if session.phase == Phase.QUEUED:
        return [Wait("a desk of the number to be free", session.queued_since_ms, 0, "person")]
    if session.state == State.TRANSFERRING:
        if session.transfer_stage == TransferStage.LEAVING_MESSAGE:
            return [Wait("the customer to leave a message or hang up", since_ms, 0, "person")]
        if session.transfer_stage != TransferStage.TALKING:
            return []
        is_consulting = session.transfer_status == TransferStatus.CONSULTING
        steps = "complete, cancel, swap, or merge" if is_consulting else "complete or cancel"
        return [Wait(f"the agent to {steps}", since_ms, 0, "person")]
    if session.state not in (State.BRIDGED, State.CONFERENCED) or len(people.connected(session)) < 2:
        return []
    found = []
    if held := held_parties(session):
        names = catalog.join_names([party.name for party in held])
        held_ms = min(party.since_ms for party in held)
        found.append(Wait(f"someone to take {names} off hold (unhold)", held_ms, 0, "person"))
    others = [one for one in people.connected(session).values() if one not in held and not (held and one.supervises)]
    if len(others) > 1:
        found.append(Wait("a party to hang up", since_ms, 0, "person"))
    return found


def held_parties(session: Session) -> list[Party]:
    """Return the parties on confirmed hold, outside of a transfer."""
    if session.state != State.CONFERENCED or session.phase != Phase.CONNECTED:
        return []
    return [party for party in people.connected(session).values() if party.held]


def upcoming_line(wait: Wait, now_ms: int, clock: Callable[[int], str]) -> str:
    """Return a sentence about what is awaited, and when it is due."""
    if wait.by == "sweep":
        return "If a callback was lost, the next sweep detects it by comparing with Twilio's lists."
    if wait.by == "twilio":
        lasts = f" (requested {catalog.format_age(wait.since_ms, now_ms)} ago)" if wait.since_ms else ""
        return f"Conferral is waiting for {wait.for_}{lasts}."
    if wait.comes_at_ms < now_ms:
        return f"Overdue by {catalog.format_age(wait.comes_at_ms, now_ms)}: {wait.for_}."
    until = catalog.format_age(now_ms, wait.comes_at_ms)
    if wait.comes_at_ms - now_ms > _SAME_DAY_MS:
        return f"In {until}: {wait.for_}."
    return f"At {clock(wait.comes_at_ms)}, in {until}: {wait.for_}."


def timer_effect(timer: str, session: Session) -> str:
    """Describe what happens when a timer fires."""
    stage = session.transfer_stage
    if timer == "stage" and stage == TransferStage.WAITING_TO_RECALL:
        return "Conferral calls the agent back"
    if timer == "read" and stage == TransferStage.LEAVING_MESSAGE:
        return "Conferral asks Twilio whether the message is over"
    if timer == "stage" and session.internal_transfer is not None:
        return "Conferral checks on the fallback"
    if timer == "park" and session.phase == Phase.QUEUED:
        return "the caller goes on to the next place"
    if timer == "park" and session.transfer is not None and session.transfer.fallback[:1] != ("recall",):
        return "the parked call goes on to its fallback"
    return catalog.TIMERS.get(timer, f"the timer {timer}")
