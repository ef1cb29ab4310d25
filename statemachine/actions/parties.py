"""What is noted about a party whose call is over."""

import re

from conferral.statemachine.events import CallProgressed
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, GUEST, TARGET, Party, Session
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus, PartyStatus, State

#: ReasonParticipantLeft in Twilio's words: of somebody whom the conference's end has put out, and of a hang-up.
_PUT_OUT, _HUNG_UP = "moderator_ended_conference", "participant_hung_up"
#: Why a party's call goes on though it is no longer ours: we sent it to TwiML of somebody else, or somebody else did.
SENT_AWAY = "sent-away"
#: Why a guest's call goes on: somebody else brought it into our conference, and only that has ended.
NOT_OURS = "not-ours"
NO_LONGER_OURS = frozenset({SENT_AWAY, NOT_OURS, "participant_updated_via_api"})
#: The name of a guest, and the label of somebody whom we have dialled.
_GUEST = re.compile(rf"{GUEST}-[0-9]+", re.ASCII)
_LABEL = re.compile(r"[a-z][A-Za-z0-9_-]{0,50}-(?P<number>[1-9][0-9]{0,5})", re.ASCII)
#: All the same to whoever waited.
_WAYS_OF_HANGING_UP = frozenset({"completed", "answered", "in-progress", _HUNG_UP})


def note_over(scratch: Scratch, party: Party, event: CallProgressed) -> None:
    """A party's call is over, by its own callback."""
    if not party.call_sid:
        scratch.change_party(party, call_sid=event.call_sid)
    note_gone(scratch, party.name, event.told_status)


def note_gone(scratch: Scratch, name: str, reason: str) -> None:
    """A party has left, for good as far as is known; who was first of those who talk is remembered."""
    party = scratch.session.parties[name]
    if party.is_gone:
        return
    if party.dial_id:
        reason = _why_not(party, reason)
        _close_attempt(scratch, party, reason)
    scratch.change_party(party, status=PartyStatus.LEFT, in_room=False, waits=False, held=False, left_reason=reason)
    # Those who ring come and go without anybody's call being over, and so does who was let go; whoever was brought in
    # beside the two ends nothing by leaving.
    rang_only = bool(party.dial_id) and not party.answered and scratch.state is not State.BRIDGED
    if name in (CUSTOMER, AGENT) and not (party.is_leaving or rang_only):
        was_put_out = not party.in_room and party.left_reason == _PUT_OUT
        _note_first(scratch, name, _PUT_OUT if was_put_out else reason)


def _note_first(scratch: Scratch, name: str, reason: str) -> None:
    """Callbacks may tell of the last one first: whom the conference's end has put out was not the one who ended it."""
    first = scratch.session.parties.get(scratch.session.first_left)
    if first is None:
        if reason != _PUT_OUT:
            scratch.change(first_left=name)
    elif reason == _HUNG_UP and first.ends_conference and first.left_reason != _HUNG_UP:
        # Had the other one left before, the conference would have been over.
        scratch.change(first_left=name)


def is_somebody_elses(session: Session, party: Party) -> bool:
    """Whether the party's call is none of ours. A leg that we have dialled may look like a guest: its label tells."""
    label = _LABEL.fullmatch(party.label)
    is_of_our_dial = label is not None and int(label["number"]) <= session.dials
    return _GUEST.fullmatch(party.name) is not None and not (party.dial_id or is_of_our_dial)


def has_left_guests(session: Session) -> bool:
    """Whether guests may be in the conference of a session that has ended."""
    return bool(session.conference_sid) and any(party.left_reason == NOT_OURS for party in session.parties.values())


def let_go(scratch: Scratch, party: Party) -> None:
    """The session ends, and with it this party's call, if there is one. A guest's call is not ours to end."""
    _close_attempt(scratch, party, "cancelled")
    if is_somebody_elses(scratch.session, party):
        scratch.change_party(party, status=PartyStatus.LEFT, in_room=False, held=False, left_reason=NOT_OURS)
        return
    scratch.change_party(
        party, status=PartyStatus.LEFT, in_room=False, held=False, left_reason="let-go", is_hung_up=bool(party.call_sid)
    )


def _why_not(party: Party, reason: str) -> str:
    """Why somebody who was dialled is gone, in the words that outcomes use."""
    if party.is_leaving and party.name.startswith(TARGET) and reason in FINAL_CALL_STATUSES:
        return "cancelled"
    if party.answered or reason not in FINAL_CALL_STATUSES:
        return reason
    if party.is_leaving:
        return "cancelled"
    # A call that is `completed` was answered, though nothing else has told so yet.
    told = (CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.COMPLETED)
    return reason if reason in told else "failed"


def told_reason(reason: str) -> str:
    """Why somebody is gone, in one word for all the ways of hanging up."""
    return "hung-up" if reason in _WAYS_OF_HANGING_UP else reason


def _close_attempt(scratch: Scratch, party: Party, reason: str) -> None:
    transfer = scratch.session.transfer
    if transfer is None or not transfer.runs:
        return
    result = next((one.result for one in transfer.attempts if one.dial_id == party.dial_id), "") or told_reason(reason)
    scratch.change_transfer(attempts=transfer.with_attempt(party.dial_id, ended_at_ms=scratch.now_ms, result=result))
