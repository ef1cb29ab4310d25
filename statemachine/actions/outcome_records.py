"""Outcome records: what other systems read about finished transfers and ended sessions."""

from conferral.statemachine.actions.dials import set_dial_timer
from conferral.statemachine.actions.reports import report_step, report_transfer
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import StageOverdue
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.session import Session
from conferral.statemachine.states import TransferStage, TransferStatus
from conferral.statemachine.step import CommandStatus, OutcomeRecord


def fail_transfer(draft: Draft, reason: str) -> None:
    """Mark the transfer as failed and report it at once."""
    draft.change_transfer(status=TransferStatus.FAILED, reason=reason)
    report_transfer(draft, CommandStatus.FAILED, reason)
    report_step(draft, CommandStatus.FAILED, reason)


def succeed_transfer(draft: Draft) -> None:
    """Mark the transfer as completed, report it, and close it."""
    draft.change_transfer(status=TransferStatus.COMPLETED, reason="")
    report_transfer(draft, CommandStatus.DONE)
    conclude_transfer(draft, "completed")


def conclude_transfer(draft: Draft, result: str) -> None:
    """Close the transfer and write its outcome record.

    Args:
        result: `completed`, `failed`, `recalled`, or `cancelled`.
    """
    for attempt in draft.transfer.attempts:
        if not attempt.result:  # another target answered first, so this phone stops ringing
            draft.change_transfer(
                attempts=draft.transfer.with_attempt(attempt.dial_id, result="cancelled", ended_at_ms=draft.now_ms)
            )
    transfer = draft.transfer
    draft.change_transfer(stage=TransferStage.OVER)
    draft.cancel_timers(StageOverdue)
    set_dial_timer(draft)  # only parties dialed outside of transfers remain
    draft.outcome_records.append(
        OutcomeRecord(
            id=_record_id(draft.session, f"transfer-{transfer.number}"),
            kind="transfer",
            session_id=draft.session.id,
            result=result,
            reason=transfer.reason,
            by=transfer.by,
            mode=transfer.mode.value,
            to=transfer.to,
            attempts=transfer.attempts,
            started_at_ms=transfer.started_at_ms,
            ended_at_ms=draft.now_ms,
        )
    )


def conclude_session(draft: Draft, reason: str) -> None:
    """Write the session's outcome record, and close a running transfer."""
    transfer = draft.session.running_transfer
    if transfer is not None:
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
        conclude_transfer(draft, "cancelled" if draft.transfer.status is TransferStatus.CANCELLED else "failed")
    draft.outcome_records.append(
        OutcomeRecord(
            id=_record_id(draft.session, "session"),
            kind="session",
            session_id=draft.session.id,
            result="ended",
            reason=reason,
            by=draft.session.by,
            started_at_ms=draft.session.created_at_ms,
            ended_at_ms=draft.now_ms,
        )
    )


def _record_id(session: Session, of: str) -> str:
    """Return a record's id; a later session may have the same id as an expired one."""
    return f"{session.id}:{session.created_at_ms}:{of}"
