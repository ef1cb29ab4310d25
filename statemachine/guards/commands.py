"""Guards on commands and on pending ones, and on the recording."""

from conferral.statemachine import events
from conferral.statemachine.events import Add, Announce, Event, PartyCommand, Press, Record, RecordingChanged, Supervise
from conferral.statemachine.guards.conference import agent_stays, confirmed_supervise_mode
from conferral.statemachine.guards.loss import lost_agent
from conferral.statemachine.guards.waiting_party import present_parties, someone_is_being_dialed
from conferral.statemachine.parts import PendingCommand, Recording
from conferral.statemachine.reasons import Reason, reported_reason
from conferral.statemachine.session import SUPERVISOR, Party, Session
from conferral.statemachine.states import (
    END_ON_EXIT_UPDATES,
    Phase,
    RecordAction,
    RecordingStatus,
    SuperviseMode,
    TransferMode,
    TransferStage,
    TransferStatus,
    WaitAudio,
)
from conferral.statemachine.step import CommandStatus, Draft

#: Refused requests to start a recording before Conferral stops trying (count).
_REFUSED_MAX = 2
#: Source: Twilio docs, TwiML `<Conference>`, `maxParticipants`.
PARTICIPANTS_MAX = 250
#: Status, reason, and Twilio's error code; the last two may be empty.
CommandResult = tuple[CommandStatus, str, str]
_DONE: CommandResult = (CommandStatus.DONE, "", "")
_SUPERSEDED = "superseded by another command"


def named_party(draft: Draft, event: PartyCommand) -> Party | None:
    """Return the present party with the command's name or call SID, or None."""
    parties = draft.session.parties
    party = parties.get(event.party) or next((one for one in parties.values() if one.call_sid == event.party), None)
    return None if party is None or party.is_gone else party


def dials_to_come(session: Session) -> list[PendingCommand]:
    """Return the commands that are about to dial a party."""
    dials = [command for command in session.pending_commands if command.name in (Add.name, Supervise.name)]
    return [command for command in dials if command.awaits_end_on_exit_cleared or command.is_queued]


# ---- when a command arrives --------------------------------------------------------------------------------------


def names_unknown_party(draft: Draft, event: PartyCommand) -> bool:
    """Whether no party matches; `remove` may name one to be dialed."""
    return named_party(draft, event) is None and not (
        isinstance(event, events.Remove)
        and any(command.party == event.party for command in dials_to_come(draft.session))
    )


def names_customer(draft: Draft, event: PartyCommand) -> bool:
    """Whether the command names the customer."""
    return named_party(draft, event) == draft.session.customer


def names_target(draft: Draft, event: PartyCommand) -> bool:
    """Whether the command names a target of the transfer."""
    return named_party(draft, event) in draft.session.targets


def is_outside_conference(draft: Draft, event: PartyCommand) -> bool:
    """Whether the party is not in the conference, so that it can't be updated."""
    party = named_party(draft, event)
    return party is not None and not (party.in_conference and (party.answered or not party.dial_id))


def names_supervisor(draft: Draft, event: PartyCommand) -> bool:
    """Whether the command names a supervisor, whose mode decides instead."""
    party = named_party(draft, event)
    return party is not None and party.is_supervisor


def is_last_unheld(draft: Draft, event: events.Hold) -> bool:
    """Whether no one would hear anyone after this hold."""
    party = named_party(draft, event)
    return party is not None and is_only_unheld(draft.session, party)


def is_only_unheld(session: Session, party: Party) -> bool:
    """Whether this is the only present party that no command holds."""
    return not is_held_by_command(party) and sum(not is_held_by_command(one) for one in present_parties(session)) <= 1


def is_held_by_command(party: Party) -> bool:
    """Whether a command holds the party. Conferral itself holds with ringing."""
    return party.desired_hold and party.wait_audio is not WaitAudio.RINGBACK


