"""Park and retrieve: the customer hears music meanwhile."""

from conferral.statemachine.actions.dials import dial, dial_options, next_label
from conferral.statemachine.actions.participants import unhold_all
from conferral.statemachine.actions.parties import number_former_party
from conferral.statemachine.actions.reports import conclude_transfer, fail_transfer, succeed_transfer
from conferral.statemachine.actions.transfer.handover import (
    begin_fallback,
    hold_lone_customer,
    settle_after_transfer,
    unreached_reason,
)
from conferral.statemachine.actions.transfer.start import accept_transfer
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Event, LoneOverdue, OpeningOverdue, ParkOverdue, Retrieve
from conferral.statemachine.session import AGENT
from conferral.statemachine.states import Phase, TransferMode
from conferral.statemachine.transfer import TransferState


def note_parked(draft: Draft, _event: Event) -> None:
    """Complete the park: the customer waits until the park timeout."""
    succeed_transfer(draft)
    draft.change(
        phase=Phase.PARKED,
        parked_by=draft.session.agent.address,
        parked_until_ms=draft.now_ms + draft.policy.park_timeout_ms,
        open_redirects=(),
        repair_attempted=False,
        first_to_leave="",
    )
    draft.set_timer(ParkOverdue, draft.policy.park_timeout_ms)


def retrieve(draft: Draft, event: Retrieve) -> None:
    """Dial the party that retrieves the call."""
    accept_transfer(draft, event)
    draft.change(phase=Phase.RETRIEVE)
    draft.cancel_timers(ParkOverdue, LoneOverdue, OpeningOverdue)
    label = next_label(draft, AGENT)
    number_former_party(draft, AGENT)
    dial(draft, AGENT, event.to, label=label, options=dial_options(event), gated=True)


def complete_retrieve(draft: Draft, _event: Event) -> None:
    """Complete the retrieval: its party talks to the customer."""
    succeed_transfer(draft)
    settle_after_transfer(draft)


def return_to_park(draft: Draft, _event: Event) -> None:
    """Return to `parked` for the remaining time: no one took the call."""
    fail_transfer(draft, unreached_reason(draft))
    conclude_transfer(draft, "failed")
    hold_lone_customer(draft)
    draft.change(phase=Phase.PARKED, first_to_leave="")
    draft.set_timer(ParkOverdue, max(1, draft.session.parked_until_ms - draft.now_ms))


def recall_parked(draft: Draft, event: ParkOverdue) -> None:
    """Call back the agent who parked the call, or dial the fallback."""
    before = draft.session.transfer
    draft.change(
        transfer=TransferState(
            number=before.number + 1 if before else 1,
            mode=TransferMode.PARK,
            to=draft.session.parked_by,
            by=before.by if before and before.mode is TransferMode.PARK else "",
            started_at_ms=draft.now_ms,
        ),
        parked_until_ms=0,
    )
    draft.cancel_timers(OpeningOverdue)
    fail_transfer(draft, "park-timeout")
    begin_fallback(draft, event)


def settle_lost_retrieve(draft: Draft, event: Event) -> None:
    """Settle a retrieval that Redis lost: an agent and the customer talk."""
    draft.cancel_timers(ParkOverdue, OpeningOverdue)
    unhold_all(draft, event)
    settle_after_transfer(draft)


def unpark(draft: Draft, event: ParkOverdue) -> None:
    """Unpark after the timeout: the customer talks to an added party."""
    unhold_all(draft, event)
    draft.change(phase=Phase.NONE, first_to_leave="", parked_by="", parked_until_ms=0)
