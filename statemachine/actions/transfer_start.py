"""Start of a transfer, from the command to the dial."""

from typing import Any

from conferral.statemachine import events, guards
from conferral.statemachine.actions import dials
from conferral.statemachine.actions.bridge import redirect_leg
from conferral.statemachine.actions.conference import forget_conference
from conferral.statemachine.actions.participants import (
    suspect,
    unhold_all,
    want_hold,
    want_unhold,
)
from conferral.statemachine.actions.parties import (
    fail_queued_commands,
    next_name,
    note_gone,
    retire_targets,
)
from conferral.statemachine.events import Event
from conferral.statemachine.legs import overtake_reads
from conferral.statemachine.parts import DialOptions
from conferral.statemachine.reasons import EndReason, Reason
from conferral.statemachine.session import AGENT, CUSTOMER, TARGET
from conferral.statemachine.states import (
    Phase,
    TransferMode,
    WaitAudio,
)
from conferral.statemachine.step import CommandStatus, Draft


def begin_accepted_transfer(draft: Draft, event: Event) -> None:
    """Begin the accepted transfer.

    At once in a conference, else once the conversion is over.
    """
    # The agent is released immediately if `complete` came during the conversion.
    phase = Phase.BLIND if draft.transfer.step_name == "complete" else Phase(draft.transfer.mode.value)
    draft.change(phase=phase)
    draft.change_party(draft.session.agent, desired_end_on_exit=False)
    # A party that a command put on hold takes part in the transfer.
    want_unhold(draft, AGENT)
    if phase is Phase.WARM:
        unhold_all(draft, event)


def begin_from_bridge(draft: Draft, event: events.Transfer | events.Park) -> None:
    """Move the customer alone into a conference, and release the agent.

    Inbound: the customer's `<Dial>` ends with the agent, who is the child, and its action joins the customer. Outbound:
    the customer is the child and is redirected; the agent's `<Dial>` action hangs up the agent.
    """
    accept_transfer(draft, event)
    continue_alone(draft, event)
    draft.change(open_redirects=(), moved_at_ms=0)
    outbound = not draft.session.customer_is_parent
    draft.change_party(draft.session.agent, hang_up_requested=outbound)
    if outbound:
        redirect_leg(draft, draft.session.customer, draft.session.customer.wait_audio)


def accept_transfer(draft: Draft, event: events.Transfer | events.Park | events.Retrieve) -> None:
    """Accept a transfer, or a command that is handled as one."""
    draft.report(event.command_id, CommandStatus.ACCEPTED)
    retire_targets(draft)
    draft.begin_transfer(**_transfer_fields(draft, event))
    draft.change(ref=getattr(event, "ref", "") or draft.session.ref)


def _transfer_fields(draft: Draft, event: events.Transfer | events.Park | events.Retrieve) -> dict[str, Any]:
    return {
        "mode": TransferMode(event.mode if isinstance(event, events.Transfer) else event.name),
        "to": () if isinstance(event, events.Park) else events.destinations_of(event),
        "options": DialOptions() if isinstance(event, events.Park) else event.options,
        "fallback": _fallback(draft, event),
        "command_id": event.command_id,
        "deadline_ms": event.deadline_ms,
        "by": event.by,
    }


def _fallback(draft: Draft, event: events.Transfer | events.Park | events.Retrieve) -> tuple[str, ...]:
    if isinstance(event, events.Retrieve):  # that of the park, whose timeout still runs
        before = draft.session.transfer
        return draft.policy.fallback if before is None else before.places_left
    return event.fallback or draft.policy.fallback


def hold_customer(draft: Draft, _event: Event) -> None:
    """Hold the customer, who hears ringing without the agent, else music."""
    want_hold(draft, CUSTOMER, WaitAudio.RINGBACK if draft.session.phase is Phase.BLIND else WaitAudio.MUSIC)


