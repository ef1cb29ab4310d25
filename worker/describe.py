"""An event in a few words for the session's log, without any number or name of a person."""

from statemachine.events import (
    Call,
    CallProgressed,
    CallsRead,
    Command,
    ConferenceEnded,
    ConferenceEvent,
    ConferenceNoted,
    DialEnded,
    EffectFailed,
    EffectOutcome,
    Event,
    GateDecided,
    GateReached,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    Transfer,
)
from statemachine.session import Session
from statemachine.states import TransferMode

_MODES = frozenset(TransferMode)


def detail_of(event: Event, session: Session) -> str:
    """What the event's name does not tell: who, and with which status.

    Args:
        event: What happened.
        session: As it was before.
    """
    match event:
        case CallProgressed():
            return f"{_whose(event, session)} {event.status}"
        case DialEnded():
            return f"{_whose(event, session)} {event.dial} {event.dial_call_status}"
        case ConferenceEvent():
            return _in_conference(event, session)
        case GateReached():
            return event.call_sid
        case GateDecided():
            return f"{event.call_sid} {event.decision}"
        case EffectFailed():
            return f"{event.kind} {event.party} HTTP {event.http_status} code {event.code}".replace("  ", " ")
        case EffectOutcome():
            return f"{event.kind} {event.party}".strip()
        case CallsRead():
            calls = ", ".join(f"{call.call_sid} {call.status}" for call in event.calls)
            return f"{calls}; {len(event.participants)} in the conference" if event.conference_sid else calls
        case Command():
            return _asked(event)
        case _:
            return ""


def _whose(event: CallProgressed | DialEnded, session: Session) -> str:
    """Whose call it is now: the URL says what the party was called when it was handed out, and names change hands."""
    party = session.party_of(call_sid=event.call_sid)
    if party is not None:
        return party.name
    namesake = session.parties.get(event.party)
    return "call" if namesake is not None and namesake.call_sid else event.party or "call"


def _in_conference(event: ConferenceEvent, session: Session) -> str:
    match event:
        case ParticipantJoined():
            return _who(event, session)
        case ParticipantLeft():
            return " ".join(filter(None, (_who(event, session), event.left_reason)))
        case ParticipantChanged():
            return " ".join(filter(None, (_who(event, session), event.kind, _flags(event))))
        case ConferenceEnded():
            return event.conference_reason
        case ConferenceNoted():
            return event.kind
        case _:
            return ""


def _who(event: ParticipantJoined | ParticipantLeft | ParticipantChanged, session: Session) -> str:
    """Who it is now; of somebody who is no party, the label, which stays what it was when the leg was dialled."""
    party = session.party_of(call_sid=event.call_sid, label=event.label)
    return party.name if party is not None else event.label or event.call_sid


def _flags(event: ParticipantChanged) -> str:
    """How the participant is now."""
    flags = {"held": event.held, "muted": event.muted, "ends the conference": event.ends_conference}
    shown = ", ".join(name for name, is_set in flags.items() if is_set)
    return f"({shown})" if shown else ""


def _asked(command: Command) -> str:
    if isinstance(command, Transfer):
        count = command.to.count(",") + 1
        # Whoever writes to the stream by hand may write anything.
        mode = command.mode if command.mode in _MODES else "unknown mode"
        return f"{mode} to {count} target{'s' if count > 1 else ''}"
    return "agent first, then customer" if isinstance(command, Call) else ""
