"""Who takes the call, and what follows when nobody does."""

from dataclasses import replace

from conferral.statemachine.actions.asking import want_ends, want_everybody_unheld, want_hold, want_unhold
from conferral.statemachine.actions.commands import report_step, report_transfer, take_step
from conferral.statemachine.actions.concluding import conclude_transfer, note_failure
from conferral.statemachine.actions.dialling import dial, let_party_go, must_confirm, next_label, watch_dials
from conferral.statemachine.actions.parties import told_reason
from conferral.statemachine.actions.recording import note_conference_recording
from conferral.statemachine.actions.transferring import enter, forget_targets, let_agent_go, wait_for_answer
from conferral.statemachine.departures import next_name
from conferral.statemachine.events import Cancel, ConfirmOverdue, Event, StageOverdue
from conferral.statemachine.guards.transfers import RINGS_AGENT, awaited, taker
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, TARGET, Party
from conferral.statemachine.states import Phase, Stage, TransferStatus, Tune
from conferral.statemachine.step import CommandStatus
from conferral.statemachine.transfer import DialOptions

# ---- somebody takes it -------------------------------------------------------------------------------------------


def hand_over(scratch: Scratch, _event: Event) -> None:
    """Somebody who was dialled takes part. Whoever else rings is let go."""
    winner = taker(scratch)
    assert winner is not None  # the guard has found it
    transfer = scratch.transfer
    scratch.change_transfer(attempts=transfer.with_attempt(winner.dial_id, result="answered"))
    for other in awaited(scratch):
        if other.name != winner.name and not other.is_gone:
            let_party_go(scratch, other)
    if scratch.session.phase not in RINGS_AGENT:
        _rename(scratch, {winner.name: TARGET})
    watch_dials(scratch)
    if scratch.session.phase in (Phase.WARM, Phase.CONSULT):
        consult = scratch.session.phase is Phase.CONSULT
        scratch.change_transfer(status=TransferStatus.CONSULTING if consult else TransferStatus.MERGED)
        report_transfer(scratch, CommandStatus.DONE)
        enter(scratch, Stage.TALKING)
    else:
        want_unhold(scratch, CUSTOMER)
        if scratch.session.phase is Phase.BLIND:
            let_agent_go(scratch)
        # Until the one who handed over is confirmed to be gone, Twilio is asked.
        enter(scratch, Stage.CONNECTING, scratch.policy.part_timeout_ms)


def complete_transfer(scratch: Scratch, _event: Event) -> None:
    """Customer and target talk: the target is the agent from here on."""
    _rename(scratch, {AGENT: next_name(scratch.session, AGENT), TARGET: AGENT})
    report_step(scratch, CommandStatus.DONE)
    if scratch.transfer.fell_back:
        # Whoever asked for the transfer was told that it failed; the customer is with somebody else.
        scratch.change_transfer(status=TransferStatus.FAILED, reason=f"{scratch.transfer.reason}, fallback answered")
        conclude_transfer(scratch, "failed")
    else:
        scratch.change_transfer(status=TransferStatus.COMPLETED, reason="")
        report_transfer(scratch, CommandStatus.DONE)
        conclude_transfer(scratch, "completed")
    settle_after_transfer(scratch)


def complete_recall(scratch: Scratch, _event: Event) -> None:
    """The agent is back with the customer."""
    conclude_transfer(scratch, "recalled")
    settle_after_transfer(scratch)


def return_to_agent(scratch: Scratch, _event: Event) -> None:
    """Agent and customer go on as before."""
    report_step(scratch, CommandStatus.DONE)
    conclude_transfer(scratch, scratch.transfer.status.value)
    settle_after_transfer(scratch)


def settle_after_transfer(scratch: Scratch) -> None:
    """The transfer is over and two or more talk: all as in any other conference."""
    scratch.change(phase=Phase.NONE, first_left="", redirecting=(), repaired=False, parked_by="", parked_until_ms=0)
    note_conference_recording(scratch)
    want_ends(scratch)


def _rename(scratch: Scratch, names: dict[str, str]) -> None:
    """Gives parties other names; a party that had the name before and is gone makes room."""
    renamed = {}
    for party in scratch.session.parties.values():
        name = names.get(party.name, party.name)
        renamed[name] = replace(party, name=name)
    # What was asked for about somebody goes on under the new name.
    orders = tuple(replace(order, party=names.get(order.party, order.party)) for order in scratch.session.orders)
    scratch.change(parties=renamed, orders=orders)


# ---- nobody takes it, and the agent is there ---------------------------------------------------------------------


def withdraw(scratch: Scratch, event: Cancel) -> None:
    """The target leaves, or stops ringing, before the customer is let back."""
    take_step(scratch, event)
    scratch.change_transfer(status=TransferStatus.CANCELLED, reason="command")
    report_transfer(scratch, CommandStatus.FAILED, "cancelled")
    for target in scratch.session.targets:
        if not target.is_gone:
            let_party_go(scratch, target)
    enter(scratch, Stage.WITHDRAWING, scratch.policy.part_timeout_ms)


def cancel_queued(scratch: Scratch, event: Cancel) -> None:
    """The transfer had not begun: the two come into the conference and stay there."""
    take_step(scratch, event)
    scratch.change_transfer(status=TransferStatus.CANCELLED, reason="command")
    report_transfer(scratch, CommandStatus.FAILED, "cancelled")
    report_step(scratch, CommandStatus.DONE)
    conclude_transfer(scratch, "cancelled")


