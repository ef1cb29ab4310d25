"""Moving both legs into the conference, and repairing it once."""

from conferral.statemachine.actions.asking import want_ends
from conferral.statemachine.actions.commands import report_converts
from conferral.statemachine.actions.concluding import conclude_transfer, note_failure
from conferral.statemachine.actions.dialling import watch_dials
from conferral.statemachine.actions.looking import look_at_calls
from conferral.statemachine.actions.order_book import fail_queued
from conferral.statemachine.actions.parties import note_gone
from conferral.statemachine.actions.recording import note_conference_recording
from conferral.statemachine.actions.room import leave_room, note_checked, note_join, take_room_from
from conferral.statemachine.actions.strangers import take_strangers_from
from conferral.statemachine.effects import RedirectCall
from conferral.statemachine.events import (
    CallsRead,
    Convert,
    ConvertOverdue,
    DialEnded,
    EffectFailed,
    EffectOutcome,
    Event,
    LeaveOverdue,
    ParticipantJoined,
    RepairOverdue,
    RingOverdue,
)
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, Party
from conferral.statemachine.states import PartyStatus, Phase, Tune
from conferral.statemachine.step import CommandStatus


def convert(scratch: Scratch, event: Convert) -> None:
    """Both are brought into a conference because somebody asked for just that."""
    scratch.change(converting_for=(event.command_id,))
    scratch.report(event.command_id, CommandStatus.ACCEPTED)
    begin_converting(scratch)


def begin_converting(scratch: Scratch) -> None:
    """The child's leg goes first: that ends the parent's `<Dial>`, whose action then joins the parent too.

    The other way round the child would be hung up. Source: Twilio docs, modifying calls in progress.
    """
    scratch.change(phase=Phase.NONE, repaired=False, redirecting=(), moved_at_ms=0)
    child = scratch.session.child
    redirect(scratch, child)
    scratch.set_timer(ConvertOverdue.timer, scratch.policy.convert_timeout_ms)


def join_conversion(scratch: Scratch, event: Convert) -> None:
    """It converts already; this command is done when both are in, too."""
    scratch.change(converting_for=(*scratch.session.converting_for, event.command_id))
    scratch.report(event.command_id, CommandStatus.ACCEPTED)


def adopt_conversion(scratch: Scratch, event: ParticipantJoined) -> None:
    """A leg is in a conference though no conversion is known: a history that was rewound, or somebody else's hand."""
    _adopt(scratch)
    note_join(scratch, event)


def note_dial_end(scratch: Scratch, event: DialEnded) -> None:
    """The parent's `<Dial>` is over because the child was moved: the parent is on the way into the conference."""
    scratch.change(dial_call_status=event.dial_call_status, moved_at_ms=scratch.now_ms)


def follow_into_room(scratch: Scratch, event: ParticipantJoined) -> None:
    """A leg is in another conference of the same name: the first one must be over, or it would have led into that."""
    leave_room(scratch)
    note_join(scratch, event)


def settle(scratch: Scratch, event: ParticipantJoined) -> None:
    """Both are in: converted."""
    note_join(scratch, event)
    _settled(scratch)


def settle_by_read(scratch: Scratch, event: CallsRead) -> None:
    """A read shows both in the conference; the callbacks that should have said so were lost."""
    take_room_from(scratch, event)
    for name in (CUSTOMER, AGENT):
        scratch.change_party(scratch.session.parties[name], status=PartyStatus.CONNECTED)
    take_strangers_from(scratch, event)
    note_checked(scratch, event)
    _settled(scratch)


def settle_with_others(scratch: Scratch, event: CallsRead) -> None:
    """The agent is gone, and the customer is with somebody whom Redis has forgotten: they go on."""
    take_room_from(scratch, event)
    agent = scratch.session.parties[AGENT]
    note_gone(scratch, AGENT, event.status_of(agent.call_sid))
    scratch.change_party(scratch.session.parties[CUSTOMER], status=PartyStatus.CONNECTED)
    take_strangers_from(scratch, event)
    note_checked(scratch, event)
    _settled(scratch)
    watch_dials(scratch)


def _settled(scratch: Scratch) -> None:
    scratch.cancel_timer(ConvertOverdue.timer)
    scratch.cancel_timer(RepairOverdue.timer)
    # A repair may still be on its way: it takes out for a moment whom a late dial action has brought in. What else is
    # still to be heard of a request that moved somebody does not matter any more: both are in.
    session = scratch.session
    scratch.change(redirecting=session.redirecting if session.repaired else (), repaired=False)
    report_converts(scratch, CommandStatus.DONE)
    note_conference_recording(scratch)
    transfer = scratch.session.transfer
    # The agent whom a transfer waits for is to be able to leave: no flag is set that would only be cleared again.
    want_ends(scratch, agent=transfer is None or not transfer.runs)


