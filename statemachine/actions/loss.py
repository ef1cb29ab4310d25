"""Loss of an agent's leg: the customer waits, and the agent is rung again."""

from conferral.statemachine import events
from conferral.statemachine.actions import parties, reports
from conferral.statemachine.actions.dials import dial
from conferral.statemachine.actions.participants import clear_end_on_exit, suspect, unhold_all, want_unhold
from conferral.statemachine.actions.transfer_start import hold_agent_if_gated
from conferral.statemachine.events import Event
from conferral.statemachine.legs import overtake_reads
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, LOST, TARGET
from conferral.statemachine.states import (
    CallStatus,
    Opening,
    Phase,
    Place,
    State,
    TransferMode,
    TransferStage,
    TransferStatus,
    WaitAudio,
)
from conferral.statemachine.step import CommandStatus, Draft


def recall_lost_agent(draft: Draft, event: Event) -> None:
    """Play music to the customer, and ring the agent once they are there."""
    if draft.state is State.BRIDGED:
        parties.note_gone(draft, AGENT, getattr(event, "dial_call_status", "") or CallStatus.COMPLETED)
        suspect(draft, event, draft.policy.loss_settle_ms)
    _await_agent(draft, places_tried=0)


def await_lost_agent(draft: Draft, _event: Event) -> None:
    """Play music to the customer: the transfer is over, and the agent rings."""
    _await_agent(draft, places_tried=1)


def _await_agent(draft: Draft, places_tried: int) -> None:
    parties.fail_queued_commands(draft, EndReason.AGENT_LEFT, "")
    _end_transfer(draft)
    clear_end_on_exit(draft)
    customer = draft.session.customer
    draft.change(phase=Phase.RECALL, opening=Opening.OVER, repair_attempted=False)
    draft.begin_transfer(
        TransferMode.LOSS,
        to=(),
        status=TransferStatus.FAILED,
        reason=EndReason.AGENT_LEFT.value,
        fallback=(Place.RECALL.value, *draft.session.fallback),
        places_tried=places_tried,
    )
    draft.change_party(customer, wait_audio=WaitAudio.MUSIC)
    overtake_reads(draft, customer)
    draft.cancel_timers(events.CallsOverdue)


def _end_transfer(draft: Draft) -> None:
    """End a transfer that came to nothing, or to its end without the agent."""
    parties.retire_targets(draft)
    if (transfer := draft.session.running_transfer) is None:
        return
    if transfer.status not in (TransferStatus.FAILED, TransferStatus.CANCELLED):
        reports.fail_transfer(draft, EndReason.AGENT_LEFT)
    reports.report_step(draft, CommandStatus.DONE)
    reports.conclude_transfer(draft, draft.transfer.status.value)


def ring_lost_agent(draft: Draft, _event: Event) -> None:
    """Ring the agent whose leg was lost, who need not confirm or be briefed."""
    agent, ring_ms = draft.session.agent, min(draft.policy.loss_ring_ms, draft.policy.ring_timeout_ms)
    options = replace(agent.options, brief="", confirm=False, digits="", amd=False, timeout_s=ring_ms // 1000)
    dial(draft, AGENT, agent.address, options=options, rung_again_because=LOST)


def let_returned_agent_talk(draft: Draft, event: Event) -> None:
    """Let the agent, who is back, talk to those whom they talked to before.

    In other stages, nothing is to be done: the stage takes the parties off hold.
    """
    draft.change_party(draft.session.agent, rung_again_because="")
    transfer = draft.transfer
    if draft.session.phase is not Phase.CONSULT or transfer.status is TransferStatus.MERGED:
        unhold_all(draft, event)
    elif transfer.stage is TransferStage.DIALING:
        hold_agent_if_gated(draft, event)
    elif transfer.stage in (TransferStage.TALKING, TransferStage.UNHOLDING):
        want_unhold(draft, transfer.swap_to or TARGET)
