"""Transfer from the answer on: handover, fallback, voicemail, and park."""

from typing import Any

from conferral.statemachine import events, guards
from conferral.statemachine.actions import parties, reports
from conferral.statemachine.actions.bridge import fail_waiting_commands
from conferral.statemachine.actions.conference import stop_waiting
from conferral.statemachine.actions.dials import agent_options, dial, hang_up_party
from conferral.statemachine.actions.loss import ring_lost_agent
from conferral.statemachine.actions.participants import suspect, unhold_all, want_hold, want_unhold
from conferral.statemachine.actions.session_end import end_session, reason_if_left_first
from conferral.statemachine.actions.transfer_start import accept_transfer
from conferral.statemachine.effects import FindMessage, RedirectToVoicemail
from conferral.statemachine.events import Event
from conferral.statemachine.legs import note_facts, overtake_reads
from conferral.statemachine.parts import DialOptions, Voicemail
from conferral.statemachine.reasons import EndReason, Reason, reported_reason
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, CUSTOMER, TARGET, Party
from conferral.statemachine.states import (
    CallStatus,
    Opening,
    PartyStatus,
    Phase,
    Place,
    RecordingStatus,
    TransferMode,
    TransferStage,
    TransferStatus,
    WaitAudio,
)
from conferral.statemachine.step import CommandStatus, DecisionKind, Draft, not_none


def swap(draft: Draft, event: events.Swap) -> None:
    """Hold the party the agent talks to, before unholding the other."""
    reports.begin_step(draft, event)
    talks_to = TARGET if draft.session.customer.desired_hold else CUSTOMER
    draft.change_transfer(swap_to=CUSTOMER if talks_to == TARGET else TARGET)
    want_hold(draft, talks_to, WaitAudio.MUSIC)


def unhold_next_party(draft: Draft, _event: Event) -> None:
    """Unhold the party that the agent now talks to: the other is held."""
    want_unhold(draft, draft.transfer.swap_to)


def finish_step(draft: Draft, _event: Event) -> None:
    """Report the step in progress as done."""
    reports.report_step(draft, CommandStatus.DONE)


def undo_swap(draft: Draft, _event: events.StageOverdue) -> None:
    """Undo the swap: Twilio did not confirm the hold.

    Unless the other is off hold already: Redis lost that the swap went on.
    """
    if not draft.session.parties[draft.transfer.swap_to].desired_hold:
        reports.report_step(draft, CommandStatus.FAILED, Reason.UNKNOWN)
        return
    reports.report_step(draft, CommandStatus.FAILED, Reason.HOLD_FAILED)
    first = CUSTOMER if draft.transfer.swap_to == TARGET else TARGET
    want_unhold(draft, first)
    draft.change_transfer(swap_to=first)


def await_lasting_hold(draft: Draft, event: events.StageOverdue) -> None:
    """Begin nothing private while a late request may undo the hold."""
    party = not_none(guards.hold_may_be_undone(draft, event))
    wait_ms = party.late_unhold_ms + draft.policy.late_unhold_ms - draft.now_ms
    if wait_ms > 0:
        draft.set_timer(events.StageOverdue, wait_ms)


def finish_swap_or_merge(draft: Draft, _event: Event) -> None:
    """Report the swap or the merge, after which all three talk, as done."""
    if draft.transfer.step_name == events.Merge.name:
        draft.change_transfer(status=TransferStatus.MERGED)
    reports.report_step(draft, CommandStatus.DONE)


def undo_complete(draft: Draft, event: events.EffectFailed) -> None:
    """Fail `complete`: Twilio refused to hang up the agent; all three talk."""
    reports.report_step(draft, CommandStatus.FAILED, event.reason_text, event.code_text)
    draft.change_transfer(status=TransferStatus.MERGED)


def complete_after_agent_left(draft: Draft, event: Event) -> None:
    """Continue with customer and target: the agent has hung up."""
    reports.report_step(draft, CommandStatus.FAILED, EndReason.AGENT_LEFT)
    unhold_all(draft, event)


