"""A transfer that Redis has forgotten goes on: a look shows customer, agent and target together."""

from conferral.statemachine.actions.conversion import finish_conversion_by_read
from conferral.statemachine.actions.participants import clear_end_on_exit
from conferral.statemachine.actions.recovery import resume_transfer
from conferral.statemachine.actions.transfer.start import apply_settled_read
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import CallsRead, ConvertOverdue, LoneOverdue, RepairOverdue


def resume_transfer_from_read(draft: Draft, event: CallsRead) -> None:
    """The agent decides how it goes on, and nobody hears more than before."""
    apply_settled_read(draft, event)
    _resume(draft)


def finish_conversion_with_lost_transfer(draft: Draft, event: CallsRead) -> None:
    """The same, of two who by all that is known are only on their way into the conference."""
    finish_conversion_by_read(draft, event)
    apply_settled_read(draft, event)
    _resume(draft)


def _resume(draft: Draft) -> None:
    for timer in (ConvertOverdue, RepairOverdue, LoneOverdue):
        draft.cancel_timer(timer.timer)
    clear_end_on_exit(draft)
    resume_transfer(draft)
