"""What a read of Twilio shows: facts, as callbacks report them.

Automatic rows decide what follows, whatever reported it.
"""

import math

from conferral.statemachine import events, guards
from conferral.statemachine.actions import conference, dials, parties
from conferral.statemachine.actions.bridge import note_parent_live
from conferral.statemachine.actions.participants import apply_participants, read_later, suspect_later
from conferral.statemachine.legs import note_facts
from conferral.statemachine.session import Party
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus, Phase, State
from conferral.statemachine.step import Draft


def observe(draft: Draft, event: events.CallsRead) -> None:
    """Take the facts that a read shows of each leg, and of the conference."""
    if draft.state in (State.BRIDGED, State.CONVERTING):
        _observe_bridge(draft, event)
    else:
        _note_calls(draft, event)
        conference.apply_presence(draft, event)
    apply_participants(draft, event)
    if draft.state is not State.BRIDGED:
        conference.add_unknown_participants(draft, event)
    if draft.state is State.CONFERENCED:
        _note_absences(draft, event)
    is_of_conversion = draft.state is State.CONVERTING and event.conference_sid == draft.session.conference_sid
    if draft.state is State.CONFERENCED or is_of_conversion:
        conference.note_verified(draft, event)


def _observe_bridge(draft: Draft, event: events.CallsRead) -> None:
    """Take what a read shows of the two legs, who may have been moved since."""
    if draft.state is State.BRIDGED:
        note_parent_live(draft, event)
    before = draft.session.child
    conference.apply_presence(draft, event)  # first: whose call is over may have been inside until then
    _note_calls(draft, event)
    session = draft.session
    is_open = session.phase is Phase.RINGING or session.child.is_gone or session.dial_call_status
    if draft.state is State.BRIDGED and is_open and session.child == before:
        read_later(draft, event)


def _note_calls(draft: Draft, event: events.CallsRead) -> None:
    """Record of each call what a read shows.

    The parent comes first: its end ends the child's, too.
    """
    addresses = {call.call_sid: call.to for call in event.calls}
    for party in sorted(draft.session.parties.values(), key=lambda one: one.name != draft.session.parent.name):
        if party.dial_id and not party.address:  # without one, an agent would be offered another caller
            draft.change_party(party, address=addresses.get(party.call_sid, ""))
        _note_call(draft, event, draft.session.parties[party.name])


def _note_call(draft: Draft, event: events.CallsRead, party: Party) -> None:
    """Record whether a party's call is live, was answered, or is over."""
    is_child = draft.state in (State.BRIDGED, State.CONVERTING) and party == draft.session.child
    seen = guards.child_in_read(draft, event) if is_child else None
    call_sid = seen.call_sid if seen is not None else party.call_sid
    status = seen.status if seen is not None else event.status_of(call_sid) if call_sid else ""
    # The gate itself reports that a call reached it.
    awaits_answer = bool(party.dial_id) and not (party.answered or party.is_gated or party.is_gone)
    if status in FINAL_CALL_STATUSES:
        note_facts(draft, party, call_sid=call_sid)
        parties.note_call_over(draft, party.name, event)
    elif is_child and status == CallStatus.IN_PROGRESS and draft.session.is_in_bridge:
        _note_child_live(draft, party, call_sid)
    elif awaits_answer and status == CallStatus.IN_PROGRESS:
        dials.note_answered(draft, party, call_sid)
    elif status and guards.stays_after_hang_up(draft, event, party):
        draft.change_party(party, hang_up_requested=False)


def _note_child_live(draft: Draft, child: Party, call_sid: str) -> None:
    if draft.session.phase is not Phase.RINGING:
        return
    # In its gate, a call is live, too; the event of the gate's decision may be lost.
    decides_ms = child.answered_at_ms + dials.gate_ms(draft, child)
    if guards.passes_bridge_gate(child) and draft.now_ms < (decides_ms if child.answered_at_ms else math.inf):
        dials.note_bridge_gate(draft, child, call_sid)
    else:
        dials.note_talking(draft, call_sid)


def _note_absences(draft: Draft, event: events.CallsRead) -> None:
    """Record that a participant whom the read lacks has left.

    Unless one was moved lately: then read again later.
    """
    is_ours = bool(event.conference_sid) and event.conference_sid == draft.session.conference_sid
    inside = {seen.call_sid for seen in event.participants}
    missing = [party for party in draft.session.participants if is_ours and party.call_sid not in inside]
    if missing and guards.was_moved_lately(draft):
        suspect_later(draft)  # the list may lag, but the callback may be lost, too
        missing = []
    for party in missing:
        note_facts(draft, party, in_conference=False)