# ---- handover to the target or a ring group's winner, and the fallback ---------------------------------------------


def choose_winner(draft: Draft, _event: Event) -> None:
    """Hang up all dialed parties but the one that answered first."""
    winner = not_none(guards.answering_party(draft, _event))
    draft.change_attempt(winner.dial_id, result="answered")
    for other in guards.dialed_parties(draft):
        if other.name != winner.name and not other.is_gone:
            hang_up_party(draft, other)
    if draft.session.phase not in guards.AGENT_RING_PHASES:
        parties.rename_parties(draft, {winner.name: TARGET})


def let_agent_talk(draft: Draft, _event: Event) -> None:
    """Let agent and target talk, or all three; report `transfer` as done."""
    want_unhold(draft, AGENT)  # who heard ringing
    is_consult = draft.session.phase is Phase.CONSULT
    draft.change_transfer(status=TransferStatus.CONSULTING if is_consult else TransferStatus.MERGED)
    reports.report_transfer(draft, CommandStatus.DONE)


def unhold_waiting(draft: Draft, _event: Event) -> None:
    """Unhold the customer, and others whom the agent who left held."""
    for party in draft.session.parties.values():
        if party.name != AGENT and not guards.keeps_found_hold(draft, party):
            want_unhold(draft, party.name)


def complete_transfer(draft: Draft, _event: Event) -> None:
    """Complete the transfer: the party that answered is the agent now."""
    if draft.session.phase not in guards.AGENT_RING_PHASES:
        parties.rename_parties(draft, {AGENT: parties.next_name(draft.session, AGENT), TARGET: AGENT})
    reports.report_step(draft, CommandStatus.DONE)
    if draft.session.phase is Phase.RECALL:
        reports.conclude_transfer(draft, "recalled", Place.RECALL)
    elif draft.transfer.place:
        # The transfer was reported as failed; the customer is with the fallback destination.
        draft.change_transfer(status=TransferStatus.FAILED, reason=f"{draft.transfer.reason}, fallback answered")
        reports.conclude_transfer(draft, "failed", draft.transfer.place)
    else:
        reports.succeed_transfer(draft)


def return_to_agent(draft: Draft, _event: Event) -> None:
    """Return the customer to the agent: the transfer failed or was canceled."""
    reports.report_step(draft, CommandStatus.DONE)
    reports.conclude_transfer(draft, draft.transfer.status.value)


def cancel_transfer(draft: Draft, event: events.Cancel) -> None:
    """Hang up the target before the customer is unheld."""
    reports.begin_step(draft, event)
    draft.change_transfer(status=TransferStatus.CANCELLED, reason=EndReason.COMMAND)
    reports.report_transfer(draft, CommandStatus.FAILED, Reason.CANCELLED)
    _release_targets(draft)


def fail_at_hold_limit(draft: Draft, _event: events.HoldOverdue) -> None:
    """Fail the consult, in which a hold lasted for `CONFERRAL_HOLD_LIMIT`."""
    reports.fail_transfer(draft, Reason.HOLD_LIMIT)
    draft.reason = Reason.HOLD_LIMIT
    _release_targets(draft)


def _release_targets(draft: Draft) -> None:
    for target in draft.session.targets:
        if not target.is_gone:
            hang_up_party(draft, target)


def cancel_queued_transfer(draft: Draft, event: events.Cancel) -> None:
    """Cancel a transfer that has not started; the two parties stay."""
    cancel_transfer(draft, event)
    reports.report_step(draft, CommandStatus.DONE)
    reports.conclude_transfer(draft, "cancelled")


def note_target_left(draft: Draft, event: Event) -> None:
    """Return to agent and customer: the target joined and hung up."""
    draft.change_transfer(status=TransferStatus.CANCELLED, reason=Reason.TARGET_LEFT)
    reports.report_step(draft, CommandStatus.FAILED, Reason.TARGET_LEFT)
    unhold_all(draft, event)


