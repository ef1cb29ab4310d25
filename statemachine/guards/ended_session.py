"""Guards on what Twilio still shows of an ended session."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.effects import FindCall, SayAndHangUp
from conferral.statemachine.events import AccountSwept, EffectSucceeded, ParticipantJoined
from conferral.statemachine.guards.calls import shows_live_leg
from conferral.statemachine.reasons import (
    CONTINUES_ELSEWHERE,
    guests_may_remain,
    is_beyond_bridge,
    is_label_of_dial,
    is_of_another_app,
)
from conferral.statemachine.session import Party

#: Values of `dial_check` if a dial may have placed an unknown call: no outcome, or Redis was rolled back.
_UNKNOWN = frozenset({"unknown", "searched", "rolled-back"})


def is_unknown_dial(party: Party) -> bool:
    """Whether a party was dialed, and no call SID shows yet if that worked."""
    return bool(party.dial_id) and not party.call_sid


def may_have_called(party: Party) -> bool:
    """Whether a dial of unknown outcome may have placed a call."""
    return is_unknown_dial(party) and party.dial_check in _UNKNOWN


def is_being_searched(party: Party, now_ms: int) -> bool:
    """Whether the search for a party's dial may have no result yet."""
    return is_unknown_dial(party) and party.dial_check == "searched" and now_ms < party.dial_check_at_ms


def call_continues_elsewhere(draft: Draft, event: AccountSwept) -> bool:
    """Whether the live call was redirected elsewhere, or is another app's."""
    party = draft.session.find_party(call_sid=event.call_sid) if event.call_sid else None
    if party is None:
        return False
    is_theirs = is_of_another_app(draft.session, party) or is_beyond_bridge(draft.session, party)
    return party.left_reason in CONTINUES_ELSEWHERE or is_theirs


def concerns_whole_session(event: AccountSwept) -> bool:
    """Whether the event names no call or conference: Redis was rolled back."""
    return not event.call_sid and not event.conference_sid


def finds_unknown_call(draft: Draft, event: EffectSucceeded) -> bool:
    """Whether a search found the call of a dial, not hung up yet."""
    return event.kind == FindCall.kind and shows_live_leg(draft, event)


def asks_for_unknown_calls(draft: Draft, event: AccountSwept) -> bool:
    """Whether Redis was rolled back, and a dial may have placed a call."""
    return concerns_whole_session(event) and any(is_unknown_dial(party) for party in draft.session.parties.values())


def finds_live_call(_draft: Draft, event: AccountSwept) -> bool:
    """Whether the sweep found a call of the ended session still live."""
    return bool(event.call_sid)


def finds_live_conference(_draft: Draft, event: AccountSwept) -> bool:
    """Whether the sweep found the ended session's conference still live."""
    return bool(event.conference_sid)


def joined_before_redirected_away(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether the join is late: the party has been redirected since."""
    session = draft.session
    party = session.find_party(call_sid=event.call_sid, label=event.label)
    is_elsewhere = party is not None and party.left_reason in CONTINUES_ELSEWHERE
    return is_elsewhere and event.conference_sid in (session.conference_sid, *session.former_conferences)


def is_of_late_guest(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether the call is another app's, and joined after the end."""
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    if party is None:
        return event.call_sid not in draft.session.former_calls and not is_label_of_dial(draft.session, event.label)
    return is_of_another_app(draft.session, party)


def leaves_guests_behind(draft: Draft, event: EffectSucceeded) -> bool:
    """Whether guests may remain after the customer left for the sentence."""
    return event.kind == SayAndHangUp.kind and guests_may_remain(draft.session)
