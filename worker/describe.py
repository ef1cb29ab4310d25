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
from statemachine.states import TransferMode

_MODES = frozenset(TransferMode)


def detail_of(event: Event) -> str:
    """What the event's name does not tell: who, and with which status."""
    match event:
        case CallProgressed():
            return f"{event.party or 'call'} {event.status}"
        case DialEnded():
            return f"{event.party} {event.dial} {event.dial_call_status}"
        case ConferenceEvent():
            return _in_conference(event)
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


def _in_conference(event: ConferenceEvent) -> str:
    match event:
        case ParticipantJoined():
            return event.label or event.call_sid
        case ParticipantLeft():
            return " ".join(filter(None, (event.label or event.call_sid, event.left_reason)))
        case ParticipantChanged():
            return " ".join(filter(None, (event.label or event.call_sid, event.kind, _flags(event))))
        case ConferenceEnded():
            return event.conference_reason
        case ConferenceNoted():
            return event.kind
        case _:
            return ""


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
