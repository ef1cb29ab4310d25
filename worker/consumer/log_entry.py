"""Session log details: an event in a few words, without phone numbers or personal names."""

import re

from conferral.statemachine.events import (
    AccountSwept,
    Add,
    Announce,
    AnnouncementEnded,
    Call,
    CallProgressed,
    CallReceived,
    CallsRead,
    Command,
    ConferenceEnded,
    ConferenceEvent,
    ConferenceEventIgnored,
    ConferenceFound,
    Convert,
    DialEnded,
    EffectFailed,
    EffectOutcome,
    EffectSucceeded,
    End,
    Event,
    GateDecided,
    GateReached,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    PartyCommand,
    Record,
    RecordingChanged,
    Supervise,
    Transfer,
)
from conferral.statemachine.session import AGENT, Session
from conferral.statemachine.states import TRANSFER_MODES, Opening, RecordAction, SessionMode, SuperviseMode

#: Anyone who writes to a stream by hand can write anything, so only known words are shown.
_KNOWN_WORDS = frozenset({*TRANSFER_MODES, *SuperviseMode, *RecordAction})
#: A party name chosen by the app, or Twilio's words, without anything that could be a number.
_SAFE_TEXT = re.compile(r"(?!.*\d{5})[A-Za-z0-9 ,._-]{1,100}")


def details(event: Event, session: Session) -> str:
    """Return what the event's name leaves out: which party, with which status.

    Args:
        event: The event.
        session: The session before the event.
    """
    match event:
        case CallReceived():
            return _call_received(event)
        case CallProgressed():
            return f"{_party_of_call(event, session)} {event.reported_status}{_agent_position(event, session)}"
        case DialEnded():
            status = _dial_status(event, session)
            return f"{_party_of_call(event, session)} {event.dial} {status}{_agent_position(event, session)}"
        case ConferenceEvent():
            return _conference_details(event, session)
        case GateReached() | GateDecided():
            return f"{event.call_sid} {event.decision}" if isinstance(event, GateDecided) else event.call_sid
        case RecordingChanged():
            of = "conference" if event.of_conference else "call"
            lasts = f", {event.duration_s} s" if event.duration_s else ""
            return f"{event.recording_sid} {event.status}, of the {of}{lasts}"
        case AccountSwept():
            return f"{event.finding} {event.call_sid or event.conference_sid}"
        case ConferenceFound():
            return f"{event.conference_sid}; {len(event.participants)} in the conference"
        case EffectOutcome():
            return _effect_result(event)
        case CallsRead():
            return _calls_read(event, session)
        case Command():
            return _command_arguments(event, session)
        case _:
            return ""


def command_type_of(command_id: str, event: Event, session: Session) -> str:
    """Return the type of the command that this event resolves; empty if the session no longer knows it.

    Args:
        command_id: The command.
        event: The event.
        session: The session before the event.
    """
    if isinstance(event, Command) and event.command_id == command_id:
        return event.name
    transfer = session.transfer
    if transfer is not None and transfer.command_id == command_id:
        return Transfer.name if transfer.mode in TRANSFER_MODES else transfer.mode.value
    if transfer is not None and transfer.step_command_id == command_id:
        return transfer.step_name
    if command_id in session.convert_command_ids:
        return Convert.name
    others = {session.call_command_id: Call.name, session.end_command_id: End.name}
    others |= {order.command_id: order.name for order in session.pending_commands}
    return others.get(command_id, "")


def _calls_read(event: CallsRead, session: Session) -> str:
    """Return each call's status and the conference's participants; a call without a party appears as its SID."""

    def name(call_sid: str) -> str:
        party = session.find_party(call_sid=call_sid)
        return party.name if party is not None else call_sid

    calls = ", ".join(f"{name(call.call_sid)} {call.status}" for call in event.calls)
    if not event.conference_sid:
        return calls
    participants = [
        " ".join(filter(None, (name(one.call_sid), "held" if one.held else "", "muted" if one.muted else "")))
        for one in event.participants
    ]
    return (
        f"{calls}; in the conference: {', '.join(participants)}"
        if participants
        else f"{calls}; the conference is empty"
    )


def _effect_result(event: EffectOutcome) -> str:
    extra = ""
    if isinstance(event, EffectFailed):
        extra = f"HTTP {event.http_status} code {event.code}"
    elif isinstance(event, EffectSucceeded):
        extra = event.recording_sid
    target = event.detail if _SAFE_TEXT.fullmatch(event.detail) else ""
    return " ".join(filter(None, (event.kind, event.party, target, extra)))


