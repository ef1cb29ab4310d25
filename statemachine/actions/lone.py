"""Nobody is left alone: the grace for whoever is, and the end of an empty conference."""

from conferral.statemachine.actions.endings import end_with, reason_by_first_left
from conferral.statemachine.actions.looking import look_at_company
from conferral.statemachine.actions.parties import SENT_AWAY, note_gone
from conferral.statemachine.effects import SendAway
from conferral.statemachine.events import DialEnded, Event, LoneOverdue
from conferral.statemachine.guards.company import company
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import CUSTOMER
from conferral.statemachine.states import PartyStatus


def start_lone_grace(scratch: Scratch, _event: Event) -> None:
    """One is alone now: he has `CONFERRAL_LONE_GRACE` to get company."""
    scratch.change(company_looks=0)
    scratch.set_timer(LoneOverdue.timer, scratch.policy.lone_grace_ms)


def stop_lone_grace(scratch: Scratch, _event: Event) -> None:
    """Somebody has come, or is being dialled."""
    scratch.cancel_timer(LoneOverdue.timer)


def look_before_letting_go(scratch: Scratch, event: LoneOverdue) -> None:
    """Something was not heard: before anybody is let go, Twilio is asked who is there."""
    look_at_company(scratch, event)
    scratch.set_timer(LoneOverdue.timer, scratch.policy.confirm_again_ms)


def end_lone(scratch: Scratch, _event: LoneOverdue) -> None:
    """Nobody came: the one who is alone is let go, and no longer billed."""
    scratch.let_lone_go = True
    end_with(scratch, reason_by_first_left(scratch))


def end_deserted(scratch: Scratch, _event: Event) -> None:
    """Nobody is in the conference any more."""
    end_with(scratch, reason_by_first_left(scratch))


def note_gone_on(scratch: Scratch, _event: DialEnded) -> None:
    """The customer has come out of the conference by himself, and goes on with what the directory names."""
    note_gone(scratch, CUSTOMER, SENT_AWAY)


def send_away(scratch: Scratch, _event: LoneOverdue) -> None:
    """The others have left: the customer goes on with what the directory names. Supervisors are let go."""
    customer = company(scratch.session)[0]
    scratch.order(SendAway, party=CUSTOMER, call_sid=customer.call_sid, url=scratch.session.attributes.after)
    scratch.change_party(customer, status=PartyStatus.LEFT, in_room=False, left_reason=SENT_AWAY)
    reason = reason_by_first_left(scratch)
    end_with(scratch, reason if reason is not EndReason.ALONE else EndReason.AGENT_LEFT, ends_room=False)
