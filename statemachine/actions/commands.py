"""Commands about parties: `add`, `remove`, `hold`, `mute`, and more."""

from typing import Any

from conferral.statemachine import events, guards
from conferral.statemachine.actions.conference import vacate_name
from conferral.statemachine.actions.dials import dial, hang_up_party
from conferral.statemachine.actions.participants import clear_end_on_exit, restore_end_on_exit, suspect
from conferral.statemachine.actions.parties import accept_command, change_command, fail_commands, finish_command
from conferral.statemachine.effects import PlayAnnouncement
from conferral.statemachine.events import COMMANDS_BY_NAME, Event
from conferral.statemachine.parts import PendingCommand
from conferral.statemachine.reasons import Reason
from conferral.statemachine.refusals import CANT_HEAR, LAST_UNHELD, NO_AGENT_TO_COACH, NO_ONE_HEARS
from conferral.statemachine.session import AGENT, SUPERVISOR
from conferral.statemachine.states import SuperviseMode, WaitAudio
from conferral.statemachine.step import CommandStatus, Draft, not_none


def queue_command(draft: Draft, event: events.Command) -> None:
    """Queue the command until the running conversion is done."""
    accept_command(draft, event, is_queued=True, due_ms=event.deadline_ms, **_pending_command_fields(draft, event))


def begin_command(draft: Draft, event: events.Command) -> None:
    """Start the command: both parties are in the conference."""
    _start_command(draft, accept_command(draft, event, **_pending_command_fields(draft, event)))


def begin_queued_commands(draft: Draft) -> None:
    """Start the queued commands in order: both parties have joined."""
    for command in draft.session.pending_commands:
        if command.is_queued:
            _start_command(draft, change_command(draft, command, is_queued=False, due_ms=0))


def _pending_command_fields(draft: Draft, event: events.Command) -> dict[str, Any]:
    if isinstance(event, events.PartyCommand):
        return {"party": not_none(guards.named_party(draft, event)).name}
    if isinstance(event, events.Add):
        return {"party": event.party, "to": event.to, "muted": event.muted, "options": event.options}
    if isinstance(event, events.Supervise):
        return {"party": SUPERVISOR, "to": event.to, "mode": event.mode, "options": event.options}
    return {"url": event.url, "say": event.say} if isinstance(event, events.Announce) else {}


def _start_command(draft: Draft, command: PendingCommand) -> None:
    if command.name == events.Convert.name:
        finish_command(draft, command, CommandStatus.DONE)
    elif guards.is_played(command):
        _play_announcement(draft, command)
    elif command.name in (events.Add.name, events.Supervise.name):
        # Before anyone is dialed, no party's leaving may end the conference.
        clear_end_on_exit(draft)
        change_command(
            draft, command, awaits_end_on_exit_cleared=True, due_ms=draft.now_ms + draft.policy.hold_timeout_ms
        )
    else:
        _want_hold_or_mute(draft, command)


def _want_hold_or_mute(draft: Draft, command: PendingCommand) -> None:
    party = draft.session.parties.get(command.party)
    if party is None or party.is_gone:
        return  # left during the conversion; finish_commands reports that
    if command.name == events.Hold.name:
        if guards.is_only_unheld(draft.session, party):  # an earlier command leaves no one else off hold
            finish_command(draft, command, CommandStatus.FAILED, LAST_UNHELD)
            return
        draft.change_party(party, desired_hold=True, wait_audio=WaitAudio.MUSIC)
    elif command.name == events.Unhold.name:
        draft.change_party(party, desired_hold=False, wait_audio=WaitAudio.NONE)
    else:
        draft.change_party(party, desired_mute=command.name == events.Mute.name)
    change_command(draft, command, due_ms=draft.pending_until_ms(COMMANDS_BY_NAME[command.name]))


def dial_added_parties(draft: Draft, _event: Event) -> None:
    """Dial the new parties: no party's leaving ends the conference now."""
    for command in draft.session.pending_commands:
        if command.awaits_end_on_exit_cleared:
            change_command(draft, command, awaits_end_on_exit_cleared=False, due_ms=0)
            vacate_name(draft, command.party)
            dial(
                draft, command.party, command.to, options=command.options, supervises=command.mode,
                muted=command.muted,
            )  # fmt: skip


def switch_supervise_mode(draft: Draft, event: events.Supervise) -> None:
    """Switch the supervisor to another mode."""
    there = not_none(draft.session.present_party(SUPERVISOR))
    due_ms = draft.pending_until_ms(events.Supervise) if there.takes_part else 0
    accept_command(draft, event, party=there.name, to=event.to, mode=event.mode, due_ms=due_ms)
    draft.change_party(there, supervises=event.mode)


