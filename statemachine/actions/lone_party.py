"""Nobody is left alone: the grace for whoever is, and the end of an empty conference."""

from conferral.statemachine.actions.parties import REDIRECTED_AWAY, note_gone
from conferral.statemachine.actions.reads import read_presence
from conferral.statemachine.actions.session_end import end_session, reason_by_first_to_leave
from conferral.statemachine.draft import Draft
from conferral.statemachine.effects import RedirectToUrl
from conferral.statemachine.end_reasons import EndReason
from conferral.statemachine.events import DialEnded, Event, LoneOverdue
from conferral.statemachine.guards.waiting_party import present_parties
from conferral.statemachine.session import CUSTOMER
from conferral.statemachine.states import PartyStatus


def start_lone_grace(draft: Draft, _event: Event) -> None:
    """One is alone now: he has `CONFERRAL_LONE_GRACE` to get company."""
    draft.change(presence_reads=0)
    draft.set_timer(LoneOverdue.timer, draft.policy.lone_grace_ms)


def stop_lone_grace(draft: Draft, _event: Event) -> None:
    """Somebody has come, or is being dialled."""
    draft.cancel_timer(LoneOverdue.timer)


def read_before_ending_lone(draft: Draft, event: LoneOverdue) -> None:
    """Something was not heard: before anybody is let go, Twilio is asked who is there."""
    read_presence(draft, event)
    draft.set_timer(LoneOverdue.timer, draft.policy.confirm_interval_ms)


def end_lone_party(draft: Draft, _event: LoneOverdue) -> None:
    """Nobody came: the one who is alone is let go, and no longer billed."""
    draft.ended_lone_conference = True
    end_session(draft, reason_by_first_to_leave(draft))


def end_empty(draft: Draft, _event: Event) -> None:
    """Nobody is in the conference any more."""
    end_session(draft, reason_by_first_to_leave(draft))


def note_redirected_away(draft: Draft, _event: DialEnded) -> None:
    """The customer has come out of the conference by himself, and goes on with what the directory names."""
    note_gone(draft, CUSTOMER, REDIRECTED_AWAY)


def redirect_to_after_url(draft: Draft, _event: LoneOverdue) -> None:
    """The others have left: the customer goes on with what the directory names. Supervisors are let go."""
    customer = present_parties(draft.session)[0]
    draft.emit(RedirectToUrl, party=CUSTOMER, call_sid=customer.call_sid, url=draft.session.attributes.after_url)
    draft.change_party(customer, status=PartyStatus.LEFT, in_conference=False, left_reason=REDIRECTED_AWAY)
    reason = reason_by_first_to_leave(draft)
    end_session(draft, reason if reason is not EndReason.ALONE else EndReason.AGENT_LEFT, end_conference=False)
