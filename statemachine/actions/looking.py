"""Asking Twilio when something is overdue."""

from conferral.statemachine.actions.dialling import doubt_unknown_calls
from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import (
    AccountSwept,
    ConfirmOverdue,
    ConvertOverdue,
    EffectOutcome,
    Event,
    LeaveOverdue,
    OpeningOverdue,
    RepairOverdue,
    RingOverdue,
    StageOverdue,
)
from conferral.statemachine.guards.ended import is_of_session
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.states import Phase, State

#: Timers that lead to a look by themselves.
_LEAD_TO_A_LOOK = frozenset(
    timer.timer for timer in (LeaveOverdue, RingOverdue, OpeningOverdue, ConfirmOverdue, ConvertOverdue, RepairOverdue)
)


def look_at_calls(scratch: Scratch, _event: Event) -> None:
    """Something is overdue: Twilio is asked; while an answer is still awaited, as soon as that has come."""
    session = scratch.session
    if session.reading and scratch.now_ms - session.reading_since_ms < scratch.policy.read_timeout_ms:
        scratch.change(reads_again=True)
        return
    bridged = scratch.state in (State.BRIDGED, State.CONVERTING)
    parent = session.parent.call_sid if bridged else ""
    others = [
        party
        for party in session.parties.values()
        if party.call_sid
        and not party.is_gone
        and party.call_sid != parent
        and not (bridged and party == session.child)
        and (not session.unread_calls or party.call_sid in session.unread_calls)
    ]
    # A ring that is over has to be noticed first: nobody who is alone is released while someone is being dialed.
    others.sort(key=lambda party: party.answered or not party.dial_id)
    reading = scratch.order(
        ReadCalls,
        parent_call_sid=parent,
        call_sids=tuple(party.call_sid for party in others),
        unproven_sids=tuple(party.call_sid for party in others if party.early_media and not party.answered),
        # Of a bridge too: Redis may have been rewound to before the two were moved.
        with_conference=True,
        conference_name=session.conference_name,
        conference_sid=session.conference_sid,
        read_version=session.version + 1,
    )
    scratch.change(reading=reading, reading_since_ms=scratch.now_ms, reads_again=False, unread_calls=())


def check_session(scratch: Scratch, event: AccountSwept) -> None:
    """The account shows something else, or Redis was rolled back: Twilio is asked."""
    if is_of_session(event):
        doubt_unknown_calls(scratch)
        _wait_for_look(scratch)
    if is_of_session(event) and scratch.state in (State.CONFERENCED, State.TRANSFERRING):
        look_until_known(scratch, event)
    else:
        look_at_calls(scratch, event)


def _wait_for_look(scratch: Scratch) -> None:
    """What a transfer waits for may have happened, and Redis has forgotten it: nothing is given up before the look."""
    due_ms = scratch.session.timers.get(StageOverdue.timer)
    if due_ms is not None:
        scratch.set_timer(StageOverdue.timer, max(scratch.policy.hold_timeout_ms, due_ms - scratch.now_ms))


def look_until_known(scratch: Scratch, event: Event) -> None:
    """A picture of all is owed: Twilio is asked until one has come that is not older than what is known."""
    look_at_calls(scratch, event)
    scratch.set_timer(LeaveOverdue.timer, scratch.policy.look_again_ms)


def look_at_company(scratch: Scratch, event: Event) -> None:
    """Something of the conference was not heard: Twilio is asked who is there."""
    scratch.change(company_looks=scratch.session.company_looks + 1)
    look_at_calls(scratch, event)


def look_later(scratch: Scratch, _event: Event) -> None:
    """The look did not settle it; another one follows."""
    session = scratch.session
    child_is_gone = session.child.is_gone
    timer = LeaveOverdue.timer if child_is_gone or session.dial_call_status else RingOverdue.timer
    if session.phase is Phase.RINGING or timer == LeaveOverdue.timer:
        scratch.set_timer(timer, scratch.policy.look_again_ms)


def look_once_more(scratch: Scratch, event: EffectOutcome) -> None:
    """The look itself came to nothing, so whatever it was for is still to be found out."""
    if scratch.state is State.BRIDGED:
        look_later(scratch, event)
    if _LEAD_TO_A_LOOK.isdisjoint(scratch.session.timers):
        scratch.set_timer(LeaveOverdue.timer, scratch.policy.look_again_ms)


def look_for_missing(scratch: Scratch, event: ConvertOverdue) -> None:
    """One waits for the other for too long: Twilio is asked where the other is; the repair has its time from now on."""
    look_at_calls(scratch, event)
    if RepairOverdue.timer not in scratch.session.timers:
        scratch.set_timer(RepairOverdue.timer, scratch.policy.repair_timeout_ms)
