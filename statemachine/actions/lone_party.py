"""Lone party (lone-participant rule): its grace period, and the end of an empty conference."""

from conferral.statemachine.actions.parties import note_gone
from conferral.statemachine.actions.session_end import end_session, reason_by_first_to_leave
from conferral.statemachine.draft import Draft
from conferral.statemachine.effects import RedirectToUrl
from conferral.statemachine.events import DialEnded, Event, LoneOverdue
from conferral.statemachine.guards.waiting_party import present_parties
from conferral.statemachine.reasons import REDIRECTED_AWAY, EndReason
from conferral.statemachine.session import CUSTOMER
from conferral.statemachine.states import PartyStatus


def start_lone_grace(draft: Draft, _event: Event) -> None:
    """Start the grace period (`CONFERRAL_LONE_GRACE`) of a party that is now alone."""
    draft.change(presence_reads=0)
    draft.set_timer(LoneOverdue, draft.policy.lone_grace_ms)


def stop_lone_grace(draft: Draft, _event: Event) -> None:
    """Stop the grace period: another party has joined or is being dialed."""
    draft.cancel_timers(LoneOverdue)


def end_lone_party(draft: Draft, _event: LoneOverdue) -> None:
    """Hang up the lone party, which ends its billing."""
    draft.ended_lone_conference = True
    end_session(draft, reason_by_first_to_leave(draft))


def end_by_first_to_leave(draft: Draft, _event: Event) -> None:
    """End the session: a party has left, and no one may be left alone."""
    end_session(draft, reason_by_first_to_leave(draft))


def note_redirected_away(draft: Draft, _event: DialEnded) -> None:
    """Record that the customer left the conference and continues at the directory's `after` URL."""
    note_gone(draft, CUSTOMER, REDIRECTED_AWAY)


def redirect_to_after_url(draft: Draft, _event: LoneOverdue) -> None:
    """Redirect the customer to the directory's `after` URL: the others have left. Hang up supervisors."""
    customer = present_parties(draft.session)[0]
    draft.emit(RedirectToUrl, party=CUSTOMER, call_sid=customer.call_sid, url=draft.session.attributes.after_url)
    draft.change_party(customer, status=PartyStatus.LEFT, in_conference=False, left_reason=REDIRECTED_AWAY)
    end_session(draft, EndReason.AGENT_LEFT, end_conference=False)
