"""What a session waits for: people, Twilio, timers, finally the sweep."""

from collections.abc import Sequence
from dataclasses import dataclass

from conferral.operations import catalog, descriptions, session_summary
from conferral.operations.session_summary import is_ringing_caller
from conferral.operations.timeline import EffectRequest
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session
from conferral.statemachine.states import Phase, State, TransferStage, TransferStatus
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import stored_session


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


def list_waits(
    session: Session, now_ms: int, pending: Sequence[EffectRequest] = (), log: Sequence[LogEntry] = ()
) -> tuple[Wait, ...]:
    """Return what a session waits for: Twilio and people, then timers.

    The log, oldest first, shows when waits began whose start the session does not store. `pending` has no outcome yet.
    """
    since_ms = state_or_field_changed_ms(log, "phase", "transfer.status")
    twilio_waits = [
        Wait(f"Twilio's answer: {one.text}", one.requested_at_ms or since_ms, 0, "twilio") for one in pending
    ]
    if not session.is_live:
        return tuple(twilio_waits)
    waits = [*_waits_for_parties(session, since_ms), *_waits_for_commands(session, log)]
    waits = waits or _waits_for_people(session, log, since_ms)
    waits += twilio_waits
    due = sorted(session.timers.items(), key=lambda item: item[1])
    # The age timer, a day away, matters only if it is the only one. In a pause, the stage timer says more.
    near = [(name, at_ms) for name, at_ms in due if name != "age" or at_ms < now_ms or len(due) == 1]
    waits += [Wait(timer_effect(name, session), _timer_set_at_ms(at_ms, log), at_ms, "timer") for name, at_ms in near]
    waits.append(Wait("the sweep, which detects lost callbacks", 0, 0, "sweep"))
    return tuple(waits)


def timer_effect(timer: str, session: Session) -> str:
    """Describe what happens when a timer fires."""
    if timer == "stage" and session.transfer_stage == TransferStage.WAITING_TO_RECALL:
        return "Conferral calls the agent back"
    if timer == "stage" and session.transfer_stage == TransferStage.LEAVING_MESSAGE:
        return "Conferral asks Twilio whether the message is over"
    if timer == "stage" and session.is_inbound_fallback:
        return "Conferral checks on the fallback"
    if timer == "park" and session.transfer is not None and session.transfer.fallback.partition(",")[0] != "recall":
        return "the parked call goes on to its fallback"
    return catalog.TIMERS.get(timer, f"the timer {timer}")


def _waits_for_parties(session: Session, since_ms: int) -> list[Wait]:
    """Return waits for answers, joins, and updates of parties."""
    found = []
    dialed_next = session_summary.next_dialed_party(session)
    # A leg dialed by TwiML has no dial time, so the session's start counts.
    first_ms = session.created_at_ms if session.phase == Phase.RINGING else 0
    for name, party in session.present.items():
        if name == dialed_next:
            continue
        if party.status in catalog.PARTY_WAITS and not is_ringing_caller(session, party) and not party.is_leaving:
            what, by = catalog.PARTY_WAITS[party.status]
            if dialed_next and name == AGENT:
                what += f"; then {dialed_next} is dialed"
            found.append(Wait(what.format(party=name), party.dialed_at_ms or first_ms or since_ms, 0, by))
        if party.pending_update:
            what = descriptions.describe_update(party.pending_update, name) or f"{party.pending_update} {name}"
            found.append(Wait(f"Twilio's confirmation that {what}", party.pending_since_ms or since_ms, 0, "twilio"))
        if party.is_leaving:
            found.append(Wait(f"{name} to disconnect", since_ms, 0, "twilio"))
        if _is_joining(session, party):
            found.append(Wait(f"{name} to join the conference", since_ms, 0, "twilio"))
    if session.open_read_id:
        reading_since_ms = session.open_read_since_ms or since_ms
        found.append(Wait("Twilio to report the state of the calls", reading_since_ms, 0, "twilio"))
    return found