def fail_and_return(draft: Draft, event: Event) -> None:
    """Return to agent and customer: no target was reached, or none dialed."""
    session = draft.session
    reason: Reason | EndReason
    if draft.transfer.stage is TransferStage.CLEARING_END_ON_EXIT:
        reason, code = Reason.END_FLAG_UNCONFIRMED, session.agent.update_code or session.customer.update_code
    elif draft.transfer.stage is TransferStage.HOLDING_CUSTOMER:
        reason, code = Reason.HOLD_FAILED, session.customer.update_code
        if guards.customer_is_held(draft, event):
            reason, code = Reason.RECORDING_FAILED, guards.recording_of(session).update_code
    else:
        reason, code = unreached_reason(draft), unreached_code(draft)
    reports.fail_transfer(draft, reason, code)
    unhold_all(draft, event)


def note_unreached(draft: Draft, _event: Event) -> None:
    """Play music to the lone customer, and note why no one was reached."""
    why: str = unreached_reason(draft)
    transfer = draft.transfer
    if transfer.step_name == "complete":
        reports.report_step(draft, CommandStatus.DONE)
    if transfer.status is TransferStatus.CANCELLED:
        why = transfer.reason
        if transfer.step_name == "cancel":
            reports.report_step(draft, CommandStatus.DONE)  # the target is gone, as the command requested
    want_hold(draft, CUSTOMER, WaitAudio.MUSIC)
    draft.change_transfer(unreached=why)
    if transfer.place:
        why = f"{transfer.reason}, {'recall' if transfer.place == Place.RECALL else 'fallback'} {why}"
    reports.fail_transfer(draft, why, unreached_code(draft))


def begin_recall(draft: Draft, event: Event) -> None:
    """Ring the agent as the fallback's next place."""
    begin_place(draft, Phase.RECALL)
    ring_agent(draft, event)


def dial_fallback(draft: Draft, _event: Event) -> None:
    """Dial the destination that is the fallback's next place.

    One who is to take a call for the agents is dialed like them.
    """
    begin_place(draft, Phase.FALLBACK)
    parties.retire_targets(draft)
    to = draft.transfer.place
    dial(draft, TARGET, to, options=agent_options(draft, to) if draft.session.internal_transfer else DialOptions())


def begin_place(draft: Draft, phase: Phase) -> None:
    """Begin the next place of the fallback, with this phase."""
    draft.change(phase=phase)
    draft.change_transfer(places_tried=draft.transfer.places_tried + 1)


def ring_agent(draft: Draft, _event: Event) -> None:
    """Call the agent back; the gate's document says what failed."""
    if draft.transfer.mode is TransferMode.LOSS:
        ring_lost_agent(draft, _event)
        return
    former = draft.session.agent
    to = draft.session.parked_by or former.address
    if former.address != to:
        parties.number_former_party(draft, AGENT)  # this agent failed to retrieve the call
    reason = draft.transfer.reason.partition(",")[0]
    dial(draft, AGENT, to, options=DialOptions(), gated=True, rung_again_because=reason)


def unreached_reason(draft: Draft) -> Reason | EndReason:
    """Return why no one was reached, by the last of the dialed parties."""
    if draft.session.phase is Phase.CONSULT and draft.transfer.reason == Reason.HOLD_LIMIT:
        return Reason.HOLD_LIMIT  # and then the agent left
    if (last := _last_unreached(draft)) is not None:
        return reported_reason(last.left_reason)
    was_removed = any(party.is_removed for party in guards.dialed_parties(draft) if party.is_gone)
    return Reason.CANCELLED if was_removed else Reason.FAILED


def unreached_code(draft: Draft) -> str:
    """Return Twilio's error code if it refused that dial; else empty."""
    last = _last_unreached(draft)
    return last.left_code if last is not None else ""


