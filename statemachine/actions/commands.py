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


def report_done(scratch: Scratch, event: Convert) -> None:
    """It is in a conference already: what was asked for has happened."""
    scratch.report(event.command_id, CommandStatus.DONE)


def report_converts(scratch: Scratch, status: CommandStatus, reason: str = "") -> None:
    """Tells everybody who waits for the conversion."""
    for command_id in scratch.session.converting_for:
        scratch.report(command_id, status, reason)
    scratch.change(converting_for=())
