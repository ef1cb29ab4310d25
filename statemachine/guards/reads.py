"""Guards on what reads and the sweep show, also of a session Redis lost."""

import re
from collections.abc import Iterable

from conferral.statemachine import events
from conferral.statemachine.guards.conference import unsettled_ms
from conferral.statemachine.guards.waiting_party import has_reached_conference
from conferral.statemachine.ids import split_label, visit_number
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, TARGET, Party, Session
from conferral.statemachine.states import (
    FINAL_CALL_STATUSES,
    CallStatus,
    Opening,
    Phase,
    State,
    UnsettledName,
)
from conferral.statemachine.step import Draft

#: A phone number within a name, which must not appear in logs.
_PHONE_NUMBER = re.compile(r"[0-9](?:[_-]?[0-9]){6}")


def name_from_label(one: events.ParticipantSeen) -> str:
    """Return the name in Conferral's label; `target` for any of a ring group."""
    name, _ = split_label(one.label)
    return "" if _PHONE_NUMBER.search(name) else name


# ---- guards on unknown participants in a read: a loss, or a lost join ----------------------------------------------


def unknown_participants(
    session: Session, conference_sid: str, participants: Iterable[events.ParticipantSeen]
) -> tuple[events.ParticipantSeen, ...]:
    """Return the participants of the session's conference that it never knew."""
    is_own = conference_sid == session.conference_sid or not session.participants
    if not is_own or session.is_former_conference(conference_sid):
        return ()
    return tuple(
        seen
        for seen in participants
        if seen.call_sid and session.subject_of(seen) is None and seen.call_sid not in session.former_calls
    )


def is_ours(seen: events.ParticipantSeen) -> bool:
    """Whether a label says that the session dialed the participant."""
    base = name_from_label(seen).partition("-")[0]
    return bool(split_label(seen.label)[1]) and base in (CUSTOMER, AGENT, TARGET, SUPERVISOR)


def is_supervisor(seen: events.ParticipantSeen) -> bool:
    """Whether a participant is a supervisor, by label or by coaching."""
    return name_from_label(seen) == SUPERVISOR or bool(seen.coaches)


# ---- guards on what a read of Twilio shows -------------------------------------------------------------------------


def with_newer_facts(session: Session, read: events.CallsRead) -> events.CallsRead:
    """Return a read that shows legs with newer facts as they are known."""
    newer = [party for party in session.participants if party.overtakes(read)]
    found = ((seen, session.subject_of(seen)) for seen in read.participants)
    shown = tuple(seen for seen, party in found if party is None or not party.overtakes(read))
    if not newer or read.conference_sid not in ("", session.conference_sid):
        return replace(read, participants=shown)
    return replace(read, conference_sid=session.conference_sid, participants=(*shown, *map(_as_known, newer)))


def _as_known(party: Party) -> events.ParticipantSeen:
    return events.ParticipantSeen(
        party.call_sid, party.label, party.held, party.muted, party.end_on_exit, party.coaches,
        is_ringing=bool(party.dial_id) and not party.answered, start_on_enter=False,
    )  # fmt: skip