def _is_joining(session: Session, party: Party) -> bool:
    is_converting = session.state == State.CONVERTING
    moves = is_converting or session.transfer_stage == TransferStage.MOVING_CUSTOMER
    is_moved = party.name == CUSTOMER or (party.name == AGENT and is_converting)
    return party.is_connected and moves and is_moved and not party.in_conference


def _waits_for_commands(session: Session, log: Sequence[LogEntry]) -> list[Wait]:
    found = [
        # Only the log knows since when.
        Wait(f"the command '{command}' to finish", _accepted_at_ms(command, log), 0, "twilio")
        for command in session_summary.pending_command_labels(session.pending_commands)
    ]
    if session.recording is not None and (pending_update := session.recording.pending_update):
        since_ms = field_changed_ms("recording.pending_update", log)
        found.append(Wait(f"Twilio's answer: {pending_update} the recording", since_ms, 0, "twilio"))
    return found


def changes_of(entry: LogEntry, *names: str) -> dict[str, str | None]:
    """Return an entry's changes of these fields."""
    return {name: entry.changes[name] for name in names if name in entry.changes}


def _accepted_at_ms(command: str, log: Sequence[LogEntry]) -> int:
    """Return when a command, such as `hold customer`, was accepted; or 0."""
    at_ms, is_there = 0, False
    for entry in log:
        if changed := changes_of(entry, "pending_commands"):
            commands = stored_session({"pending_commands": changed["pending_commands"] or ""}).pending_commands
            was_there, is_there = is_there, command in session_summary.pending_command_labels(commands)
            if is_there and not was_there:
                at_ms = entry.at_ms
    return at_ms


def state_or_field_changed_ms(log: Sequence[LogEntry], *names: str) -> int:
    """Return when the state or one of these fields last changed; or 0."""
    for entry in reversed(log):
        if entry.state_before != entry.state_after or changes_of(entry, *names):
            return entry.at_ms
    return 0


def _timer_set_at_ms(due_ms: int, log: Sequence[LogEntry]) -> int:
    """Return when the timer with this due time was set; 0 if unknown."""
    for entry in log:
        timers = entry.changes.get("timers") or ""
        if str(due_ms) in timers and due_ms in stored_session({"timers": timers}).timers.values():
            return entry.at_ms
    return 0


def field_changed_ms(name: str, log: Sequence[LogEntry], to: str = "") -> int:
    """Return when a field last changed; 0 if unknown, or if not to `to`."""
    for entry in reversed(log):
        if changed := changes_of(entry, name):
            return entry.at_ms if not to or changed[name] == to else 0
    return 0


def _waits_for_people(session: Session, log: Sequence[LogEntry], since_ms: int) -> list[Wait]:
    """Return waits for what only a person can do, such as to unhold."""
    if session.phase == Phase.PARKED:
        return [Wait("someone to retrieve the parked call", since_ms, 0, "person")]
    if session.state == State.TRANSFERRING:
        if session.transfer_stage == TransferStage.LEAVING_MESSAGE:
            return [Wait("the customer to leave a message or hang up", since_ms, 0, "person")]
        if session.transfer_stage != TransferStage.TALKING:
            return []
        is_consulting = session.transfer_status == TransferStatus.CONSULTING
        steps = "complete, cancel, swap, or merge" if is_consulting else "complete or cancel"
        return [Wait(f"the agent to {steps}", since_ms, 0, "person")]
    if session.state not in (State.BRIDGED, State.CONFERENCED) or len(session.connected) < 2:
        return []
    held = session_summary.held_parties(session)
    found = []
    if held:
        held_ms = min(field_changed_ms(f"party.{party}.held", log, to="true") for party in held)
        found.append(Wait(f"someone to take {descriptions.join_names(held)} off hold (unhold)", held_ms, 0, "person"))
    connected = session.connected.items()
    talking = [name for name, party in connected if name not in held and not (held and party.supervises)]
    if len(talking) > 1:
        found.append(Wait("a party to hang up", since_ms, 0, "person"))
    return found
