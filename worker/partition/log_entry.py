"""Log entry: a step in a session's log, without numbers or personal names."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from conferral.statemachine.effects import Effect
from conferral.statemachine.events import (
    Add,
    Announce,
    AnnouncementEnded,
    CallProgressed,
    CallReceived,
    CallsRead,
    Command,
    ConferenceEventIgnored,
    ConferenceFound,
    DialEnded,
    EffectResult,
    Event,
    GateDecided,
    GateReached,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    PartyCommand,
    Transfer,
)
from conferral.statemachine.record import BaseRecord
from conferral.statemachine.session import AGENT, Session
from conferral.statemachine.states import TRANSFER_MODES, Opening, RecordAction, SessionMode, SuperviseMode
from conferral.statemachine.step import CommandStatus, Step
from conferral.storage.codecs.log_codec import LogEffect, LogEntry, LogReport
from conferral.storage.codecs.text_codec import parse_object

_EFFECT_RESULTS = (EffectResult, CallsRead)
_KNOWN_WORDS = frozenset({*TRANSFER_MODES, *SessionMode, *SuperviseMode, *RecordAction})
#: A party name or Twilio's words, without anything that could be a number.
_SAFE_TEXT = re.compile(r"(?!.*\d{5})[A-Za-z0-9 ,._-]{1,100}")
#: Checked, because anyone who writes to a stream by hand can write anything.
_CHECKS: dict[str, Callable[[str], object]] = {
    "mode": _KNOWN_WORDS.__contains__,
    "action": _KNOWN_WORDS.__contains__,
    "detail": _SAFE_TEXT.fullmatch,
    "reason": _SAFE_TEXT.fullmatch,
}


def log_entry(event: Event, step: Step, before: Session, now_ms: int) -> LogEntry:
    """Return a session's log entry."""
    command = event if isinstance(event, Command) else None
    result = event if isinstance(event, _EFFECT_RESULTS) else None
    return LogEntry(
        session=step.session.id,
        at_ms=now_ms,
        happened_at_ms=event.happened_at_ms(now_ms) if event.occurred_at_ms and command is None else 0,
        event=event.name,
        state_before=before.state,
        state_after=step.session.state,
        outcome=step.kind,
        version=step.session.version,
        reason=step.reason,
        effects=tuple(map(_effect, step.effects)),
        reports=_reports(event, step, before) if step.reports else (),
        details=details(event, before),
        other=parse_object(other) if (other := getattr(event, "other", "")) else {},
        command_id=command.command_id if command else "",
        by=command.by if command else "",
        effect_id=result.effect_id if result else "",
        attempts=result.attempts or 0 if result else 0,
        failed_attempts=result.failed_attempts if result else (),
        changes=changes_of(step.session, before),
    )


def changes_of(session: Session, before: Session) -> dict[str, Any]:
    """Return the logged fields that a step changed.

    None: their record is gone. Applied in order, a log's changes give these at each version.
    """
    old, new = dict(_records(before)) if before.version else {}, dict(_records(session))
    found: dict[str, Any] = {}
    for prefix, either in (old | new).items():
        record, earlier = new.get(prefix), old.get(prefix)
        if record is not earlier:
            for name in either.logged:
                value, former = getattr(record, name, None), getattr(earlier, name, None)
                if value != former and (value or former):  # what is absent is empty
                    found[prefix + name] = value
    return found


def _records(session: Session) -> Iterator[tuple[str, BaseRecord]]:
    """Yield the records with logged fields, each with their prefix."""
    yield "", session
    if session.public_transfer is not None:
        yield "transfer.", session.public_transfer
    if session.internal_transfer is not None:
        yield "internal_transfer.", session.internal_transfer
    for name, party in session.parties.items():
        yield f"party.{name}.", party


def _effect(effect: Effect) -> LogEffect:
    return LogEffect(
        id=effect.effect_id, kind=effect.kind, party=effect.party, target=effect.target, detail=effect.detail
    )


def _reports(event: Event, step: Step, before: Session) -> tuple[LogReport, ...]:
    """Return the step's command reports; acceptances have their own entries."""
    return tuple(
        LogReport(
            command=report.command_id,
            type=command_type_of(report.command_id, event, before),
            status=report.status,
            reason=report.reason,
            code=report.code,
        )
        for report in step.reports
        if report.status is not CommandStatus.ACCEPTED
    )


