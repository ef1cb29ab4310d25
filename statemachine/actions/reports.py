"""Command reports and refusals."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Cancel, Command, Complete, Convert, Remove
from conferral.statemachine.session import AGENT
from conferral.statemachine.step import CommandStatus


def report_done(draft: Draft, event: Convert) -> None:
    """Report `done`: the call is in a conference already."""
    draft.report(event.command_id, CommandStatus.DONE)


def report_converts(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Report the outcome to every command waiting for the conversion."""
    for command_id in draft.session.convert_command_ids:
        draft.report(command_id, status, reason)
    draft.change(convert_command_ids=())


def report_call(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Report the outcome of the `call` command, once."""
    if draft.session.call_command_id:
        draft.report(draft.session.call_command_id, status, reason)
        draft.change(call_command_id="")


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
        agent = draft.session.parties[AGENT]
        name = Complete.name if event.party in (agent.name, agent.call_sid) else Cancel.name
    draft.change_transfer(step_command_id=event.command_id, step_name=name)


def report_step(draft: Draft, status: CommandStatus, reason: str = "") -> None:
    """Report the outcome of the step in progress, if there is one."""
    if draft.transfer.step_command_id:
        draft.report(draft.transfer.step_command_id, status, reason)
    draft.change_transfer(step_command_id="", step_name="")
