"""Steps of a consult: swap, merge, and complete. One at a time."""

from conferral.statemachine.actions.participants import unhold_all, want_hold, want_unhold
from conferral.statemachine.actions.reports import begin_step, report_step
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Complete, EffectFailed, Event, Remove, StageOverdue, Swap
from conferral.statemachine.session import CUSTOMER, TARGET
from conferral.statemachine.states import TransferStatus, WaitAudio
from conferral.statemachine.step import CommandStatus


def swap(draft: Draft, event: Swap) -> None:
    """Hold the party the agent talks to, before unholding the other."""
    begin_step(draft, event)
    talks_to = TARGET if draft.session.customer.desired_hold else CUSTOMER
    draft.change_transfer(swap_to=CUSTOMER if talks_to == TARGET else TARGET)
    want_hold(draft, talks_to, WaitAudio.MUSIC)


def unhold_taken_up(draft: Draft, _event: Event) -> None:
    """Unhold the party that the agent now talks to: the other is held."""
    want_unhold(draft, draft.transfer.swap_to)


def finish_swap(draft: Draft, _event: Event) -> None:
    """Complete the swap: the agent now talks to the other party."""
    report_step(draft, CommandStatus.DONE)


def undo_swap(draft: Draft, _event: StageOverdue) -> None:
    """Undo the swap: Twilio did not confirm the hold."""
    report_step(draft, CommandStatus.FAILED, "hold-failed")
    first = CUSTOMER if draft.transfer.swap_to == TARGET else TARGET
    want_unhold(draft, first)
    draft.change_transfer(swap_to=first)


def finish_merge(draft: Draft, _event: Event) -> None:
    """Complete the merge: all three talk."""
    report_step(draft, CommandStatus.DONE)
    draft.change_transfer(status=TransferStatus.MERGED)


def complete_queued(draft: Draft, event: Complete | Remove) -> None:
    """Accept a `complete` that comes during the conversion."""
    begin_step(draft, event)
    draft.change_transfer(releases_agent=True)


def undo_complete(draft: Draft, event: EffectFailed) -> None:
    """Undo `complete`: Twilio refused to hang up the agent, so all talk."""
    report_step(draft, CommandStatus.FAILED, event.reason_text)
    draft.change_transfer(status=TransferStatus.MERGED)


def complete_after_agent_left(draft: Draft, event: Event) -> None:
    """Continue with customer and target: the agent has hung up."""
    report_step(draft, CommandStatus.FAILED, "agent-left")
    unhold_all(draft, event)
