"""What is noted about a party whose call is over."""

import re

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import CallProgressed
from conferral.statemachine.session import AGENT, CUSTOMER, GUEST, TARGET, Party, Session
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus, PartyStatus, State

#: ReasonParticipantLeft in Twilio's words: of somebody whom the conference's end has put out, and of a hang-up.
_REMOVED_BY_END, _HUNG_UP = "moderator_ended_conference", "participant_hung_up"
#: Why a party's call goes on though it is no longer ours: we sent it to TwiML of somebody else, or somebody else did.
REDIRECTED_AWAY = "redirected-away"
#: Why a guest's call goes on: somebody else brought it into our conference, and only that has ended.
NOT_OURS = "not-ours"
CONTINUES_ELSEWHERE = frozenset({REDIRECTED_AWAY, NOT_OURS, "participant_updated_via_api"})
#: The name of a guest, and the label of somebody whom we have dialled.
_GUEST = re.compile(rf"{GUEST}-[0-9]+", re.ASCII)
_LABEL = re.compile(r"[a-z][A-Za-z0-9_-]{0,50}-(?P<number>[1-9][0-9]{0,5})", re.ASCII)
#: All the same to whoever waited.
_HANG_UP_REASONS = frozenset({"completed", "answered", "in-progress", _HUNG_UP})


def note_call_ended(draft: Draft, party: Party, event: CallProgressed) -> None:
    """A party's call is over, by its own callback."""
    if not party.call_sid:
        draft.change_party(party, call_sid=event.call_sid)
    note_gone(draft, party.name, event.reported_status)


def note_gone(draft: Draft, name: str, reason: str) -> None:
    """A party has left, for good as far as is known; who was first of those who talk is remembered."""
    party = draft.session.parties[name]
    if party.is_gone:
        return
    if party.dial_id:
        reason = _leave_reason(party, reason)
        _close_attempt(draft, party, reason)
    draft.change_party(
        party, status=PartyStatus.LEFT, in_conference=False, waits_for_start=False, held=False, left_reason=reason
    )
    # Those who ring come and go without anybody's call being over, and so does who was let go; whoever was brought in
    # beside the two ends nothing by leaving.
    rang_only = bool(party.dial_id) and not party.answered and draft.state is not State.BRIDGED
    if name in (CUSTOMER, AGENT) and not (party.is_leaving or rang_only):
        was_put_out = not party.in_conference and party.left_reason == _REMOVED_BY_END
        _note_first_to_leave(draft, name, _REMOVED_BY_END if was_put_out else reason)


def _note_first_to_leave(draft: Draft, name: str, reason: str) -> None:
    """Callbacks may tell of the last one first: whom the conference's end has put out was not the one who ended it."""
    first = draft.session.parties.get(draft.session.first_to_leave)
    if first is None:
        if reason != _REMOVED_BY_END:
            draft.change(first_to_leave=name)
    elif reason == _HUNG_UP and first.end_on_exit and first.left_reason != _HUNG_UP:
        # Had the other one left before, the conference would have been over.
        draft.change(first_to_leave=name)


def is_somebody_elses(session: Session, party: Party) -> bool:
    """Whether the party's call is none of ours. A leg that we have dialled may look like a guest: its label tells."""
    label = _LABEL.fullmatch(party.label)
    is_of_our_dial = label is not None and int(label["number"]) <= session.dials
    return _GUEST.fullmatch(party.name) is not None and not (party.dial_id or is_of_our_dial)


def has_left_guests(session: Session) -> bool:
    """Whether guests may be in the conference of a session that has ended."""
    return bool(session.conference_sid) and any(party.left_reason == NOT_OURS for party in session.parties.values())


def mark_released(draft: Draft, party: Party) -> None:
    """The session ends, and with it this party's call, if there is one. A guest's call is not ours to end."""
    _close_attempt(draft, party, "cancelled")
    if is_somebody_elses(draft.session, party):
        draft.change_party(party, status=PartyStatus.LEFT, in_conference=False, held=False, left_reason=NOT_OURS)
        return
    draft.change_party(
        party,
        status=PartyStatus.LEFT,
        in_conference=False,
        held=False,
        left_reason="released",
        hang_up_requested=bool(party.call_sid),
    )


def _leave_reason(party: Party, reason: str) -> str:
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


def reported_reason(reason: str) -> str:
    """Why somebody is gone, in one word for all the ways of hanging up."""
    return "hung-up" if reason in _HANG_UP_REASONS else reason


def _close_attempt(draft: Draft, party: Party, reason: str) -> None:
    transfer = draft.session.transfer
    if transfer is None or not transfer.is_running:
        return
    result = next((one.result for one in transfer.attempts if one.dial_id == party.dial_id), "") or reported_reason(
        reason
    )
    draft.change_transfer(attempts=transfer.with_attempt(party.dial_id, ended_at_ms=draft.now_ms, result=result))
