"""Answers to whoever gave a command."""

from statemachine.events import Command, Convert
from statemachine.scratch import Scratch
from statemachine.step import CommandStatus


def refuse_ringing(scratch: Scratch, _event: Command) -> None:
    """Until somebody answers, the caller's leg can't be moved."""
    scratch.refusal = "nobody has answered yet"


def refuse_leaving(scratch: Scratch, _event: Command) -> None:
    """One of the two has hung up already."""
    scratch.refusal = "one of the two has hung up"


def refuse_ended(scratch: Scratch, _event: Command) -> None:
    """The session is over."""
    scratch.refusal = f"the session has ended ({scratch.session.end_reason})"


def refuse_existing(scratch: Scratch, _event: Command) -> None:
    """A session is opened once."""
    scratch.refusal = "the session exists already"


def refuse_without_transfer(scratch: Scratch, _event: Command) -> None:
    """There is nothing to complete, to cancel, to swap or to merge."""
    scratch.refusal = "no transfer runs"


def refuse_second_transfer(scratch: Scratch, _event: Command) -> None:
    """One at a time."""
    scratch.refusal = "a transfer runs already"


def refuse_agent_gone(scratch: Scratch, _event: Command) -> None:
    """The agent is out of it: nothing to complete, nobody to go back to."""
    scratch.refusal = "the agent has been let go already"


def refuse_winding_up(scratch: Scratch, _event: Command) -> None:
    """The transfer comes to its end."""
    scratch.refusal = "the transfer is being ended already"


def refuse_before_answer(scratch: Scratch, _event: Command) -> None:
    """The target does not take part yet."""
    scratch.refusal = "the target has not answered yet"


def refuse_no_consult(scratch: Scratch, _event: Command) -> None:
    """Nobody is held who could be let in."""
    scratch.refusal = "no consult is going on: all of them talk"


def refuse_between_steps(scratch: Scratch, _event: Command) -> None:
    """One step after the other. Whoever asked for a swap that failed knows already; it is still being undone."""
    name = scratch.transfer.step_name
    scratch.refusal = f"{name} is still being carried out" if name else "a swap is still being undone"


def report_done(scratch: Scratch, event: Convert) -> None:
    """It is in a conference already: what was asked for has happened."""
    scratch.report(event.command_id, CommandStatus.DONE)


def report_converts(scratch: Scratch, status: CommandStatus, reason: str = "") -> None:
    """Tells everybody who waits for the conversion."""
    for command_id in scratch.session.converting_for:
        scratch.report(command_id, status, reason)
    scratch.change(converting_for=())


def report_call(scratch: Scratch, status: CommandStatus, reason: str = "") -> None:
    """Tells whoever asked for the call, if somebody did; only once."""
    if scratch.session.calling_for:
        scratch.report(scratch.session.calling_for, status, reason)
        scratch.change(calling_for="")


def report_transfer(scratch: Scratch, status: CommandStatus, reason: str = "") -> None:
    """Tells whoever asked for the transfer; only once."""
    if scratch.transfer.command_id:
        scratch.report(scratch.transfer.command_id, status, reason)
        scratch.change_transfer(command_id="")


def take_step(scratch: Scratch, event: Command) -> None:
    """A step of the transfer begins; one that still ran is overtaken."""
    report_step(scratch, CommandStatus.FAILED, f"overtaken by {event.name}")
    scratch.report(event.command_id, CommandStatus.ACCEPTED)
    scratch.change_transfer(step_command_id=event.command_id, step_name=event.name)


def report_step(scratch: Scratch, status: CommandStatus, reason: str = "") -> None:
    """Tells whoever asked for the step that is being carried out, if somebody did."""
    if scratch.transfer.step_command_id:
        scratch.report(scratch.transfer.step_command_id, status, reason)
    scratch.change_transfer(step_command_id="", step_name="")
