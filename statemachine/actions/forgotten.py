"""A transfer that Redis has forgotten goes on: a look shows customer, agent and target together."""

from conferral.statemachine.actions.adopting import take_up_transfer
from conferral.statemachine.actions.asking import want_nobody_ends
from conferral.statemachine.actions.converting import settle_by_read
from conferral.statemachine.actions.transferring import note_look
from conferral.statemachine.events import CallsRead, ConvertOverdue, LoneOverdue, RepairOverdue
from conferral.statemachine.scratch import Scratch


def take_up_seen_transfer(scratch: Scratch, event: CallsRead) -> None:
    """The agent decides how it goes on, and nobody hears more than before."""
    note_look(scratch, event)
    _take_up(scratch)


def settle_with_seen_transfer(scratch: Scratch, event: CallsRead) -> None:
    """The same, of two who by all that is known are only on their way into the conference."""
    settle_by_read(scratch, event)
    note_look(scratch, event)
    _take_up(scratch)


def _take_up(scratch: Scratch) -> None:
    for timer in (ConvertOverdue, RepairOverdue, LoneOverdue):
        scratch.cancel_timer(timer.timer)
    want_nobody_ends(scratch)
    take_up_transfer(scratch)
