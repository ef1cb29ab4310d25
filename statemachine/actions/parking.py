"""A call waits with music until somebody takes it up again."""

from conferral.statemachine.actions.asking import want_everybody_unheld, want_hold
from conferral.statemachine.actions.commands import report_transfer
from conferral.statemachine.actions.concluding import conclude_transfer, note_failure
from conferral.statemachine.actions.dialling import dial, next_label, options_of
from conferral.statemachine.actions.handing_over import begin_recall, reason_unreached, settle_after_transfer
from conferral.statemachine.actions.looking import look_at_company
from conferral.statemachine.actions.transferring import (
    begin_in_room,
    begin_moving_customer,
    note_request,
    wait_for_answer,
)
from conferral.statemachine.events import Event, LoneOverdue, OpeningOverdue, Park, ParkOverdue, Retrieve
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER
from conferral.statemachine.states import Phase, TransferMode, TransferStatus, Tune
from conferral.statemachine.step import CommandStatus
from conferral.statemachine.transfer import TransferState


def park_from_bridge(scratch: Scratch, event: Park) -> None:
    """The customer alone is moved, into a room where he hears music; the agent is gone at once."""
    note_request(scratch, event)
    begin_moving_customer(scratch, Phase.PARK, Tune.MUSIC)


def park_from_room(scratch: Scratch, event: Park) -> None:
    """The agent has to be able to leave without ending the conference, and the customer to hear music, before that."""
    begin_in_room(scratch, event)


def note_parked(scratch: Scratch, _event: Event) -> None:
    """The customer waits, and the agent is gone."""
    scratch.change_transfer(status=TransferStatus.COMPLETED)
    report_transfer(scratch, CommandStatus.DONE)
    conclude_transfer(scratch, "completed")
    agent = scratch.session.parties[AGENT]
    scratch.change(
        phase=Phase.PARKED,
        parked_by=agent.address,
        parked_until_ms=scratch.now_ms + scratch.policy.park_timeout_ms,
        redirecting=(),
        repaired=False,
        first_left="",
    )
    scratch.set_timer(ParkOverdue.timer, scratch.policy.park_timeout_ms)


def retrieve(scratch: Scratch, event: Retrieve) -> None:
    """Somebody is dialled who takes the call up; the customer hears music until then."""
    note_request(scratch, event)
    former = scratch.session.parties[AGENT]
    if former.call_sid:
        scratch.change(former_calls=(*scratch.session.former_calls, former.call_sid))
    scratch.change(phase=Phase.RETRIEVE)
    for timer in (ParkOverdue, LoneOverdue, OpeningOverdue):
        scratch.cancel_timer(timer.timer)
    dial(
        scratch,
        AGENT,
        event.to,
        label=next_label(scratch, AGENT),
        options=options_of(event),
        gated=True,
    )
    wait_for_answer(scratch)


def complete_retrieve(scratch: Scratch, _event: Event) -> None:
    """Whoever has taken the call up talks to the customer."""
    scratch.change_transfer(status=TransferStatus.COMPLETED, reason="")
    report_transfer(scratch, CommandStatus.DONE)
    conclude_transfer(scratch, "completed")
    settle_after_transfer(scratch)


def return_to_park(scratch: Scratch, _event: Event) -> None:
    """Nobody has taken the call up: it stays parked, for as long as it would have been."""
    note_failure(scratch, reason_unreached(scratch))
    conclude_transfer(scratch, "failed")
    customer = scratch.session.parties[CUSTOMER]
    if not customer.waits:
        want_hold(scratch, CUSTOMER, Tune.MUSIC)
    scratch.change(phase=Phase.PARKED, first_left="")
    scratch.set_timer(ParkOverdue.timer, max(1, scratch.session.parked_until_ms - scratch.now_ms))


def recall_parked(scratch: Scratch, event: ParkOverdue) -> None:
    """Nobody has taken the call up in time: it goes back to the agent who parked it, or to whom the settings name."""
    before = scratch.session.transfer
    scratch.change(
        transfer=TransferState(
            number=before.number + 1 if before else 1,
            mode=TransferMode.PARK,
            to=scratch.session.parked_by,
            started_at_ms=scratch.now_ms,
        ),
        parked_until_ms=0,
    )
    scratch.cancel_timer(OpeningOverdue.timer)
    note_failure(scratch, "park-timeout")
    begin_recall(scratch, event)


def look_before_park_ends(scratch: Scratch, event: ParkOverdue) -> None:
    """Something was not heard: before the customer is disturbed, Twilio is asked who is with him."""
    look_at_company(scratch, event)
    scratch.set_timer(ParkOverdue.timer, scratch.policy.confirm_again_ms)


def end_forgotten_park(scratch: Scratch, _event: Event) -> None:
    """An agent has taken the call up, which Redis has forgotten: the two talk."""
    for timer in (ParkOverdue, OpeningOverdue):
        scratch.cancel_timer(timer.timer)
    want_everybody_unheld(scratch)
    settle_after_transfer(scratch)


def take_out_of_park(scratch: Scratch, _event: ParkOverdue) -> None:
    """Nobody has taken the call up in time, and nobody is to be tried: the customer talks to whoever was added."""
    want_everybody_unheld(scratch)
    scratch.change(phase=Phase.NONE, first_left="", parked_by="", parked_until_ms=0)