def shows_parent_moved(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the parent's call goes on, well after its `<Dial>` has ended.

    The action's answer would have ended it, so another app has moved it. No one is moved into our conference alone.
    """
    session = draft.session
    # In a conversion, the `<Dial>` ends because Conferral moved the child.
    has_ended = session.child.is_gone or (draft.state is State.BRIDGED and bool(session.dial_call_status))
    # While the end is news, the action's answer may still be on its way.
    age_ms = unsettled_ms(draft, UnsettledName.PARENT_WITHOUT_CHILD.key(session.parent.name))
    is_old = age_ms >= draft.policy.leave_timeout_ms
    if draft.state is State.BRIDGED:
        is_old = events.CallsOverdue.timer not in session.timers
    goes_on = event.status_of(session.parent.call_sid) == CallStatus.IN_PROGRESS
    is_known = is_old and not (session.child.overtakes(event) or session.parent.overtakes(event))
    return has_ended and is_known and goes_on and not shows_parent_inside(draft, event)


def shows_parent_inside(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the parent's call is in our conference."""
    return any(seen.call_sid == draft.session.parent.call_sid for seen in event.participants)


def shows_child_ended(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the child's call is over."""
    return shows_ended(draft, event, draft.session.child)


def shows_child_moved(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the child goes on although the bridge is over: it was moved."""
    seen = child_in_read(draft, event)
    goes_on = seen is not None and seen.status == CallStatus.IN_PROGRESS
    return goes_on and bool(draft.session.dial_call_status) and shows_ended(draft, event, draft.session.parent)


def shows_caller_elsewhere(draft: Draft, event: events.CallsRead) -> bool:
    """Whether a later visit is none: its call continues elsewhere.

    A visit is a call's request to a voice URL. This one was an earlier visit's, sent again, so the caller never got
    this session's TwiML.
    """
    session = draft.session
    caller = session.parent
    is_due = draft.now_ms - session.created_at_ms >= draft.policy.ring_timeout_ms
    if visit_number(session.id) == 1 or not is_due or event.status_of(caller.call_sid) in ("", *FINAL_CALL_STATUSES):
        return False
    if draft.state is State.BRIDGED:
        return session.phase is Phase.RINGING and not session.child.call_sid and child_in_read(draft, event) is None
    is_waiting = session.opening is Opening.ARRIVING and not has_reached_conference(draft, caller)
    return is_waiting and not (caller.overtakes(event) or shows_parent_inside(draft, event))


def awaits_next_agent(draft: Draft, event: events.CallsRead) -> bool:
    """Whether an agent was not reached, and the next is about to ring."""
    session = draft.session
    is_left = session.phase is Phase.RINGING and session.agent_number + 1 < len(session.agents)
    return is_left and shows_child_ended(draft, event) and not shows_ended(draft, event, session.parent)


def next_agent_call(draft: Draft, event: events.CallsRead) -> events.CallSeen | None:
    """Return the next agent's call: a read shows it before any callback.

    It is the first live child call that the session doesn't know, while it awaits the next agent.
    """
    if not awaits_next_agent(draft, event):
        return None
    known = (*draft.session.former_calls, draft.session.child.call_sid)
    children = (call for call in event.calls if call.parent_call_sid and call.call_sid not in known)
    return next((call for call in children if call.status not in FINAL_CALL_STATUSES), None)


def shows_leg_left_alone(draft: Draft, event: events.CallsRead) -> bool:
    """Whether an ended session's leg is alone in its conference.

    Its label shows that no other app has brought it there. Reads that began before the end don't count.
    """
    if len(event.participants) != 1:
        return False
    (seen,) = event.participants
    party = draft.session.subject_of(seen)
    return party is not None and party.label == seen.label and not party.overtakes(event)


def shows_no_one_at_age_limit(draft: Draft, event: events.CallsRead) -> bool:
    """Whether a session that reached its limit has no call that goes on."""
    session = draft.session
    is_due = draft.now_ms - session.created_at_ms >= draft.policy.age_max_ms
    goes_on = event.unread or event.participants or any(one.status not in FINAL_CALL_STATUSES for one in event.calls)
    return is_due and not goes_on and not any(party.overtakes(event) for party in session.present.values())


def child_in_read(draft: Draft, event: events.CallsRead) -> events.CallSeen | None:
    """Return the child's call as the read shows it; None if it shows none."""
    child = draft.session.child
    if child.call_sid:
        status = event.status_of(child.call_sid)
        return events.CallSeen(child.call_sid, status) if status else None
    if child.overtakes(event):
        return None  # the next agent, whom the read began too early to show
    # The newest child is listed first. One that is over may be an earlier visit's, even if that is not known.
    former, is_return = draft.session.former_calls, visit_number(draft.session.id) > 1
    children = (call for call in event.calls if call.parent_call_sid and call.call_sid not in former)
    return next((call for call in children if not (is_return and call.status in FINAL_CALL_STATUSES)), None)


def shows_ended(draft: Draft, event: events.CallsRead, party: Party) -> bool:
    """Whether a party is gone, or a read shows the party's call as over."""
    if party.is_gone:
        return True
    if party == draft.session.child:
        seen = child_in_read(draft, event)
        return seen is not None and seen.status in FINAL_CALL_STATUSES
    return event.status_of(party.call_sid) in FINAL_CALL_STATUSES
