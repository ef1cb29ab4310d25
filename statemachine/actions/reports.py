"""Reports of commands' status, and outcome records."""

from typing import Any

from conferral.statemachine.events import (
    Cancel,
    Command,
    Complete,
    Convert,
    EffectSucceeded,
    RecordingChanged,
    Remove,
    StageOverdue,
)
from conferral.statemachine.ids import call_of_visit
from conferral.statemachine.reasons import NO_AGENT, EndReason, Reason, reported_reason
from conferral.statemachine.session import Session
from conferral.statemachine.states import ANSWERED_DIAL_STATUSES, Place, TransferStage, TransferStatus
from conferral.statemachine.step import CommandStatus, Conclusion, Draft

#: How the SIDs of recordings begin. Source: Twilio docs, "What is a String Identifier (SID)?"
_RECORDING = "RE"


def report_done(draft: Draft, event: Convert | Complete) -> None:
    """Report `done`: what the command wants is so already."""
    draft.report(event.command_id, CommandStatus.DONE)


def report_transfer(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Report the result of the `transfer` command, once."""
    if draft.transfer.command_id:
        draft.report(draft.transfer.command_id, status, reason, draft.transfer.code)
        draft.change_transfer(command_id="")


def begin_step(draft: Draft, event: Command) -> None:
    """Start a step of the transfer; it overrides a step in progress."""
    report_step(draft, CommandStatus.FAILED, f"superseded by {event.name}")
    draft.report(event.command_id, CommandStatus.ACCEPTED)
    name = event.name
    if isinstance(event, Remove):
        # Removing the agent of a transfer completes it; removing the target cancels it.
        agent = draft.session.agent
        name = Complete.name if event.party in (agent.name, agent.call_sid) else Cancel.name
    draft.change_transfer(step_command_id=event.command_id, step_name=name, step_deadline_ms=event.deadline_ms)


def report_step(draft: Draft, status: CommandStatus, reason: str = "", code: str = "") -> None:
    """Report the result of the step in progress, if there is one."""
    if draft.transfer.step_command_id:
        draft.report(draft.transfer.step_command_id, status, reason, code)
    draft.change_transfer(step_command_id="", step_name="", step_deadline_ms=0)


def fail_transfer(draft: Draft, reason: str, code: str = "") -> None:
    """Mark the transfer as failed and report it immediately."""
    code = draft.transfer.code or code
    draft.change_transfer(status=TransferStatus.FAILED, reason=reason, code=code)
    report_transfer(draft, CommandStatus.FAILED, reason)
    report_step(draft, CommandStatus.FAILED, reason, code)


def succeed_transfer(draft: Draft) -> None:
    """Mark the transfer as completed, report it, and close it."""
    draft.change_transfer(status=TransferStatus.COMPLETED, reason="", code="")
    report_transfer(draft, CommandStatus.DONE)
    conclude_transfer(draft, "completed")


def conclude_transfer(draft: Draft, result: str, landed_on: str = "") -> None:
    """Close the transfer and write its outcome record, with this result."""
    for attempt in draft.transfer.attempts:
        if not attempt.result:  # another target answered first, so this phone stops ringing
            draft.change_attempt(attempt.dial_id, result=Reason.CANCELLED, ended_at_ms=draft.at_ms)
    record_transfer(draft, result, landed_on)
    draft.change_transfer(stage=TransferStage.OVER)
    draft.cancel_timers(StageOverdue)


def record_transfer(draft: Draft, result: str, landed_on: str) -> None:
    """Write the transfer's outcome record, once."""
    transfer = draft.transfer
    if transfer.is_recorded or draft.session.internal_transfer is not None:
        return
    draft.change_transfer(is_recorded=True)
    add_conclusion(
        draft,
        f"transfer-{transfer.number}",
        kind="transfer",
        number=transfer.number,
        result=result,
        reason=transfer.reason,
        code=transfer.code,
        by=transfer.by,
        mode=transfer.mode.value,
        to=transfer.to,
        landed_on=landed_on,
        attempts=transfer.attempts,
        started_at_ms=transfer.started_at_ms,
    )


def conclude_session(draft: Draft, reason: str) -> None:
    """Write the session's outcome record, and close a running transfer."""
    transfer, landed_on = draft.session.running_transfer, _place_without_transfer(draft, reason)
    all_talked = transfer is not None and (
        transfer.status is TransferStatus.MERGED or transfer.stage is TransferStage.RELEASING_AGENT
    )
    # The target had the customer before the customer left.
    if transfer is not None and all_talked and reason in (EndReason.CUSTOMER_LEFT, EndReason.MOVED):
        if transfer.step_name == Complete.name:
            report_step(draft, CommandStatus.DONE)
        report_step(draft, CommandStatus.FAILED, reason)
        succeed_transfer(draft)
    elif transfer is not None:
        was_cancelled = transfer.status is TransferStatus.CANCELLED
        if transfer.status is TransferStatus.FAILED:  # and reported as such; another party was being dialed
            if reason in (EndReason.CUSTOMER_LEFT, EndReason.COMMAND):
                draft.change_transfer(reason=f"{transfer.reason}, {reason}")
        elif reason == EndReason.COMMAND:
            draft.change_transfer(status=TransferStatus.CANCELLED, reason=reason)
        elif was_cancelled and reason != EndReason.CUSTOMER_LEFT:
            if transfer.step_name == "cancel":
                report_step(draft, CommandStatus.DONE)
        else:
            draft.change_transfer(status=TransferStatus.FAILED, reason=reason)
        report_transfer(draft, CommandStatus.FAILED, reason)
        report_step(draft, CommandStatus.FAILED, reason)
        result = "cancelled" if draft.transfer.status is TransferStatus.CANCELLED else "failed"
        conclude_transfer(draft, result, _last_place(draft, reason))
    _record_session(draft, reason, landed_on)


#: The customer heard a message, and was hung up: no one took the call.
_NO_ONE_TOOK_IT = NO_AGENT | {
    EndReason.TRANSFER_FAILED, EndReason.RECALL_FAILED, EndReason.FALLBACK_FAILED, EndReason.PARK_TIMEOUT,
    EndReason.QUEUE_LIMIT, EndReason.CLOSED,
}  # fmt: skip
#: What failed first, failed in the transfer.
_AFTER_TRANSFER = frozenset({EndReason.TRANSFER_FAILED, EndReason.RECALL_FAILED, EndReason.FALLBACK_FAILED})


def _last_place(draft: Draft, reason: str) -> str:
    """Return what took a customer whom no one took, by the end's reason."""
    if reason in _NO_ONE_TOOK_IT:
        return Place.END
    return draft.transfer.place if reason == EndReason.RETURNED else ""


def _place_without_transfer(draft: Draft, reason: str) -> str:
    """Return what took a caller who had no transfer, if not an agent."""
    session = draft.session
    if session.public_transfer is not None or not session.customer_is_parent:
        return ""
    if session.voicemail is not None:
        return Place.VOICEMAIL
    transfer = session.transfer
    if transfer is None or transfer.is_running:
        place = _last_place(draft, reason)
    else:  # the agent is back, or the caller waits in the queue
        place = "" if transfer.place in (Place.RECALL, Place.QUEUE) else transfer.place
    return place or (Place.QUEUE if session.left_queue else "")


def code_of_end(session: Session, reason: str) -> str:
    """Return Twilio's error code that explains an end, or empty."""
    if reason in _AFTER_TRANSFER:
        return session.transfer.code if session.transfer is not None else ""
    party, _, why = reason.partition("-")
    return session.parties[party].left_code if why == "failed" and party in session.parties else ""


def _record_session(draft: Draft, reason: str, landed_on: str) -> None:
    session = draft.session
    for attempt in session.attempts:
        if not attempt.result:  # the end of the `<Dial>` says how its last call ended
            status = session.dial_call_status
            result = "answered" if status in ANSWERED_DIAL_STATUSES else reported_reason(status or Reason.CANCELLED)
            draft.change_attempt(attempt.dial_id, result=result, ended_at_ms=draft.at_ms)
    add_conclusion(
        draft,
        "session",
        kind="session",
        result="ended",
        reason=reason,
        code=code_of_end(session, reason),
        by=session.by,
        landed_on=landed_on,
        attempts=draft.session.attempts,
        started_at_ms=session.created_at_ms,
        closed=session.closed,
        recordings=tuple(sid for sid in session.recordings if sid.startswith(_RECORDING)),
    )


def times_of_recording(draft: Draft, event: RecordingChanged | EffectSucceeded) -> dict[str, int]:
    """Return when a recording began and ended; pauses are left out."""
    length_ms = 1000 * event.duration_s
    began_ms = event.started_at_ms or max(0, draft.now_ms - length_ms)
    return {"started_at_ms": began_ms, "ended_at_ms": began_ms + length_ms}


def add_conclusion(draft: Draft, subject: str, **fields: Any) -> None:
    """Add what the session concludes; `subject` makes its id unique there."""
    session = draft.session
    # A later session may have the id of an expired one, unless that is its call's. A lost session that is decided again
    # gives its outcomes the same ids. After a loss, one with other content may have been sent, so the id says more.
    opened = "" if call_of_visit(session.id) else f"{session.created_at_ms}:"
    decided_again = f":{session.lost_at_ms}" if session.lost_at_ms else ""
    conclusion = Conclusion(
        id=f"{session.id}:{opened}{subject}{decided_again}",
        session_id=session.id,
        ref=session.ref,
        customer=session.customer.address,
        our_number=session.number,
        direction=session.direction,
        **{"ended_at_ms": draft.now_ms, **fields},
    )
    draft.conclusions.append(conclusion)