def redirect_missing(scratch: Scratch, event: CallsRead) -> None:
    """The leg that is missing is moved once. With nobody in the room it is the child's: the parent's follows it."""
    take_room_from(scratch, event)
    inside = {participant.call_sid for participant in event.participants}
    parent, child = scratch.session.parent, scratch.session.child
    scratch.change(repaired=True)
    scratch.set_timer(RepairOverdue.timer, scratch.policy.repair_timeout_ms)
    missing = parent if child.call_sid in inside else child
    redirect(scratch, missing)
    scratch.change_party(missing, moved_again_ms=scratch.now_ms)


def redirect(scratch: Scratch, party: Party, tune: Tune = Tune.NONE) -> None:
    """A leg is moved into the conference: to start it, or, with a tune, to wait there for somebody else."""
    effect_id = scratch.order(
        RedirectCall,
        party=party.name,
        call_sid=party.call_sid,
        room=scratch.session.room,
        conference_name=scratch.session.conference_name,
        label=party.label,
        attempt=2 if scratch.session.repaired else 1,
        tune=tune.value,
        attributes=scratch.session.attributes,
    )
    scratch.change(redirecting=(*scratch.session.redirecting, effect_id))


def note_redirected(scratch: Scratch, event: EffectOutcome) -> None:
    """Twilio has taken the redirect: the leg is on its way."""
    note_redirect_over(scratch, event)
    scratch.change(moved_at_ms=scratch.now_ms)


def note_redirect_over(scratch: Scratch, event: EffectOutcome) -> None:
    """The redirect has come to an end, without success or without anybody knowing."""
    scratch.change(redirecting=_without(scratch, event))
    for party in tuple(scratch.session.parties.values()):
        if party.moved_again_ms:
            scratch.change_party(party, moved_again_ms=scratch.now_ms)


def look_after_redirect(scratch: Scratch, event: EffectOutcome) -> None:
    """The leg was gone, or nobody knows whether it was moved: Twilio is asked."""
    note_redirect_over(scratch, event)
    look_at_calls(scratch, event)


def return_to_bridge(scratch: Scratch, event: EffectFailed) -> None:
    """Twilio refused to move the child's leg, so nothing has happened: the two talk on as before."""
    _return(scratch, event.in_words)


def give_up_converting(scratch: Scratch, _event: RepairOverdue) -> None:
    """Nobody was moved in all that time: the two talk on as before, and are looked at once more."""
    _return(scratch, "Twilio did not move anybody in time")
    scratch.set_timer(LeaveOverdue.timer, scratch.policy.look_again_ms)


def wait_for_redirect(scratch: Scratch, _event: RepairOverdue) -> None:
    """A request under way may still move somebody; it has a deadline of its own, and its end comes as an event."""
    scratch.set_timer(RepairOverdue.timer, scratch.policy.settle_ms)


def look_in_a_moment(scratch: Scratch, _event: Event) -> None:
    """Whoever was just moved is given the time to arrive."""
    scratch.set_timer(ConvertOverdue.timer, scratch.policy.settle_ms)


def adopt_moved(scratch: Scratch, event: DialEnded) -> None:
    """The child was moved by a conversion that Redis has forgotten: the parent follows, so it is taken as one."""
    _adopt(scratch)
    note_dial_end(scratch, event)


def _adopt(scratch: Scratch) -> None:
    scratch.cancel_timer(RingOverdue.timer)
    scratch.cancel_timer(LeaveOverdue.timer)
    scratch.set_timer(ConvertOverdue.timer, scratch.policy.convert_timeout_ms)


def _return(scratch: Scratch, why: str) -> None:
    transfer = scratch.session.transfer
    if transfer is not None and transfer.runs:
        note_failure(scratch, why)
        conclude_transfer(scratch, "failed")
    scratch.change(phase=Phase.CONNECTED, redirecting=(), repaired=False)
    scratch.cancel_timer(ConvertOverdue.timer)
    scratch.cancel_timer(RepairOverdue.timer)
    report_converts(scratch, CommandStatus.FAILED, why)
    fail_queued(scratch, why)


def _without(scratch: Scratch, event: EffectOutcome) -> tuple[str, ...]:
    return tuple(name for name in scratch.session.redirecting if name != event.effect_id)