def _call_received(event: CallReceived) -> str:
    """Return the session mode unless it is the default, and the number of agents to try."""
    agents = 1 + len(event.other_agents)
    mode = event.mode if event.mode == SessionMode.CONFERENCE else ""
    return ", ".join(filter(None, (mode, f"{agents} agents" if agents > 1 else "")))


def _agent_position(event: CallProgressed | DialEnded, session: Session) -> str:
    """Return which agent the event is about, if several are being tried."""
    number = event.agent_number
    if isinstance(event, DialEnded):
        is_one_of_them = event.dial == "bridge"
    elif event.dial:
        # For calls dialed by REST, the URL does not name the agent. While the caller waits, only one is being tried.
        party = session.find_party(call_sid=event.call_sid, dial=event.dial)
        is_one_of_them = party is not None and party.name == AGENT and session.opening is not Opening.OVER
        number = session.agent_number
    else:
        is_one_of_them = event.party == AGENT
    if not is_one_of_them or len(session.agents) < 2:
        return f", agent number {event.agent_number + 1}" if event.agent_number else ""
    return f", agent {number + 1} of {len(session.agents)}"


def _dial_status(event: DialEnded, session: Session) -> str:
    """Return Twilio's status, but `rejected` for an agent known to have rejected the call: Twilio reports busy."""
    agent = session.parties.get(AGENT)
    refused = event.dial == "bridge" and agent is not None and agent.left_reason == "rejected"
    return "rejected" if refused and event.dial_call_status == "busy" else event.dial_call_status


def _party_of_call(event: CallProgressed | DialEnded, session: Session) -> str:
    """Return the party that has the call now. The URL holds the name from when it was issued, and names can move."""
    party = session.find_party(call_sid=event.call_sid)
    if party is not None:
        return party.name
    namesake = session.parties.get(event.party)
    return "call" if namesake is not None and namesake.call_sid else event.party or "call"


def _conference_details(event: ConferenceEvent, session: Session) -> str:
    match event:
        case ParticipantJoined():
            return _participant_name(event, session)
        case ParticipantLeft():
            return " ".join(filter(None, (_participant_name(event, session), event.left_reason)))
        case ParticipantChanged():
            return " ".join(
                filter(None, (_participant_name(event, session), event.kind, _participant_flags(event, session)))
            )
        case AnnouncementEnded():
            reason = event.reason if event.failed and _SAFE_TEXT.fullmatch(event.reason) else ""
            heard_by = _participant_name(event, session) if event.call_sid else "conference"
            return " ".join(filter(None, (heard_by, "failed" if event.failed else "", reason)))
        case ConferenceEnded():
            return event.conference_reason
        case ConferenceEventIgnored():
            return f"{_participant_name(event, session)} {event.kind}" if event.call_sid else event.kind
        case _:
            return ""


def _participant_name(
    event: ParticipantJoined | ParticipantLeft | ParticipantChanged | AnnouncementEnded | ConferenceEventIgnored,
    session: Session,
) -> str:
    """Return the participant's current party name; without a party, the label from when the leg was dialed."""
    label = "" if isinstance(event, AnnouncementEnded | ConferenceEventIgnored) else event.label
    party = session.find_party(call_sid=event.call_sid, label=label)
    return party.name if party is not None else label or event.call_sid


def _participant_flags(event: ParticipantChanged, session: Session) -> str:
    """Return the participant's current flags."""
    coached = session.find_party(call_sid=event.coaches) if event.coaches else None
    flags = {
        "held": event.held,
        "muted": event.muted,
        "ends the conference": event.end_on_exit,
        f"coaches {coached.name if coached is not None else event.coaches}": bool(event.coaches),
    }
    shown = ", ".join(name for name, is_set in flags.items() if is_set)
    return f"({shown})" if shown else ""


def _command_arguments(command: Command, session: Session) -> str:
    match command:
        case Transfer():
            count = command.to.count(",") + 1
            return f"{_known_word(command.mode, 'mode')} to {count} target{'s' if count > 1 else ''}"
        case Call():
            in_conference = ", in a conference" if command.mode == SessionMode.CONFERENCE else ""
            return f"agent first, then customer{in_conference}"
        case Add():
            return command.party if _SAFE_TEXT.fullmatch(command.party) else "unknown party"
        case PartyCommand():
            named = session.parties.get(command.party) or session.find_party(call_sid=command.party)
            return named.name if named is not None else "unknown party"
        case Supervise():
            return _known_word(command.mode, "mode")
        case Record():
            return _known_word(command.action, "action")
        case Announce():
            return "a sentence" if command.say else "a URL"
        case _:
            return ""


def _known_word(word: str, what: str) -> str:
    return word if word in _KNOWN_WORDS else f"unknown {what}"
