"""Conversion: moves both legs of a bridge into the conference."""

from conferral.statemachine import events
from conferral.statemachine.actions.conference import apply_conference, note_verified
from conferral.statemachine.actions.dials import set_dial_timer
from conferral.statemachine.actions.guests import add_unknown_participants
from conferral.statemachine.actions.participants import set_end_on_exit
from conferral.statemachine.actions.parties import note_gone
from conferral.statemachine.actions.pending_commands import fail_queued_commands
from conferral.statemachine.actions.recording import note_conference_recording
from conferral.statemachine.actions.reports import conclude_transfer, fail_transfer, report_converts
from conferral.statemachine.draft import Draft, not_none
from conferral.statemachine.effects import RedirectCall
from conferral.statemachine.events import Event
from conferral.statemachine.guards.conversion import leg_to_repair
from conferral.statemachine.session import AGENT, Party
from conferral.statemachine.states import PartyStatus, Phase, WaitAudio
from conferral.statemachine.step import CommandStatus


def begin_conversion(draft: Draft, _event: Event) -> None:
    """Redirect the child's leg; the parent follows by its `<Dial>` action."""
    # Twilio hangs up the child if the parent is moved first. Source: Twilio docs, modifying calls in progress.
    draft.change(phase=Phase.NONE, repair_attempted=False, open_redirects=(), moved_at_ms=0, presence_reads=0)
    for party in tuple(draft.session.parties.values()):
        draft.change_party(party, repair_moved_at_ms=0)
    redirect_leg(draft, draft.session.child)
    draft.set_timer(events.ConvertOverdue, draft.policy.convert_timeout_ms)


def accept_convert(draft: Draft, event: events.Convert) -> None:
    """Accept the command, which is done when both parties have joined."""
    draft.change(convert_command_ids=(*draft.session.convert_command_ids, event.command_id))
    draft.report(event.command_id, CommandStatus.ACCEPTED)


def note_parent_dial_ended(draft: Draft, event: events.DialEnded) -> None:
    """Record that the child's move ended the parent's `<Dial>`."""
    draft.change(dial_call_status=event.dial_call_status, moved_at_ms=draft.now_ms)


def finish_conversion_by_read(draft: Draft, event: events.CallsRead) -> None:
    """Complete the conversion: a read shows both parties in the conference."""
    apply_conference(draft, event)
    draft.change_party(draft.session.agent, status=PartyStatus.CONNECTED)
    _finish_by_read(draft, event)


def finish_conversion_with_guests(draft: Draft, event: events.CallsRead) -> None:
    """Complete the conversion: the customer is with a guest, without an agent."""
    apply_conference(draft, event)
    note_gone(draft, AGENT, event.status_of(draft.session.agent.call_sid))
    _finish_by_read(draft, event)
    set_dial_timer(draft)


def _finish_by_read(draft: Draft, event: events.CallsRead) -> None:
    draft.change_party(draft.session.customer, status=PartyStatus.CONNECTED)
    add_unknown_participants(draft, event)
    note_verified(draft, event)
    finish_conversion(draft, event)


def finish_conversion(draft: Draft, _event: Event) -> None:
    """Complete the conversion: both parties are in the conference."""
    draft.cancel_timers(events.ConvertOverdue, events.RepairOverdue)
    # Only a repair's late redirect matters: it may briefly take out a party that a dial action has joined.
    session = draft.session
    draft.change(open_redirects=session.open_redirects if session.repair_attempted else (), repair_attempted=False)
    report_converts(draft, CommandStatus.DONE)
    note_conference_recording(draft)
    # The agent of a pending transfer must be able to leave: don't set a flag that would be cleared again at once.
    set_end_on_exit(draft, agent=draft.session.running_transfer is None)


def redirect_missing_leg(draft: Draft, event: events.CallsRead) -> None:
    """Redirect a missing leg, once each; the child's first."""
    missing = not_none(leg_to_repair(draft, event))
    if event.conference_sid:
        apply_conference(draft, event)
    draft.change(repair_attempted=True, presence_reads=0)
    draft.set_timer(events.RepairOverdue, draft.policy.repair_timeout_ms)
    redirect_leg(draft, draft.session.parties[missing.name])
    draft.change_party(draft.session.parties[missing.name], repair_moved_at_ms=draft.now_ms)


def redirect_leg(draft: Draft, party: Party, wait_audio: WaitAudio = WaitAudio.NONE, left_conference: str = "") -> None:
    """Redirect a leg into the conference, out of `left_conference` if given."""
    effect_id = draft.emit(
        RedirectCall,
        party=party.name,
        call_sid=party.call_sid,
        conference=draft.session.conference_to_join,
        conference_name=draft.session.conference_name,
        label=party.label,
        attempt=2 if draft.session.repair_attempted else 1,
        wait_audio=wait_audio.value,
        left_conference=left_conference,
        attributes=draft.session.attributes,
    )
    draft.change(open_redirects=(*draft.session.open_redirects, effect_id))


def note_redirected(draft: Draft, event: events.EffectOutcome) -> None:
    """Record that Twilio accepted the redirect: the leg is on its way."""
    note_redirect_ended(draft, event)
    draft.change(moved_at_ms=draft.now_ms)


def note_redirect_ended(draft: Draft, event: events.EffectOutcome) -> None:
    """Record that a redirect has its outcome."""
    draft.change(open_redirects=tuple(one for one in draft.session.open_redirects if one != event.effect_id))
    # The outcome does not say when it moved a party for a repair: now, at the latest.
    for party in tuple(draft.session.parties.values()):
        if party.repair_moved_at_ms:
            draft.change_party(party, repair_moved_at_ms=draft.now_ms)


def return_to_bridge(draft: Draft, event: events.EffectFailed) -> None:
    """Return to the bridge: Twilio refused to move the child's leg."""
    _return_to_bridge(draft, event.reason_text)


def give_up_conversion(draft: Draft, _event: events.RepairOverdue) -> None:
    """Return to the bridge: no one was moved in time. Read Twilio once more."""
    _return_to_bridge(draft, "Twilio did not move the parties in time")
    draft.set_timer(events.LeaveOverdue, draft.policy.reread_interval_ms)


def wait_for_redirect(draft: Draft, _event: events.RepairOverdue) -> None:
    """Wait for an open redirect, which has its own deadline."""
    draft.set_timer(events.RepairOverdue, draft.policy.settle_ms)


def extend_convert_timer(draft: Draft, _event: Event) -> None:
    """Extend the timer to give a moved party time to arrive."""
    draft.set_timer(events.ConvertOverdue, draft.policy.settle_ms)


def begin_recovered_conversion(draft: Draft, _event: Event) -> None:
    """Continue a conversion that Redis lost or that another app began."""
    draft.cancel_timers(events.RingOverdue, events.LeaveOverdue)
    draft.set_timer(events.ConvertOverdue, draft.policy.convert_timeout_ms)


def _return_to_bridge(draft: Draft, reason: str) -> None:
    if draft.session.running_transfer is not None:
        fail_transfer(draft, reason)
        conclude_transfer(draft, "failed")
    draft.change(phase=Phase.CONNECTED, open_redirects=(), repair_attempted=False)
    draft.cancel_timers(events.ConvertOverdue, events.RepairOverdue)
    report_converts(draft, CommandStatus.FAILED, reason)
    fail_queued_commands(draft, reason)
