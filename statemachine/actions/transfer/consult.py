"""The steps of a consult: whom the agent talks to, all three together, and letting the agent go. One at a time."""

from conferral.statemachine.actions.participants import request_hold, request_unhold, request_unhold_all
from conferral.statemachine.actions.reports import begin_step, report_step
from conferral.statemachine.actions.transfer.start import continue_as_blind, enter_stage, release_agent
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Complete, Event, Merge, StageOverdue, Swap
from conferral.statemachine.session import CUSTOMER, TARGET
from conferral.statemachine.states import TransferStage, TransferStatus, WaitAudio
from conferral.statemachine.step import CommandStatus


def swap(draft: Draft, event: Swap) -> None:
    """The one whom the agent talks to is held before the other is let back: they never hear each other."""
    begin_step(draft, event)
    talks_to = TARGET if draft.session.parties[CUSTOMER].desired_hold else CUSTOMER
    draft.change_transfer(swap_to=CUSTOMER if talks_to == TARGET else TARGET)
    request_hold(draft, talks_to, WaitAudio.MUSIC)
    enter_stage(draft, TransferStage.SWAPPING, draft.policy.hold_timeout_ms)


def unhold_swapped(draft: Draft, _event: Event) -> None:
    """The one is held; the other may hear and speak again."""
    request_unhold(draft, draft.transfer.swap_to)
    enter_stage(draft, TransferStage.SWAPPED, draft.policy.hold_timeout_ms)


def finish_swap(draft: Draft, _event: Event) -> None:
    """The agent talks to the other one now."""
    report_step(draft, CommandStatus.DONE)
    enter_stage(draft, TransferStage.TALKING)


def undo_swap(draft: Draft, _event: StageOverdue) -> None:
    """Twilio does not confirm the hold: everybody is where they were."""
    report_step(draft, CommandStatus.FAILED, "hold-failed")
    first = CUSTOMER if draft.transfer.swap_to == TARGET else TARGET
    request_unhold(draft, first)
    draft.change_transfer(swap_to=first)
    enter_stage(draft, TransferStage.SWAPPED, draft.policy.hold_timeout_ms)


def merge(draft: Draft, event: Merge) -> None:
    """Nobody is on hold any more."""
    begin_step(draft, event)
    request_unhold_all(draft)
    enter_stage(draft, TransferStage.MERGING, draft.policy.hold_timeout_ms)


def finish_merge(draft: Draft, _event: Event) -> None:
    """All three talk."""
    report_step(draft, CommandStatus.DONE)
    draft.change_transfer(status=TransferStatus.MERGED)
    enter_stage(draft, TransferStage.TALKING)


def complete(draft: Draft, event: Complete) -> None:
    """Customer and target have to hear each other before the agent leaves."""
    begin_step(draft, event)
    _unhold_rest(draft)


def complete_before_answer(draft: Draft, event: Complete) -> None:
    """The agent does not wait for the target."""
    begin_step(draft, event)
    continue_as_blind(draft, event)


def complete_queued(draft: Draft, event: Complete) -> None:
    """The two are still being brought into the conference: the agent is let go as soon as they are."""
    begin_step(draft, event)
    draft.change_transfer(releases_agent=True)


def complete_after_agent_left(draft: Draft, _event: Event) -> None:
    """The agent has hung up: customer and target go on."""
    report_step(draft, CommandStatus.FAILED, "agent-left")
    _unhold_rest(draft)


def _unhold_rest(draft: Draft) -> None:
    request_unhold_all(draft)
    enter_stage(draft, TransferStage.COMPLETING, draft.policy.hold_timeout_ms)


def release_agent_after_complete(draft: Draft, _event: Event) -> None:
    """Customer and target hear each other; the agent leaves."""
    release_agent(draft)
    enter_stage(draft, TransferStage.RELEASING_AGENT, draft.policy.leave_timeout_ms)