def let_customer_back(scratch: Scratch, _event: Event) -> None:
    """The target is gone: the customer hears the agent again."""
    _restore(scratch)


def note_target_left(scratch: Scratch, _event: Event) -> None:
    """The target took part and has hung up: agent and customer go on."""
    scratch.change_transfer(status=TransferStatus.CANCELLED, reason="target-left")
    report_step(scratch, CommandStatus.FAILED, "target-left")
    _restore(scratch)


def note_nobody_reached(scratch: Scratch, _event: Event) -> None:
    """Nobody of those who were dialled took part: agent and customer go on."""
    note_failure(scratch, reason_unreached(scratch))
    _restore(scratch)


#: Why nobody is dialled when Twilio does not confirm what comes before.
_UNCONFIRMED = {Stage.CLEARING: "flag", Stage.SILENCING: "recording-failed"}


def fail_unconfirmed(scratch: Scratch, _event: StageOverdue) -> None:
    """Twilio does not confirm what has to come before the dial: nobody is dialled."""
    note_failure(scratch, _UNCONFIRMED.get(scratch.transfer.stage, "hold-failed"))
    _restore(scratch)


def _restore(scratch: Scratch) -> None:
    want_everybody_unheld(scratch)
    enter(scratch, Stage.RESTORING, scratch.policy.hold_timeout_ms)
    if ConfirmOverdue.timer not in scratch.session.timers:
        scratch.set_timer(ConfirmOverdue.timer, scratch.policy.confirm_ms)


# ---- nobody takes it, and the agent is gone ----------------------------------------------------------------------


def fall_back(scratch: Scratch, _event: Event) -> None:
    """The customer is alone: the agent is rung again, or somebody else, while he hears music."""
    why = reason_unreached(scratch)
    transfer = scratch.transfer
    report_agent_gone(scratch, _event)
    if transfer.status is TransferStatus.CANCELLED:
        why = transfer.reason
        if transfer.step_name == "cancel":
            report_step(scratch, CommandStatus.DONE)  # the target is gone, as it asked for
    _keep_company(scratch)
    if scratch.session.phase is Phase.RECALL:
        scratch.change_transfer(reason=f"{transfer.reason}, recall {why}")
        enter(scratch, Stage.PAUSING, scratch.policy.recall_pause_ms)
        return
    note_failure(scratch, f"{transfer.reason}, fallback {why}" if transfer.fell_back else why)
    begin_recall(scratch, _event)


def note_unreached(scratch: Scratch, event: Event) -> None:
    """The transfer has failed, the agent is gone, and nobody is left to be tried."""
    why = reason_unreached(scratch)
    before = scratch.transfer.reason
    if scratch.session.phase is Phase.RECALL:
        why = f"{before}, recall {why}"
    elif scratch.transfer.fell_back:
        why = f"{before}, fallback {why}"
    report_agent_gone(scratch, event)
    note_failure(scratch, why)


def let_others_go_on(scratch: Scratch, event: Event) -> None:
    """The customer is not alone for it: he and whoever was added hear each other again."""
    note_unreached(scratch, event)
    _restore(scratch)


def begin_recall(scratch: Scratch, event: Event) -> None:
    """Whom the settings name is rung: the agent, or a destination."""
    fallback = scratch.policy.fallback
    if fallback == "recall":
        scratch.change(phase=Phase.RECALL)
        ring_agent(scratch, event)
        return
    scratch.change(phase=Phase.BLIND)
    scratch.change_transfer(fell_back=True)
    forget_targets(scratch, [target for target in scratch.session.targets if target.is_gone])
    dial(
        scratch,
        TARGET,
        fallback,
        label=f"{TARGET}-{scratch.session.dials + 1}",
        options=DialOptions(),
        gated=must_confirm(scratch, fallback),
    )
    wait_for_answer(scratch)


def report_agent_gone(scratch: Scratch, _event: Event) -> None:
    """The agent is gone, which is what `complete` asked for, whatever became of the target."""
    if scratch.transfer.step_name == "complete":
        report_step(scratch, CommandStatus.DONE)


def ring_agent(scratch: Scratch, _event: Event) -> None:
    """The agent who handed over is rung, and told at our gate what has failed."""
    former = scratch.session.parties[AGENT]
    transfer = scratch.transfer
    scratch.change_transfer(recalls=transfer.recalls + 1)
    if former.call_sid:
        scratch.change(former_calls=(*scratch.session.former_calls, former.call_sid))
    dial(
        scratch,
        AGENT,
        scratch.session.parked_by or former.address,
        label=next_label(scratch, AGENT),
        options=DialOptions(),
        gated=True,
        recalled_for=transfer.reason.partition(",")[0],
    )
    wait_for_answer(scratch)


def _keep_company(scratch: Scratch) -> None:
    """The customer hears music; he is held for it where the room has started."""
    customer = scratch.session.parties[CUSTOMER]
    if customer.waits:
        scratch.change_party(customer, tune=Tune.MUSIC)
    else:
        want_hold(scratch, CUSTOMER, Tune.MUSIC)


def reason_unreached(scratch: Scratch) -> str:
    """Why nobody was reached, by the last of them."""
    last: Party | None = None
    for party in awaited(scratch):
        if party.is_gone and party.left_reason not in ("taken", "cancelled"):
            last = party
    if last is None:
        return "failed"
    return told_reason(last.left_reason)