def remove_party(draft: Draft, event: events.Remove) -> None:
    """Hang up one party, or do not dial it; the others stay."""
    party = guards.named_party(draft, event)
    if party is None:
        dials = [command for command in guards.dials_to_come(draft.session) if command.party == event.party]
        fail_commands(draft, Reason.CANCELLED, only=dials)
        draft.report(event.command_id, CommandStatus.DONE)
        restore_end_on_exit(draft)
        return
    accept_command(draft, event, party=party.name, due_ms=draft.pending_until_ms(events.Remove))
    if party.name == AGENT and not draft.session.first_to_leave:
        draft.change(first_to_leave=AGENT)
    # Twilio may have refused an earlier hangup, which then is requested again.
    is_requested = party.hang_up_requested and not party.hang_up_has_result
    draft.change_party(party, is_removed=True, hang_up_requested=is_requested)
    hang_up_party(draft, draft.session.parties[party.name])


def _play_announcement(draft: Draft, command: PendingCommand) -> None:
    hearers = guards.hearers(draft.session, command)
    if not hearers:
        if guards.command_result(draft, command) is None:  # else, finish_commands reports that the party has left
            reason = CANT_HEAR if command.party else NO_ONE_HEARS
            finish_command(draft, command, CommandStatus.FAILED, reason)
        return
    plays_to_each = command.party or len(hearers) < len(draft.session.participants)  # else, once to the conference
    effects = tuple(
        draft.emit(
            PlayAnnouncement,
            party=name,
            conference_sid=draft.session.conference_sid,
            call_sid=call_sid,
            url=command.url,
            command_id=command.command_id,
        )
        for name, call_sid in ([(party.name, party.call_sid) for party in hearers] if plays_to_each else [("", "")])
    )
    change_command(
        draft,
        command,
        effects=effects,
        playing_to=tuple(party.call_sid for party in hearers) if plays_to_each else (),
        due_ms=draft.pending_until_ms(COMMANDS_BY_NAME[command.name]),
    )


def note_announcement_ended(draft: Draft, event: events.AnnouncementEnded) -> None:
    """Record that an announcement ended or failed, for one call or for all."""
    command = not_none(guards.playing_command(draft, event))
    rest = tuple(call for call in command.playing_to if call != event.call_sid)
    if event.failed:
        what = "digits" if command.name == events.Press.name else "announcement"
        reason = f"the {what} could not be played ({event.reason})" if event.reason else Reason.FAILED
        finish_command(draft, command, CommandStatus.FAILED, reason)
    elif rest:
        change_command(draft, command, playing_to=rest)
    else:
        finish_command(draft, command, CommandStatus.DONE)


def note_announcement_failed(draft: Draft, event: events.EffectResult) -> None:
    """Record that Twilio refused an announcement."""
    command = next((one for one in draft.session.pending_commands if event.effect_id in one.effects), None)
    if command is None or isinstance(event, events.EffectUnknown):
        return  # one with an unknown result may still report its end
    assert isinstance(event, events.EffectFailed)
    there = draft.session.parties.get(event.party)
    rest = tuple(call for call in command.playing_to if there is not None and call != there.call_sid)
    if event.gone and rest:
        change_command(draft, command, playing_to=rest)  # a party that has left need not hear it
    else:
        reason = NO_ONE_HEARS if event.gone else event.reason_text
        finish_command(draft, command, CommandStatus.FAILED, reason, event.code_text)


def finish_commands(draft: Draft, event: Event) -> None:
    """Report the commands that are done or can't succeed anymore."""
    for command, result in guards.finished_commands(draft, event):
        finish_command(draft, command, *result)


def fail_overdue_commands(draft: Draft, event: events.PendingCommandOverdue) -> None:
    """Fail commands that Twilio has not confirmed in time."""
    overdue = [command for command in draft.session.pending_commands if 0 < command.due_ms <= draft.now_ms]
    for command in overdue:
        party = draft.session.parties.get(command.party)
        code = party.update_code if party is not None else ""
        finish_command(draft, command, CommandStatus.FAILED, _undo_overdue(draft, command), code)
    if overdue:  # the callback of a departure may be lost: verify that no one is alone
        suspect(draft, event)


def _undo_overdue(draft: Draft, command: PendingCommand) -> str:
    """Undo an overdue hold or supervise mode; return the failure's reason."""
    if command.awaits_end_on_exit_cleared:
        return Reason.END_FLAG_UNCONFIRMED
    party = draft.session.parties.get(command.party)
    if command.name == events.Hold.name and party is not None and not party.held:
        draft.change_party(party, desired_hold=False, wait_audio=WaitAudio.NONE)
        return Reason.HOLD_FAILED
    if command.name == events.Supervise.name and party is not None and party.supervises == command.mode:
        draft.change_party(party, supervises=SuperviseMode.MONITOR.value)
        if guards.has_no_agent_to_coach(draft, command):
            return NO_AGENT_TO_COACH
    return "unknown: Twilio did not confirm it"
