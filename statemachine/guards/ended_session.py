"""Questions about what the account still shows of a session that has ended."""

from conferral.statemachine.actions.parties import CONTINUES_ELSEWHERE, has_left_guests
from conferral.statemachine.draft import Draft
from conferral.statemachine.effects import FindCall, SayAndHangUp
from conferral.statemachine.events import AccountSwept, EffectSucceeded, ParticipantJoined
from conferral.statemachine.guards.calls import shows_live_leg
from conferral.statemachine.session import Party

#: What is noted of a dial that may have placed a call, although none is known.
_IN_DOUBT = frozenset({"unknown", "searched", "rolled-back"})


def is_unknown_dial(party: Party) -> bool:
    """Whether nobody knows if the dial of a party has placed a call."""
    return bool(party.dial_id) and not party.call_sid


def may_have_called(party: Party) -> bool:
    """Whether a dial may have placed a call that is unknown: no answer came, or Redis was rolled back."""
    return is_unknown_dial(party) and party.dial_check in _IN_DOUBT


def call_continues_elsewhere(draft: Draft, event: AccountSwept) -> bool:
    """Whether a live call is one that goes on elsewhere: sent there by us, or taken away by somebody else."""
    party = draft.session.find_party(call_sid=event.call_sid) if event.call_sid else None
    return party is not None and party.left_reason in CONTINUES_ELSEWHERE


def is_of_session(event: AccountSwept) -> bool:
    """Whether all of the session is to be checked, since Redis was rolled back."""
    return not event.call_sid and not event.conference_sid


def finds_unknown_call(draft: Draft, event: EffectSucceeded) -> bool:
    """Whether the search for the call of a dial has found one that nobody has hung up."""
    return event.kind == FindCall.kind and shows_live_leg(draft, event)


def asks_for_unknown_calls(draft: Draft, event: AccountSwept) -> bool:
    """Whether all of the session is to be checked, and a dial may have placed a call that the session never knew."""
    return is_of_session(event) and any(is_unknown_dial(party) for party in draft.session.parties.values())


def finds_live_call(_scratch: Draft, event: AccountSwept) -> bool:
    """Whether a call of the session is still live."""
    return bool(event.call_sid)


def finds_live_conference(_scratch: Draft, event: AccountSwept) -> bool:
    """Whether a conference of the session's name is still live."""
    return bool(event.conference_sid)


def joined_before_redirected_away(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether it tells late that somebody came into a conference whom something else is done with by now."""
    session = draft.session
    party = session.find_party(call_sid=event.call_sid, label=event.label)
    is_elsewhere = party is not None and party.left_reason in CONTINUES_ELSEWHERE
    return is_elsewhere and event.conference_sid in (session.conference_sid, *session.former_conferences)


def leaves_guests_behind(draft: Draft, event: EffectSucceeded) -> bool:
    """Whether the customer has left the conference for the sentence that ends the call, and guests may be there."""
    return event.kind == SayAndHangUp.kind and has_left_guests(draft.session)
