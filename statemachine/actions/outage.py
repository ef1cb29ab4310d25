"""After an outage of Redis: what it forgot, the call keeps.

A read follows (`read_after_finding`). Legs that it shows are guests (`conference.add_unknown_participants`). A hold or
a mute stays as if a person had ordered it (`participants.apply_participants`), a hold until the agent has left. No one
is dialed again.
"""

from conferral.statemachine import events, guards
from conferral.statemachine.actions import parties, reports
from conferral.statemachine.actions.conference import name_of_leg, vacate_name
from conferral.statemachine.actions.dials import note_call_progress, note_dial_placed, note_gate_reached, options_for
from conferral.statemachine.actions.participants import clear_end_on_exit, unhold_all, want_hold, want_unhold
from conferral.statemachine.events import Event
from conferral.statemachine.parts import DialOptions
from conferral.statemachine.reasons import Reason, reported_reason
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, Party
from conferral.statemachine.states import Opening, Phase, State, SuperviseMode, TransferMode, TransferStatus, WaitAudio
from conferral.statemachine.step import Draft


def forget_transfer(draft: Draft, _event: events.AccountSwept) -> None:
    """Fail a transfer whose target may ring, or talk: no one is dialed for it.

    A hold that it began stays, so that no one is overheard; that of the agent, who heard ringing, ends.
    """
    reports.fail_transfer(draft, Reason.UNKNOWN)
    reports.conclude_transfer(draft, "failed")
    if draft.state is not State.TRANSFERRING:
        return
    draft.change(phase=Phase.CONNECTED, repair_attempted=False)
    clear_end_on_exit(draft)
    want_unhold(draft, AGENT)
    draft.change_party(draft.session.customer, hold_found=draft.session.customer.desired_hold)


def forget_dials_to_come(draft: Draft, event: events.AccountSwept) -> None:
    """Fail commands that were about to dial, if Redis may have lost that."""
    if event.is_loss:
        parties.fail_commands(draft, Reason.UNKNOWN, only=guards.dials_to_come(draft.session))


def forget_target(draft: Draft, _event: events.AccountSwept) -> None:
    """Dial no one for a transfer whose target may have been: the agent left."""
    reports.fail_transfer(draft, Reason.UNKNOWN)
    draft.change_transfer(to=(), unreached=Reason.UNKNOWN)


def add_leg_of_lost_dial(
    draft: Draft, event: events.CallProgressed | events.GateReached | events.EffectSucceeded
) -> None:
    """Add a guest: a call whose dial Redis lost shows."""
    draft.reason = "its dial is unknown since Redis lost writes"
    if isinstance(event, events.CallProgressed) and event.is_final:
        draft.change(former_calls=(*draft.session.former_calls, event.call_sid))
        return
    base, address = getattr(event, "party", ""), getattr(event, "address", "")
    name = name_of_leg(draft, base)
    vacate_name(draft, name)
    party = Party(
        name,
        "",
        call_sid=event.call_sid,
        address=address,
        dial_id=event.effect_id if isinstance(event, events.EffectSucceeded) else event.dial,
        dialed_at_ms=draft.now_ms,
        is_gated=True,  # maybe; then it joins later
        options=options_for(draft, address, DialOptions()),
        supervises=SuperviseMode.MONITOR.value if base == SUPERVISOR else "",
    )
    draft.change(parties={**draft.session.parties, name: party})
    clear_end_on_exit(draft)
    if isinstance(event, events.CallProgressed):
        note_call_progress(draft, event)
    elif isinstance(event, events.GateReached):
        note_gate_reached(draft, event)
    else:
        note_dial_placed(draft, event)


def end_hold_of_all(draft: Draft, event: Event) -> None:
    """Take everyone off hold; after an outage, the agent before a customer.

    Redis lost why both are on hold, and the customer may not be meant to hear whom the agent called.
    """
    session = draft.session
    if session.customer.is_on_found_hold and not session.agent.is_gone:
        want_unhold(draft, AGENT)
    else:
        unhold_all(draft, event)


def begin_fallback_after_outage(draft: Draft, _event: Event) -> None:
    """Begin the fallback of a customer whom an outage has left alone."""
    session = draft.session
    parties.fail_commands(draft, Reason.UNKNOWN)
    draft.change(phase=Phase.FALLBACK, opening=Opening.OVER)
    reason = reported_reason(session.agent.left_reason)
    draft.begin_transfer(
        TransferMode.INBOUND,
        to=(),
        status=TransferStatus.FAILED,
        reason=reason,
        unreached=reason,
        fallback=session.fallback if session.customer_is_parent else (),
    )
    want_hold(draft, CUSTOMER, WaitAudio.MUSIC)
