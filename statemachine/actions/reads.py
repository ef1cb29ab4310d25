"""Reads of Twilio when something is overdue."""

from collections.abc import Callable

from conferral.statemachine import events, guards
from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import Event
from conferral.statemachine.states import State
from conferral.statemachine.step import Draft


def read_is_open(draft: Draft) -> bool:
    """Whether a read has no answer yet, and is not taken as lost."""
    session = draft.session
    is_recent = draft.now_ms - session.open_read_since_ms < draft.policy.read_timeout_ms
    return bool(session.open_read_id) and is_recent


def read_calls(draft: Draft, _event: Event) -> None:
    """Read the session's calls and conference, after any open read."""
    session = draft.session
    if read_is_open(draft):
        draft.change(reread_wanted=True)
        return
    bridged = draft.state in (State.BRIDGED, State.CONVERTING)
    parent = session.parent.call_sid if bridged else ""
    others = [
        party
        for party in session.parties.values()
        if party.call_sid not in ("", parent)
        and not party.is_gone
        and (not session.unread_calls or party.call_sid in session.unread_calls)
    ]
    # Unanswered dials come first: while one seems to be in progress, no lone party is released.
    others.sort(key=lambda party: party.answered or not party.dial_id)
    open_read_id = draft.emit(
        ReadCalls,
        parent_call_sid=parent,
        call_sids=tuple(party.call_sid for party in others),
        unproven_sids=tuple(party.call_sid for party in others if party.early_media and not party.answered),
        # Bridges have no conference, but after a Redis rollback the two may be in one already.
        conference_name=session.conference_name,
        conference_sid=session.conference_sid,
        read_version=session.version + 1,
    )
    draft.change(open_read_id=open_read_id, open_read_since_ms=draft.now_ms, reread_wanted=False, unread_calls=())


def check_session(draft: Draft, event: events.AccountSwept) -> None:
    """Read Twilio: the sweep found a difference, or Redis was rolled back."""
    party = draft.session.subject_of(event)
    if party is not None and party.is_gone:
        return  # the callback of the call's end was only late
    was_rolled_back = not (event.call_sid or event.conference_sid)
    if was_rolled_back:
        for one in draft.session.parties.values():
            if guards.is_unknown_dial(one) and not one.is_gone and not one.dial_check:
                draft.change_party(one, dial_check="unknown")
        # Redis may have lost the stage's event, so the read comes first.
        due_ms = draft.session.timers.get(events.StageOverdue.timer)
        if due_ms is not None:
            draft.set_timer(events.StageOverdue, max(draft.policy.hold_timeout_ms, due_ms - draft.now_ms))
    if was_rolled_back and draft.state in (State.CONFERENCED, State.TRANSFERRING):
        read_until_known(draft, event)
    else:
        read_calls(draft, event)


def read_live_call(draft: Draft, event: events.AccountSwept) -> None:
    """Read who is with a call that goes on after the session's end."""
    draft.emit(
        ReadCalls,
        parent_call_sid="",
        call_sids=(event.call_sid,),
        conference_name=draft.session.conference_name,
        conference_sid=draft.session.conference_sid,
        read_version=draft.session.version + 1,
    )


def read_until_known(draft: Draft, event: Event) -> None:
    """Read Twilio until a read is as new as the known facts."""
    read_calls(draft, event)
    read_later(draft, event)


def read_every(interval: str) -> Callable[[Draft, events.TimerExpired], None]:
    """Return the action that reads Twilio until the timer's cause is gone."""

    def read_and_wait(draft: Draft, event: events.TimerExpired) -> None:
        read_calls(draft, event)
        draft.set_timer(type(event), getattr(draft.policy, interval))

    read_and_wait.__name__ = read_every.__name__
    read_and_wait.__doc__ = f"Read Twilio, and again after `{interval}`."
    return read_and_wait


def count_presence_read(draft: Draft, _event: Event) -> None:
    """Count a read that must show what became of a conversion."""
    draft.change(presence_reads=draft.session.presence_reads + 1)


def read_later(draft: Draft, _event: Event) -> None:
    """Read again later: this read gave no result, or did not settle the matter."""
    draft.set_timer(events.CallsOverdue, draft.policy.reread_interval_ms)


def read_missing_leg(draft: Draft, event: events.ConvertOverdue) -> None:
    """Read Twilio to find a conversion's missing leg, and time its repair."""
    read_calls(draft, event)
    if events.RepairOverdue.timer not in draft.session.timers:
        draft.set_timer(events.RepairOverdue, draft.policy.repair_timeout_ms)
