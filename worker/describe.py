"""An event in a few words for the session's log, without any number or name of a person."""

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
    ConferenceFound,
    ConferenceNoted,
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

#: Whoever writes to a stream by hand may write anything: of such fields only what is known is shown.
_KNOWN = frozenset({*TRANSFER_MODES, *SuperviseMode, *RecordAction})
#: A name that somebody chose for a party, or words of Twilio's, without anything that could be a number.
_HARMLESS = re.compile(r"(?!.*\d{5})[A-Za-z0-9 ,._-]{1,100}")


def detail_of(event: Event, session: Session) -> str:
    """What the event's name does not tell: who, and with which status.

    Args:
        event: What happened.
        session: As it was before.
    """
    match event:
        case CallReceived():
            return _received(event)
        case CallProgressed():
            return f"{_whose(event, session)} {event.told_status}{_which_agent(event, session)}"
        case DialEnded():
            came_of = _came_of_dial(event, session)
            return f"{_whose(event, session)} {event.dial} {came_of}{_which_agent(event, session)}"
        case ConferenceEvent():
            return _in_conference(event, session)
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
            return _came_of(event)
        case CallsRead():
            return _seen(event, session)
        case Command():
            return _asked(event, session)
        case _:
            return ""


def command_of(command_id: str, event: Event, session: Session) -> str:
    """Name of the command that has an outcome by this event; empty where nobody knows it any more.

    Args:
        command_id: Which.
        event: What happened.
        session: As it was before.
    """
    if isinstance(event, Command) and event.command_id == command_id:
        return event.name
    transfer = session.transfer
    if transfer is not None and transfer.command_id == command_id:
        return Transfer.name if transfer.mode in TRANSFER_MODES else transfer.mode.value
    if transfer is not None and transfer.step_command_id == command_id:
        return transfer.step_name
    if command_id in session.converting_for:
        return Convert.name
    others = {session.calling_for: Call.name, session.ending_for: End.name}
    others |= {order.command_id: order.name for order in session.orders}
    return others.get(command_id, "")


def _seen(event: CallsRead, session: Session) -> str:
    """How each call stands, and who is in the conference and how; whom no party is known for by the call's SID."""

    def name(call_sid: str) -> str:
        party = session.party_of(call_sid=call_sid)
        return party.name if party is not None else call_sid

    calls = ", ".join(f"{name(call.call_sid)} {call.status}" for call in event.calls)
    if not event.conference_sid:
        return calls
    there = [
        " ".join(filter(None, (name(one.call_sid), "held" if one.held else "", "muted" if one.muted else "")))
        for one in event.participants
    ]
    return f"{calls}; in the conference: {', '.join(there)}" if there else f"{calls}; nobody is in the conference"


def _came_of(event: EffectOutcome) -> str:
    more = ""
    if isinstance(event, EffectFailed):
        more = f"HTTP {event.http_status} code {event.code}"
    elif isinstance(event, EffectSucceeded):
        more = event.recording_sid
    asked = event.asked if _HARMLESS.fullmatch(event.asked) else ""
    return " ".join(filter(None, (event.kind, event.party, asked, more)))


def _received(event: CallReceived) -> str:
    """How the caller was answered, where that is not the usual way, and how many agents there are to be tried."""
    agents = 1 + len(event.other_agents)
    mode = event.mode if event.mode == SessionMode.CONFERENCE else ""
    return ", ".join(filter(None, (mode, f"{agents} agents to be tried" if agents > 1 else "")))


def _which_agent(event: CallProgressed | DialEnded, session: Session) -> str:
    """Which of the agents to be tried it tells of, where there are several."""
    number = event.agent_number
    if isinstance(event, DialEnded):
        is_one_of_them = event.dial == "bridge"
    elif event.dial:
        # Dialled by REST: the URL does not say which one it was, but while somebody waits only one is being tried.
        party = session.party_of(call_sid=event.call_sid, dial=event.dial)
        is_one_of_them = party is not None and party.name == AGENT and session.opening is not Opening.OVER
        number = session.agent_number
    else:
        is_one_of_them = event.party == AGENT
    if not is_one_of_them or len(session.agents) < 2:
        return f", agent number {event.agent_number + 1}" if event.agent_number else ""
    return f", agent {number + 1} of {len(session.agents)}"


def _came_of_dial(event: DialEnded, session: Session) -> str:
    """Twilio's word for it, but for somebody who is known to have refused: of him it says busy here too."""
    agent = session.parties.get(AGENT)
    refused = event.dial == "bridge" and agent is not None and agent.left_reason == "rejected"
    return "rejected" if refused and event.dial_call_status == "busy" else event.dial_call_status


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
            return " ".join(filter(None, (_who(event, session), event.kind, _flags(event, session))))
        case AnnouncementEnded():
            why = event.reason if event.failed and _HARMLESS.fullmatch(event.reason) else ""
            heard_by = _who(event, session) if event.call_sid else "conference"
            return " ".join(filter(None, (heard_by, "failed" if event.failed else "", why)))
        case ConferenceEnded():
            return event.conference_reason
        case ConferenceNoted():
            return f"{_who(event, session)} {event.kind}" if event.call_sid else event.kind
        case _:
            return ""


def _who(
    event: ParticipantJoined | ParticipantLeft | ParticipantChanged | AnnouncementEnded | ConferenceNoted,
    session: Session,
) -> str:
    """Who it is now; of somebody who is no party, the label, which stays what it was when the leg was dialled."""
    label = "" if isinstance(event, AnnouncementEnded | ConferenceNoted) else event.label
    party = session.party_of(call_sid=event.call_sid, label=label)
    return party.name if party is not None else label or event.call_sid


def _flags(event: ParticipantChanged, session: Session) -> str:
    """How the participant is now."""
    coached = session.party_of(call_sid=event.coaches) if event.coaches else None
    flags = {
        "held": event.held,
        "muted": event.muted,
        "ends the conference": event.ends_conference,
        f"coaches {coached.name if coached is not None else event.coaches}": bool(event.coaches),
    }
    shown = ", ".join(name for name, is_set in flags.items() if is_set)
    return f"({shown})" if shown else ""


def _asked(command: Command, session: Session) -> str:
    match command:
        case Transfer():
            count = command.to.count(",") + 1
            return f"{_known(command.mode, 'mode')} to {count} target{'s' if count > 1 else ''}"
        case Call():
            in_room = ", in a conference" if command.mode == SessionMode.CONFERENCE else ""
            return f"agent first, then customer{in_room}"
        case Add():
            return command.party if _HARMLESS.fullmatch(command.party) else "unknown party"
        case PartyCommand():
            named = session.parties.get(command.party) or session.party_of(call_sid=command.party)
            return named.name if named is not None else "unknown party"
        case Supervise():
            return _known(command.mode, "mode")
        case Record():
            return _known(command.action, "action")
        case Announce():
            return "a sentence" if command.say else "a URL"
        case _:
            return ""


def _known(word: str, what: str) -> str:
    return word if word in _KNOWN else f"unknown {what}"
