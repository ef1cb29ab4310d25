"""Pending commands: accepting, changing, and reporting them."""

from collections.abc import Iterable
from typing import Any

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Command, PendingCommandOverdue, Remove
from conferral.statemachine.pending_command import PendingCommand
from conferral.statemachine.record import replace
from conferral.statemachine.step import CommandStatus


def accept_command(draft: Draft, event: Command, **fields: Any) -> PendingCommand:
    """Accept a command and keep it until it has an outcome."""
    command = PendingCommand(event.command_id, event.name, **fields)
    draft.report(event.command_id, CommandStatus.ACCEPTED)
    _change_commands(draft, [*draft.session.pending_commands, command])
    return command


def change_command(draft: Draft, command: PendingCommand, **changes: Any) -> PendingCommand:
    """Change fields of a pending command."""
    after = replace(command, **changes)
    _change_commands(draft, [after if one is command else one for one in draft.session.pending_commands])
    return after


def finish_command(draft: Draft, command: PendingCommand, status: CommandStatus, reason: str = "") -> None:
    """Report the outcome of a command and remove it."""
    draft.report(command.command_id, status, reason)
    _change_commands(draft, [one for one in draft.session.pending_commands if one.command_id != command.command_id])


def fail_commands(draft: Draft, reason: str, *, only: Iterable[PendingCommand] | None = None) -> None:
    """Fail pending commands, or only these; a `remove` is done instead."""
    for command in tuple(draft.session.pending_commands) if only is None else tuple(only):
        done = command.name == Remove.name
        finish_command(draft, command, CommandStatus.DONE if done else CommandStatus.FAILED, "" if done else reason)


def fail_queued_commands(draft: Draft, reason: str) -> None:
    """Fail the queued commands: the conference was never formed."""
    fail_commands(draft, reason, only=[command for command in draft.session.pending_commands if command.is_queued])


def _change_commands(draft: Draft, commands: Iterable[PendingCommand]) -> None:
    draft.change(pending_commands=tuple(commands))
    set_command_timer(draft)


def set_command_timer(draft: Draft) -> None:
    """Set the timer to the earliest deadline of a pending command."""
    due = [command.due_ms for command in draft.session.pending_commands if command.due_ms]
    if not due:
        draft.cancel_timers(PendingCommandOverdue)
    elif draft.session.timers.get(PendingCommandOverdue.timer) != min(due):
        draft.set_timer(PendingCommandOverdue, min(due) - draft.now_ms)
