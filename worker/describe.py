"""An event in a few words for the session's log, without any number or name of a person."""

from statemachine.events import (
    CallProgressed,
    CallsRead,
    ConferenceEnded,
    ConferenceNoted,
    DialEnded,
    EffectFailed,
    EffectOutcome,
    Event,
    ParticipantJoined,
    ParticipantLeft,
)


def detail_of(event: Event) -> str:
    """What the event's name does not tell: who, and with which status."""
    match event:
        case CallProgressed():
            return f"{event.party or 'call'} {event.status}"
        case DialEnded():
            return f"{event.party} {event.dial} {event.dial_call_status}"
        case ParticipantJoined():
            return event.label or event.call_sid
        case ParticipantLeft():
            return " ".join(filter(None, (event.label or event.call_sid, event.left_reason)))
        case ConferenceEnded():
            return event.conference_reason
        case ConferenceNoted():
            return event.kind
        case EffectFailed():
            return f"{event.kind} {event.party} HTTP {event.http_status} code {event.code}".replace("  ", " ")
        case EffectOutcome():
            return f"{event.kind} {event.party}".strip()
        case CallsRead():
            calls = ", ".join(f"{call.call_sid} {call.status}" for call in event.calls)
            return f"{calls}; {len(event.participants)} in the conference" if event.conference_sid else calls
        case _:
            return ""
