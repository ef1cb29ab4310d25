"""Recovery of a transfer that Redis lost: a read shows customer, agent, and target together."""

from conferral.statemachine.actions.conversion import finish_conversion_by_read
from conferral.statemachine.actions.participants import clear_end_on_exit
from conferral.statemachine.actions.recovery import resume_transfer
from conferral.statemachine.actions.transfer.start import apply_settled_read
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import CallsRead, ConvertOverdue, LoneOverdue, RepairOverdue


def resume_transfer_from_read(draft: Draft, event: CallsRead) -> None:
    """Continue the transfer that a read shows: the agent decides how to continue, and all holds stay."""
    apply_settled_read(draft, event)
    _resume(draft)


def finish_conversion_with_lost_transfer(draft: Draft, event: CallsRead) -> None:
    """Complete the conversion and continue the lost transfer that a read shows."""
    finish_conversion_by_read(draft, event)
    apply_settled_read(draft, event)
    _resume(draft)


def _resume(draft: Draft) -> None:
    for timer in (ConvertOverdue, RepairOverdue, LoneOverdue):
        draft.cancel_timer(timer.timer)
    clear_end_on_exit(draft)
    resume_transfer(draft)
