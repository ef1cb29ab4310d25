"""Reports of commands' status, and outcome records."""

from typing import Any

from conferral.statemachine.events import Cancel, Command, Complete, Convert, Remove, StageOverdue
from conferral.statemachine.ids import call_of_visit
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.states import TransferMode, TransferStage, TransferStatus
from conferral.statemachine.step import CommandStatus, Draft, OutcomeRecord


def report_done(draft: Draft, event: Convert) -> None:
    """Report `done`: the call is in a conference already."""
    draft.report(event.command_id, CommandStatus.DONE)


def report_transfer(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Report the outcome of the `transfer` command, once."""
    if draft.transfer.command_id:
        draft.report(draft.transfer.command_id, status, reason)
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
    draft.change_transfer(step_command_id=event.command_id, step_name=name)


def report_step(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Report the outcome of the step in progress, if there is one."""
    if draft.transfer.step_command_id:
        draft.report(draft.transfer.step_command_id, status, reason)
    draft.change_transfer(step_command_id="", step_name="")


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
    """Close the transfer and write its outcome record, with this result."""
    for attempt in draft.transfer.attempts:
        if not attempt.result:  # another target answered first, so this phone stops ringing
            draft.change_attempt(attempt.dial_id, result="cancelled", ended_at_ms=draft.now_ms)
    record_transfer(draft, result)
    draft.change_transfer(stage=TransferStage.OVER)
    draft.cancel_timers(StageOverdue)


def record_transfer(draft: Draft, result: str) -> None:
    """Write the transfer's outcome record, once."""
    transfer = draft.transfer
    if transfer.is_recorded or transfer.mode is TransferMode.INBOUND:
        return
    draft.change_transfer(is_recorded=True)
    add_record(
        draft,
        f"transfer-{transfer.number}",
        kind="transfer",
        result=result,
        reason=transfer.reason,
        by=transfer.by,
        mode=transfer.mode.value,
        to=transfer.to,
        attempts=transfer.attempts,
        started_at_ms=transfer.started_at_ms,
    )


def conclude_session(draft: Draft, reason: str) -> None:
    """Write the session's outcome record, and close a running transfer."""
    transfer = draft.session.running_transfer
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
        conclude_transfer(draft, "cancelled" if draft.transfer.status is TransferStatus.CANCELLED else "failed")
    by, started_at_ms = draft.session.by, draft.session.created_at_ms
    add_record(draft, "session", kind="session", result="ended", reason=reason, by=by, started_at_ms=started_at_ms)


def add_record(draft: Draft, subject: str, **fields: Any) -> None:
    """Write an outcome record; `subject` makes its id unique in the session."""
    session = draft.session
    # A later session may have the id of an expired one, unless that is its call's. A lost session that is decided again
    # gives its outcomes the same ids.
    opened = "" if call_of_visit(session.id) else f"{session.created_at_ms}:"
    record_id = f"{session.id}:{opened}{subject}"
    record = OutcomeRecord(id=record_id, session_id=session.id, ref=session.ref, ended_at_ms=draft.now_ms, **fields)
    draft.outcome_records.append(record)