def all_are_held(draft: Draft, _event: Event) -> bool:
    """Whether commands hold all remaining parties: none can unhold the others."""
    session, present = draft.session, present_parties(draft.session)
    are_held = len(present) > 1 and all(party.desired_hold for party in present)
    return are_held and lost_agent(session) is None and not someone_is_being_dialed(session)


def name_is_in_use(draft: Draft, event: Add) -> bool:
    """Whether a party or a pending `add` has the name."""
    return draft.session.present_party(event.party) is not None or any(
        command.name == Add.name and command.party == event.party for command in draft.session.pending_commands
    )


def is_full(draft: Draft, _event: Add | Supervise | events.Transfer) -> bool:
    """Whether the conference, with parties about to be dialed, is full."""
    session = draft.session
    limit = session.attributes.max_participants or PARTICIPANTS_MAX
    return len(session.present) + len(dials_to_come(session)) >= limit


def cannot_take_target(draft: Draft, event: events.Transfer) -> bool:
    """Whether the conference is full while the target is dialed."""
    # In a blind transfer, the agent leaves first.
    return event.mode != TransferMode.BLIND and is_full(draft, event)


def has_another_supervisor(draft: Draft, event: Supervise) -> bool:
    """Whether another supervisor is present, or the same one is leaving."""
    present = draft.session.present_party(SUPERVISOR)
    return present is not None and (present.is_leaving or present.address != event.to)


def switches_supervise_mode(draft: Draft, _event: Supervise) -> bool:
    """Whether the supervisor is present, so that only the mode changes."""
    return draft.session.present_party(SUPERVISOR) is not None


def supervisor_is_pending(draft: Draft, _event: Supervise) -> bool:
    """Whether a supervisor is about to be dialed."""
    return any(command.name == Supervise.name for command in dials_to_come(draft.session))


def has_no_agent_to_coach(draft: Draft, command: Supervise | PendingCommand) -> bool:
    """Whether there is no agent to whisper to."""
    return command.mode == SuperviseMode.WHISPER and not agent_stays(draft.session)


def agent_to_coach_is_held(draft: Draft, event: Supervise) -> bool:
    """Whether the agent is held: Twilio then refuses coaching (16027)."""
    agent = draft.session.agent
    # An agent who hears ringing on hold is taken off hold for the supervisor.
    is_held = (agent.held or agent.desired_hold) and agent.wait_audio is not WaitAudio.RINGBACK
    return event.mode == SuperviseMode.WHISPER and is_held


def is_played(command: PendingCommand) -> bool:
    """Whether the command plays an announcement, to all or of digits to one."""
    return command.name in (Announce.name, Press.name)


def playing_command(draft: Draft, _event: Event) -> PendingCommand | None:
    """Return the announcement, or digits, playing or queued; None without."""
    return next(filter(is_played, draft.session.pending_commands), None)


def has_no_audience(draft: Draft, _event: Announce) -> bool:
    """Whether no one would hear it: everyone is on hold or waiting."""
    return not _audience(draft.session)


def cannot_hear(draft: Draft, event: Press) -> bool:
    """Whether the party would not hear the digits, such as on hold."""
    return named_party(draft, event) not in _audience(draft.session)


def hearers(session: Session, command: PendingCommand) -> tuple[Party, ...]:
    """Return the parties to whom an announcement, or digits, are played."""
    return tuple(one for one in _audience(session) if command.party in ("", one.name))


def _audience(session: Session) -> tuple[Party, ...]:
    there = (one for one in session.participants if (one.answered or not one.dial_id) and not one.is_leaving)
    return tuple(one for one in there if not (one.held or one.desired_hold or one.waits_for_start))


# ---- after every event -------------------------------------------------------------------------------------------


def finished_commands(draft: Draft, _event: Event) -> list[tuple[PendingCommand, CommandResult]]:
    """Return the commands that are done or can't succeed anymore, with why."""
    results = [(command, command_result(draft, command)) for command in draft.session.pending_commands]
    return [(command, result) for command, result in results if result is not None]


