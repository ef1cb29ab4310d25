"""What other systems are told of a transfer that is over, or of a session that has ended."""

from conferral.statemachine.actions.commands import report_step, report_transfer
from conferral.statemachine.actions.dialling import watch_dials
from conferral.statemachine.events import StageOverdue
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.states import Stage, TransferStatus
from conferral.statemachine.step import CommandStatus, Conclusion


def note_failure(scratch: Scratch, reason: str) -> None:
    """The transfer can't succeed any more; whoever waits for it is told at once."""
    scratch.change_transfer(status=TransferStatus.FAILED, reason=reason)
    report_transfer(scratch, CommandStatus.FAILED, reason)
    report_step(scratch, CommandStatus.FAILED, reason)


def conclude_transfer(scratch: Scratch, result: str) -> None:
    """The transfer is over.

    Args:
        scratch: The sheet.
        result: `completed`, `failed`, `recalled` or `cancelled`.
    """
    for attempt in scratch.transfer.attempts:
        if not attempt.result:  # somebody quicker has taken the call, and this phone is about to be silenced
            scratch.change_transfer(
                attempts=scratch.transfer.with_attempt(attempt.dial_id, result="cancelled", ended_at_ms=scratch.now_ms)
            )
    transfer = scratch.transfer
    scratch.change_transfer(stage=Stage.OVER)
    scratch.cancel_timer(StageOverdue.timer)
    watch_dials(scratch)  # of those who are dialled for no transfer
    scratch.conclusions.append(
        Conclusion(
            id=f"{scratch.session.id}:transfer-{transfer.number}",
            kind="transfer",
            session_id=scratch.session.id,
            result=result,
            reason=transfer.reason,
            mode=transfer.mode.value,
            to=transfer.to,
            attempts=transfer.attempts,
            started_at_ms=transfer.started_at_ms,
            ended_at_ms=scratch.now_ms,
        )
    )


def conclude_session(scratch: Scratch, reason: str) -> None:
    """The session is over, and with it a transfer that still ran."""
    transfer = scratch.session.transfer
    if transfer is not None and transfer.runs:
        by_operator = reason == EndReason.COMMAND
        was_cancelled = transfer.status is TransferStatus.CANCELLED
        if by_operator:
            scratch.change_transfer(status=TransferStatus.CANCELLED, reason=reason)
        elif was_cancelled and reason != EndReason.CUSTOMER_LEFT:
            if transfer.step_name == "cancel" and all(target.is_gone for target in scratch.session.targets):
                report_step(scratch, CommandStatus.DONE)
        elif transfer.status is not TransferStatus.FAILED:
            scratch.change_transfer(status=TransferStatus.FAILED, reason=reason)
        elif reason == EndReason.CUSTOMER_LEFT:
            scratch.change_transfer(reason=f"{transfer.reason}, {reason}")  # while somebody else was being tried
        report_transfer(scratch, CommandStatus.FAILED, reason)
        report_step(scratch, CommandStatus.FAILED, reason)
        conclude_transfer(scratch, "cancelled" if scratch.transfer.status is TransferStatus.CANCELLED else "failed")
    scratch.conclusions.append(
        Conclusion(
            id=f"{scratch.session.id}:session",
            kind="session",
            session_id=scratch.session.id,
            result="ended",
            reason=reason,
            started_at_ms=scratch.session.created_at_ms,
            ended_at_ms=scratch.now_ms,
        )
    )
