"""Guards on the adoption of a call from another program's conference."""

from conferral.statemachine import effects, events
from conferral.statemachine.events import Event
from conferral.statemachine.guards.calls import leg_may_still_join, leg_to_repair, shows_leg_still_missing
from conferral.statemachine.guards.reads import shows_leg_ended
from conferral.statemachine.session import AGENT
from conferral.statemachine.states import Adoption
from conferral.statemachine.step import Draft

_BEFORE_CUSTOMER = (Adoption.CLEARING, Adoption.MOVING_AGENT)


def is_adopting(draft: Draft, _event: Event) -> bool:
    """Whether the session moves its parties out of another conference."""
    return draft.session.adoption is not Adoption.OVER


def customer_is_elsewhere(draft: Draft, _event: Event) -> bool:
    """Whether the customer still is to stay in the other conference."""
    return draft.session.adoption in _BEFORE_CUSTOMER


def adopted_agent_was_moved(draft: Draft, event: events.EffectSucceeded) -> bool:
    """Whether Twilio has moved the agent, so that the customer follows."""
    is_move = event.kind == effects.RedirectCall.kind and event.party == AGENT
    return is_move and draft.session.adoption is Adoption.MOVING_AGENT


def adopted_agent_has_joined(draft: Draft, event: Event) -> bool:
    """Whether the agent waits in our conference for the customer.

    If Redis has lost the agent's move, the session still clears the flags, which were cleared before that.
    """
    return customer_is_elsewhere(draft, event) and draft.session.agent.in_conference


def is_result_of_clearing(draft: Draft, event: events.EffectOutcome) -> bool:
    """Whether it says if the two may leave the other conference, as awaited."""
    return event.kind == effects.ClearEndOnExit.kind and draft.session.adoption is Adoption.CLEARING


def adoption_has_lost_party(draft: Draft, event: Event) -> bool:
    """Whether someone has hung up before the customer was moved."""
    is_over = draft.session.agent.is_gone or draft.session.customer.is_gone
    return is_over and customer_is_elsewhere(draft, event)


def adoption_is_late(draft: Draft, _event: Event) -> bool:
    """Whether the time is over, and no one was to be moved yet."""
    return draft.session.adoption is Adoption.CLEARING and _is_over(draft)


def shows_party_ended_elsewhere(draft: Draft, event: events.CallsRead) -> bool:
    """Whether someone has hung up while the customer was still to stay."""
    return customer_is_elsewhere(draft, event) and shows_leg_ended(draft, event)


def shows_adopted_agent_late(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the agent is not in our conference, and the time is over."""
    agent = draft.session.agent
    is_inside = agent.in_conference or any(seen.call_sid == agent.call_sid for seen in event.participants)
    is_moving = draft.session.adoption is not Adoption.MOVING_AGENT or leg_may_still_join(draft, event)
    return _is_over(draft) and not (is_moving or is_inside)


def shows_adopted_agent_missing(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the agent is to be moved once more; no one else is yet."""
    missing = leg_to_repair(draft, event)
    is_moving = draft.session.adoption is Adoption.MOVING_AGENT and not draft.session.open_redirects
    return is_moving and missing is not None and missing.name == AGENT


def shows_adoption_failed(draft: Draft, event: events.CallsRead) -> bool:
    """Whether a party can't be moved, long after the second request."""
    return is_adopting(draft, event) and shows_leg_still_missing(draft, event)


def _is_over(draft: Draft) -> bool:
    return events.ConvertOverdue.timer not in draft.session.timers