def _last_unreached(draft: Draft) -> Party | None:
    gone = [party for party in guards.dialed_parties(draft) if party.is_gone]
    unreached = [party for party in gone if party.left_reason not in (Reason.TAKEN, Reason.CANCELLED)]
    dialed = [party for party in unreached if party.left_reason != Reason.DIAL_LIMIT]
    return next(iter((dialed or unreached)[-1:]), None)


# ---- park and retrieve: the customer hears music meanwhile ---------------------------------------------------------


def note_parked(draft: Draft, _event: Event) -> None:
    """Complete the park: the customer waits until the park timeout."""
    reports.succeed_transfer(draft)
    draft.change(
        phase=Phase.PARKED,
        parked_by=draft.session.agent.address,
        parked_until_ms=draft.now_ms + draft.policy.park_timeout_ms,
        open_redirects=(),
        repair_attempted=False,
        first_to_leave="",
    )


def retrieve(draft: Draft, event: events.Retrieve) -> None:
    """Dial the party that retrieves the call; end an offer."""
    accept_transfer(draft, event)
    draft.change(phase=Phase.RETRIEVE)
    if not draft.session.agent.is_gone:
        hang_up_party(draft, draft.session.agent)
    parties.rename_parties(draft, {AGENT: parties.next_name(draft.session, AGENT)})
    dial(draft, AGENT, event.to, options=event.options, gated=True)


def return_to_park(draft: Draft, _event: Event) -> None:
    """Return to park or queue for the remaining time: no one took the call."""
    reports.fail_transfer(draft, unreached_reason(draft), unreached_code(draft))
    reports.conclude_transfer(draft, "failed")
    want_hold(draft, CUSTOMER, WaitAudio.MUSIC)
    draft.change(phase=Phase.QUEUED if draft.session.queued_since_ms else Phase.PARKED, first_to_leave="")


def begin_park_fallback(draft: Draft, _event: Event) -> None:
    """Begin the fallback: no one retrieved the parked call in time."""
    before = draft.session.transfer
    stop_waiting(draft)
    draft.change(phase=Phase.FALLBACK)
    draft.begin_transfer(
        TransferMode.PARK,
        to=(draft.session.parked_by,) if draft.session.parked_by else (),
        fallback=before.fallback if before else draft.policy.fallback,
        by=before.by if before and before.mode is TransferMode.PARK else "",
    )
    reports.fail_transfer(draft, EndReason.PARK_TIMEOUT)


# ---- an inbound call's fallback, and the voicemail -------------------------------------------------------------------


def begin_inbound_fallback(draft: Draft, event: Event) -> None:
    """Begin the fallback of a caller whom no agent took, who waits with music.

    An agent who is already gone keeps the earlier reason. The transfer is internal: users see none.
    """
    reason_if_not_gone = event.dial_call_status if isinstance(event, events.DialEnded) else CallStatus.NO_ANSWER
    code = event.code_text if isinstance(event, events.DialEnded) else ""
    if not draft.session.agent.address:
        reason_if_not_gone = EndReason.CLOSED if draft.session.closed else Reason.NOT_CONFIGURED
    parties.note_gone(draft, AGENT, reason_if_not_gone, code)
    session = draft.session
    fail_waiting_commands(draft, reported_reason(session.agent.left_reason), session.agent.left_code)
    draft.change(phase=Phase.FALLBACK, opening=Opening.OVER, first_to_leave="")
    draft.begin_transfer(
        TransferMode.INBOUND,
        to=(),
        status=TransferStatus.FAILED,
        reason=reported_reason(session.agent.left_reason),
        code=session.agent.left_code,
        unreached=reported_reason(session.agent.left_reason),
        fallback=session.fallback,
        # Places before the queue are skipped.
        places_tried=session.fallback.index(Place.QUEUE) if session.begins_in_queue else 0,
    )
    draft.change_party(session.customer, status=PartyStatus.CONNECTED, wait_audio=WaitAudio.MUSIC)
    overtake_reads(draft, session.customer)
    draft.cancel_timers(events.CallsOverdue)