def hold_agent_if_gated(draft: Draft, _event: Event) -> None:
    """Hold the agent, who hears ringing, if the target must pass the gate."""
    # No one in the conference hears such a phone ring.
    transfer = draft.transfer
    if len(transfer.to) > 1 or dials.options_for(draft, transfer.to[0], transfer.options).needs_gate:
        want_hold(draft, AGENT, WaitAudio.RINGBACK)


def mark_agent_leaving(draft: Draft, _event: Event) -> None:
    """Mark the agent as leaving, to be disconnected once they can be."""
    agent = draft.session.agent
    if not agent.is_gone:
        dials.mark_leaving(draft, agent)


def dial_targets(draft: Draft, _event: Event) -> None:
    """Dial the target, or a ring group, unless the phones ring already.

    In a consult, the customer is on hold by then; in a warm transfer, all keep talking.
    """
    transfer = draft.transfer
    if transfer.attempts:
        return  # dialed before the agent left
    several = len(transfer.to) > 1
    for address in transfer.to:
        dials.dial(
            draft,
            next_name(draft.session, TARGET) if several else TARGET,
            address,
            options=transfer.options,
            gated=several,  # so that one wins
            # A party waiting with the agent hears the target ring; a customer waiting alone hears wait audio.
            early_media=draft.session.phase in (Phase.WARM, Phase.CONSULT),
            ring_group=f"transfer-{transfer.number}" if several else "",
        )


def continue_as_blind(draft: Draft, _event: Event) -> None:
    """Continue as a blind transfer without the agent."""
    draft.change(phase=Phase.BLIND)


def check_dials(draft: Draft, event: events.DialOverdue) -> None:
    """Check overdue dials: search for the call; once a read shows it, give up."""
    reads = False
    for party in draft.session.parties.values():
        if not party.dial_id or party.is_gone or party.takes_part:
            continue
        # The time starts with the first callback or result.
        if not 0 < party.dial_check_at_ms <= draft.now_ms:
            continue
        if party.dial_check in guards.UNKNOWN_DIAL or (party.is_connected and not party.call_sid):
            dials.find_dialed_call(draft, party)
        elif party.dial_check in ("", "reading") or dials.may_still_join(draft, party):
            reads |= party.dial_check != "reading"
            is_in_gate = dials.may_still_join(draft, party) and party.is_gated and not party.has_passed_gate
            wait_ms = draft.policy.reread_interval_ms if is_in_gate else draft.policy.dial_read_wait_ms
            draft.change_party(party, dial_check="reading", dial_check_at_ms=draft.now_ms + wait_ms)
        else:
            # Before it is marked as leaving: the reason is not `cancelled`, the party was not reached.
            reason = Reason.NO_ANSWER if party.call_sid else Reason.UNKNOWN
            note_gone(draft, party.name, Reason.FAILED if party.answered else reason)  # it never joined
            draft.change_party(party, is_leaving=True, hang_up_requested=False)
            if party.call_sid:  # otherwise, it is hung up if it shows up
                dials.hang_up(draft, draft.session.parties[party.name])
    if reads:
        suspect(draft, event)


def continue_in_another_conference(draft: Draft, event: events.ConferenceEnded) -> None:
    """Continue in a new conference: the agent's leaving ended the old one."""
    forget_conference(draft, event)
    note_gone(draft, AGENT, event.conference_reason or "completed")
    continue_alone(draft, event)


def continue_alone(draft: Draft, _event: Event) -> None:
    """Continue with the customer alone, in this or another conference."""
    agent, customer = draft.session.agent, draft.session.customer
    parks = draft.transfer.mode is TransferMode.PARK
    phase, wait_audio = (Phase.PARK, WaitAudio.MUSIC) if parks else (Phase.BLIND, WaitAudio.RINGBACK)
    dials.mark_leaving(draft, agent)
    draft.change_party(customer, wait_audio=wait_audio, desired_hold=False, desired_end_on_exit=False)
    overtake_reads(draft, customer)
    draft.change(phase=phase, repair_attempted=False)
    draft.cancel_timers(events.CallsOverdue)
    fail_queued_commands(draft, EndReason.AGENT_LEFT, "")