def command_type_of(command_id: str, event: Event, session: Session) -> str:
    """Return a command's type, by event or session; empty if neither knows it."""
    if isinstance(event, Command) and event.command_id == command_id:
        return event.name
    transfer = session.transfer
    if transfer is not None and transfer.command_id == command_id:
        return Transfer.name if transfer.mode in TRANSFER_MODES else transfer.mode.value
    if transfer is not None and transfer.step_command_id == command_id:
        return transfer.step_name
    others = {pending.command_id: pending.name for pending in session.pending_commands}
    return others.get(command_id, "")


def details(event: Event, session: Session) -> dict[str, Any]:
    """Return the event's loggable fields, and the names of its parties."""
    found: dict[str, Any] = {}
    for name in event.logged:
        if (value := getattr(event, name)) and (name not in _CHECKS or _CHECKS[name](value)):
            found[name] = value
    match event:
        case CallProgressed() | DialEnded():
            found |= {"party": _party_of_call(event, session), "status": _call_status(event, session)}
            found |= _agent_position(event, session)
        case ParticipantJoined() | ParticipantLeft() | ParticipantChanged():
            found["party"] = _party_name(session, event.call_sid, event.label)
            if isinstance(event, ParticipantChanged) and event.coaches:
                found["coaches"] = _party_name(session, event.coaches)
        case ConferenceEventIgnored() | AnnouncementEnded() if event.call_sid:
            found["party"] = _party_name(session, event.call_sid)
        case CallReceived(other_agents=(_, *_)):
            found["agents"] = 1 + len(event.other_agents)
        case GateReached() | GateDecided():
            if (party := session.find_party(call_sid=event.call_sid, dial=event.dial)) is not None:
                found["party"] = party.name
        case ConferenceFound():
            found["participants"] = len(event.participants)
        case CallsRead():
            found["calls"] = {_party_name(session, call.call_sid): call.status for call in event.calls}
            found["participants"] = {
                _party_name(session, participant.call_sid): [
                    flag
                    for flag, is_set in (
                        ("held", participant.held),
                        ("muted", participant.muted),
                        ("ringing", participant.is_ringing),
                    )
                    if is_set
                ]
                for participant in event.participants
            }
        case Command():
            found |= _command_details(event, session)
    return found


def _party_name(session: Session, call_sid: str, label: str = "") -> str:
    party = session.find_party(call_sid=call_sid, label=label)
    return party.name if party is not None else label or call_sid


def _party_of_call(event: CallProgressed | DialEnded, session: Session) -> str:
    """Return the name of the party that has the call now, or `call`.

    The callback's URL has the name at its issue; in a transfer, names can move to other calls.
    """
    party = session.find_party(call_sid=event.call_sid)
    if party is not None:
        return party.name
    namesake = session.parties.get(event.party)
    return "call" if namesake is not None and namesake.call_sid else event.party or "call"


def _call_status(event: CallProgressed | DialEnded, session: Session) -> str:
    """Return Twilio's status, but `rejected` where Twilio reports busy for it."""
    if isinstance(event, CallProgressed):
        return event.reported_status
    agent = session.parties.get(AGENT)
    refused = event.dial_kind == "bridge" and agent is not None and agent.left_reason == "rejected"
    return "rejected" if refused and event.dial_call_status == "busy" else event.dial_call_status


def _agent_position(event: CallProgressed | DialEnded, session: Session) -> dict[str, int]:
    """Return which agent the event is about, from 1, if several are tried."""
    number = event.agent_number
    if isinstance(event, DialEnded):
        is_one_of_them = event.dial_kind == "bridge"
    elif event.dial:
        # The URLs of REST calls don't name the agent. While the caller waits, only one is being tried.
        party = session.find_party(call_sid=event.call_sid, dial=event.dial)
        is_one_of_them = party is not None and party.name == AGENT and session.opening is not Opening.OVER
        number = session.agent_number
    else:
        is_one_of_them = event.party == AGENT
    if is_one_of_them and len(session.agents) > 1:
        return {"agent": number + 1, "agents": len(session.agents)}
    return {"agent": event.agent_number + 1} if event.agent_number else {}


def _command_details(command: Command, session: Session) -> dict[str, Any]:
    """Return what a command is about, without addresses, speech, and URLs."""
    match command:
        case Transfer():
            return {"targets": len(command.to)}
        case Add() if _SAFE_TEXT.fullmatch(command.party):
            return {"party": command.party}
        case PartyCommand():
            named = session.parties.get(command.party) or session.find_party(call_sid=command.party)
            return {"party": named.name} if named is not None else {}
        case Announce():
            return {"audio": "text" if command.say else "url"}
        case _:
            return {}