def has_command_ready_to_dial(draft: Draft, _event: Event) -> bool:
    """Whether a party can be dialed: no one's leaving ends the conference."""
    clearing = any(command.awaits_end_on_exit_cleared for command in draft.session.pending_commands)
    return clearing and all(
        not party.end_on_exit and party.pending_update not in END_ON_EXIT_UPDATES
        for party in draft.session.participants
        # The flag of a held party can't be cleared before the unhold.
        if not (party.held and party.desired_hold)
    )


def command_result(draft: Draft, command: PendingCommand) -> CommandResult | None:
    """Return the result of a command; None while it is open."""
    if command.is_queued or command.awaits_end_on_exit_cleared:
        return None
    if command.name == Announce.name:
        return _announce_result(draft, command)
    if not command.party:
        return None  # the result of its effect decides
    party = draft.session.parties.get(command.party)
    if party is None or party.is_gone:
        if command.name == events.Remove.name:
            return _DONE
        reason = reported_reason(party.left_reason) if party is not None and party.left_reason else Reason.LEFT
        return CommandStatus.FAILED, reason, party.left_code if party is not None else ""
    if command.name == Supervise.name:
        return _supervise_result(draft, command, party)
    if command.name == Add.name:
        return _DONE if party.takes_part and (party.muted or not party.desired_mute) else None
    if command.name in (events.Remove.name, Press.name):
        return None  # the callback of its end decides
    return _hold_or_mute_result(command, party)


def _hold_or_mute_result(command: PendingCommand, party: Party) -> CommandResult | None:
    mutes = command.name in ("mute", "unmute")
    wanted = command.name in ("hold", "mute")
    if (party.desired_mute if mutes else party.desired_hold) != wanted:
        return CommandStatus.FAILED, _SUPERSEDED, ""
    is_as_wanted = (party.muted if mutes else party.held) == wanted
    return _DONE if is_as_wanted and not party.pending_update else None


def _supervise_result(draft: Draft, command: PendingCommand, party: Party) -> CommandResult | None:
    """Return the result; None while open. A failed switch has set `monitor`."""
    if party.supervises != command.mode:
        if isinstance(draft.event, events.EffectFailed):
            return CommandStatus.FAILED, draft.event.reason_text, draft.event.code_text
        return CommandStatus.FAILED, _SUPERSEDED, ""
    is_confirmed = (
        party.takes_part and not party.pending_update and confirmed_supervise_mode(draft.session, party) == command.mode
    )
    return _DONE if is_confirmed else None


def _announce_result(draft: Draft, command: PendingCommand) -> CommandResult | None:
    if not command.playing_to:
        return None  # all participants hear it, and a callback reports its end
    still = {party.call_sid for party in draft.session.participants}
    return None if still.intersection(command.playing_to) else _DONE


def is_of_announcement(draft: Draft, event: events.AnnouncementEnded) -> bool:
    """Whether the event is about the announcement that is playing."""
    command = playing_command(draft, event)
    if command is None:
        return False
    # The late end of an earlier announcement says nothing about this one.
    url = command.url.partition("#")[0]  # as in callbacks: a fragment holds connection overrides
    is_this = event.command == command.command_id if event.command else event.url in ("", url)
    return is_this and (event.call_sid in command.playing_to if command.playing_to else not event.call_sid)


# ---- guards on the recording of a session --------------------------------------------------------------------------


#: Consecutive failures after which a recording stays as it is (count); each may take a request's longest time.
_FAILURES_MAX = 5
STATUS_AFTER = {
    RecordAction.START: RecordingStatus.IN_PROGRESS,
    RecordAction.PAUSE: RecordingStatus.PAUSED,
    RecordAction.RESUME: RecordingStatus.IN_PROGRESS,
    RecordAction.STOP: RecordingStatus.STOPPED,
}
#: By wanted status.
_ACTION_TO_REACH: dict[str, RecordAction] = {
    status: action for action, status in STATUS_AFTER.items() if action is not RecordAction.START
}
#: It does not record anymore, and can't be resumed.
_OVER = frozenset(RecordingStatus) - {RecordingStatus.IN_PROGRESS, RecordingStatus.PAUSED}