def move_to_voicemail(draft: Draft, _event: Event) -> None:
    """Move the customer to the voicemail; supervisors are hung up."""
    begin_place(draft, Phase.VOICEMAIL)
    reports.record_transfer(draft, "failed", Place.VOICEMAIL)
    for party in draft.session.present.values():
        if party.name != CUSTOMER:
            hang_up_party(draft, party)
    effect_id = draft.emit(RedirectToVoicemail, party=CUSTOMER, call_sid=draft.session.customer.call_sid)
    draft.change(voicemail=Voicemail(move_effect_id=effect_id, conference_sid=draft.session.conference_sid))


def _change_voicemail(draft: Draft, **changes: Any) -> None:
    draft.change(voicemail=replace(not_none(draft.session.voicemail), **changes))


def note_moved_to_voicemail(draft: Draft, _event: events.EffectSucceeded) -> None:
    """Record that the customer hears the greeting."""
    _change_voicemail(draft, move_effect_id="")
    note_facts(draft, draft.session.customer, in_conference=False)


def verify_voicemail(draft: Draft, event: events.EffectUnknown | events.EffectFailed) -> None:
    """Read Twilio: the customer may be in the conference, or gone."""
    _change_voicemail(draft, move_effect_id="", may_not_have_moved=True)
    overtake_reads(draft, draft.session.customer)
    suspect(draft, event)


def repeat_voicemail(draft: Draft, _event: events.CallsRead) -> None:
    """Move the customer once more: a worker may have died before its request."""
    effect_id = draft.emit(RedirectToVoicemail, party=CUSTOMER, call_sid=draft.session.customer.call_sid)
    _change_voicemail(draft, move_effect_id=effect_id, may_not_have_moved=False, was_repeated=True)


def give_up_voicemail(draft: Draft, event: Event) -> None:
    """Note that Twilio did not move the customer, or can't run our document."""
    draft.change(voicemail=None)
    code = event.code_text if isinstance(event, events.EffectFailed) else ""
    reports.fail_transfer(draft, f"{draft.transfer.reason}, voicemail failed", code)
    if isinstance(event, events.EffectFailed):
        suspect(draft, event)


def note_message(draft: Draft, event: events.RecordingChanged | events.EffectSucceeded) -> None:
    """Record that the message begins or is over; report it if it is kept."""
    before = draft.session.voicemail or Voicemail()
    status = event.status if isinstance(event, events.RecordingChanged) else RecordingStatus.COMPLETED
    if status == RecordingStatus.COMPLETED and event.recording_sid not in ("", before.recording_sid):
        reports.add_conclusion(
            draft,
            f"voicemail-{event.recording_sid}",
            kind="voicemail",
            result="recorded",
            recording_sid=event.recording_sid,
            duration_s=event.duration_s,
            **reports.times_of_recording(draft, event),
        )
        sid = event.recording_sid
        draft.change(voicemail=replace(before, is_recording=True, is_over=True, recording_sid=sid))
    elif status == RecordingStatus.IN_PROGRESS:
        draft.change(voicemail=replace(before, is_recording=True, may_not_have_moved=False))
    elif status == RecordingStatus.ABSENT:
        draft.change(voicemail=replace(before, is_recording=True, is_over=True, is_absent=True))
    elif status == RecordingStatus.PROCESSING and event.recording_sid != before.recording_sid:
        draft.change(voicemail=replace(before, is_recording=True, is_over=True))
    else:
        draft.ignore(DecisionKind.STALE, "the message is known, or there is none")


def end_voicemail(draft: Draft, _event: Event) -> None:
    """End the session: the customer has left a message, or hung up."""
    voicemail, customer = not_none(draft.session.voicemail), draft.session.customer
    end_session(draft, EndReason.VOICEMAIL if voicemail.is_recording else reason_if_left_first(customer))
    if not (voicemail.recording_sid or voicemail.is_absent):  # the callback that says so may be lost
        draft.emit(FindMessage, party=CUSTOMER, call_sid=customer.call_sid)
