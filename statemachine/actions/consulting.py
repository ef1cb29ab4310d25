"""The steps of a consult: whom the agent talks to, all three together, and letting the agent go. One at a time."""

from conferral.statemachine.actions.asking import want_everybody_unheld, want_hold, want_unhold
from conferral.statemachine.actions.commands import report_step, take_step
from conferral.statemachine.actions.transferring import enter, go_on_as_blind, let_agent_go
from conferral.statemachine.events import Complete, Event, Merge, StageOverdue, Swap
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import CUSTOMER, TARGET
from conferral.statemachine.states import Stage, TransferStatus, Tune
from conferral.statemachine.step import CommandStatus


def swap(scratch: Scratch, event: Swap) -> None:
    """The one whom the agent talks to is held before the other is let back: they never hear each other."""
    take_step(scratch, event)
    talks_to = TARGET if scratch.session.parties[CUSTOMER].hold_wanted else CUSTOMER
    scratch.change_transfer(swap_to=CUSTOMER if talks_to == TARGET else TARGET)
    want_hold(scratch, talks_to, Tune.MUSIC)
    enter(scratch, Stage.SWAPPING, scratch.policy.hold_timeout_ms)


def let_second_back(scratch: Scratch, _event: Event) -> None:
    """The one is held; the other may hear and speak again."""
    want_unhold(scratch, scratch.transfer.swap_to)
    enter(scratch, Stage.SWAPPED, scratch.policy.hold_timeout_ms)


def end_swap(scratch: Scratch, _event: Event) -> None:
    """The agent talks to the other one now."""
    report_step(scratch, CommandStatus.DONE)
    enter(scratch, Stage.TALKING)


def give_up_swap(scratch: Scratch, _event: StageOverdue) -> None:
    """Twilio does not confirm the hold: everybody is where they were."""
    report_step(scratch, CommandStatus.FAILED, "hold-failed")
    first = CUSTOMER if scratch.transfer.swap_to == TARGET else TARGET
    want_unhold(scratch, first)
    scratch.change_transfer(swap_to=first)
    enter(scratch, Stage.SWAPPED, scratch.policy.hold_timeout_ms)


def merge(scratch: Scratch, event: Merge) -> None:
    """Nobody is on hold any more."""
    take_step(scratch, event)
    want_everybody_unheld(scratch)
    enter(scratch, Stage.MERGING, scratch.policy.hold_timeout_ms)


def end_merge(scratch: Scratch, _event: Event) -> None:
    """All three talk."""
    report_step(scratch, CommandStatus.DONE)
    scratch.change_transfer(status=TransferStatus.MERGED)
    enter(scratch, Stage.TALKING)


def complete(scratch: Scratch, event: Complete) -> None:
    """Customer and target have to hear each other before the agent leaves."""
    take_step(scratch, event)
    _let_rest_talk(scratch)


def complete_before_answer(scratch: Scratch, event: Complete) -> None:
    """The agent does not wait for the target."""
    take_step(scratch, event)
    go_on_as_blind(scratch, event)


def complete_queued(scratch: Scratch, event: Complete) -> None:
    """The two are still being brought into the conference: the agent is let go as soon as they are."""
    take_step(scratch, event)
    scratch.change_transfer(lets_agent_go=True)


def go_on_without(scratch: Scratch, _event: Event) -> None:
    """The agent has hung up: customer and target go on."""
    report_step(scratch, CommandStatus.FAILED, "agent-left")
    _let_rest_talk(scratch)


def _let_rest_talk(scratch: Scratch) -> None:
    want_everybody_unheld(scratch)
    enter(scratch, Stage.COMPLETING, scratch.policy.hold_timeout_ms)


def part_agent(scratch: Scratch, _event: Event) -> None:
    """Customer and target hear each other; the agent leaves."""
    let_agent_go(scratch)
    enter(scratch, Stage.PARTING, scratch.policy.part_timeout_ms)