def recording_of(session: Session) -> Recording:
    """Return the newest recording; an empty one before the first."""
    return session.recording or Recording()


def is_recorded(session: Session) -> bool:
    """Whether a recording is running, paused, or about to start."""
    recording = recording_of(session)
    return recording.status not in _OVER and bool(recording.status or recording.pending_update)


def is_recorded_already(draft: Draft, event: Record) -> bool:
    """Whether the command starts a recording while one is running."""
    return event.action == RecordAction.START and is_recorded(draft.session)


def would_restart_recording(draft: Draft, event: Record) -> bool:
    """Whether `start` would restart the conference's own recording."""
    return event.action == RecordAction.START and recording_of(draft.session).of_conference


def is_not_recorded(draft: Draft, event: Record) -> bool:
    """Whether there is no recording to pause, resume, or stop."""
    return event.action != RecordAction.START and not is_recorded(draft.session)


def is_changing_recording(draft: Draft, _event: Record) -> bool:
    """Whether a recording request is still open."""
    return bool(recording_of(draft.session).pending_update)


def would_record_consult(draft: Draft, event: Record) -> bool:
    """Whether the command would resume the recording of a private consult."""
    records_conference = recording_of(draft.session).of_conference and is_recorded(draft.session)
    return event.action == RecordAction.RESUME and records_conference and consult_is_private(draft)


def is_of_newest_recording(draft: Draft, event: RecordingChanged) -> bool:
    """Whether the event is about the session's newest recording."""
    recording = draft.session.recording
    if event.of_conference and draft.session.is_former_conference(event.conference_sid):
        return False
    if recording is None:
        return event.of_conference
    if recording.pending_update == RecordAction.START and event.status in _OVER:
        return False  # the recording being started is not over, so this is an earlier one
    if recording.sid:
        return recording.sid == event.recording_sid
    return recording.of_conference == event.of_conference


def recording_is_due(draft: Draft, _event: Event) -> bool:
    """Whether the answered customer's call should be recorded, and is not yet."""
    session = draft.session
    if session.attributes.record != "customer" or session.phase is Phase.RINGING:
        return False
    customer, recording = session.customer, session.recording
    is_there = bool(customer.call_sid) and not (customer.is_gone or customer.is_leaving)
    if recording is None:
        return is_there
    is_open = recording.status == "" and not recording.pending_update
    # Twilio may be unable to record a call made by `<Dial>` before it is in a conference.
    return is_there and is_open and recording.failures < _REFUSED_MAX and bool(session.conference_sid)


def next_recording_action(draft: Draft, _event: Event) -> RecordAction | None:
    """Return how the recording is to change; None if it is as wanted."""
    recording = recording_of(draft.session)
    if not is_recorded(draft.session) or recording.pending_update or recording.failures >= _FAILURES_MAX:
        return None
    is_wanted = recording.wanted == RecordingStatus.IN_PROGRESS
    must_pause = is_wanted and recording.of_conference and consult_is_private(draft)
    wanted = RecordingStatus.PAUSED if must_pause else recording.wanted
    return None if recording.status == wanted else _ACTION_TO_REACH[wanted]


def consult_is_private(draft: Draft) -> bool:
    """Whether agent and target talk, or may talk, without the customer."""
    transfer = draft.session.running_transfer if draft.session.phase is Phase.CONSULT else None
    is_begun = transfer is not None and transfer.stage is not TransferStage.CLEARING_END_ON_EXIT
    return is_begun and draft.transfer.status is not TransferStatus.MERGED


def consult_is_unrecorded(draft: Draft, _event: Event) -> bool:
    """Whether nothing records the consult."""
    recording = recording_of(draft.session)
    is_paused = recording.status == RecordingStatus.PAUSED and not recording.pending_update
    return is_paused or not recording.of_conference or not is_recorded(draft.session)
