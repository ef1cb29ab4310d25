"""Guards on the lost leg of a desk's agent.

A browser that reloads, or loses its network, ends its leg at Twilio. Such a leg is lost, and rung again once, if the
customer is live, and no command has let the agent go.
"""

from conferral.statemachine import events
from conferral.statemachine.events import Event
from conferral.statemachine.guards.outage import is_found_guest, legs_may_show
from conferral.statemachine.reasons import CONTINUES_ELSEWHERE
from conferral.statemachine.session import AGENT, LOST, Party, Session
from conferral.statemachine.states import (
    UNREACHED_DIAL_STATUSES,
    WITHOUT_AGENT,
    CallStatus,
    Phase,
    TransferMode,
)
from conferral.statemachine.step import Draft


def lost_agent(session: Session) -> Party | None:
    """Return the agent whose leg is lost, and was not rung again; or None."""
    agent = session.agent
    is_lost = agent.is_gone and _has_lossy_leg(agent) and agent.left_reason not in CONTINUES_ELSEWHERE
    # Redis may have lost that the agent was rung again.
    found = filter(is_found_guest, session.present.values()) if is_lost else ()
    is_lost = is_lost and not any(one.address == agent.address for one in found)
    return agent if is_lost and not (session.customer.is_gone or _is_let_go(session)) else None


def agent_before_recall(session: Session) -> Party | None:
    """Return the agent whose leg was lost, until the ring after that."""
    agent, transfer = session.parties.get(AGENT), session.running_transfer
    if agent is None or not agent.is_gone:
        return None
    is_to_be_rung = transfer is not None and transfer.mode is TransferMode.LOSS and not transfer.places_tried
    return agent if is_to_be_rung else lost_agent(session)


def _has_lossy_leg(agent: Party) -> bool:
    return agent.has_desk and not (agent.is_leaving or agent.hang_up_requested)


def _is_let_go(session: Session) -> bool:
    """Whether a command of a transfer has let the agent go."""
    transfer = session.running_transfer
    if transfer is None:
        return False
    is_without = transfer.mode not in (TransferMode.WARM, TransferMode.CONSULT) or session.phase in WITHOUT_AGENT
    return is_without or transfer.step_name == events.Complete.name


def agent_is_lost(draft: Draft, _event: Event) -> bool:
    """Whether the agent's leg is lost, and after an outage shows no more."""
    return lost_agent(draft.session) is not None and not legs_may_show(draft)


def agent_is_coming_back(draft: Draft, _event: Event) -> bool:
    """Whether the agent is rung again, because the leg was lost."""
    return draft.session.agent.is_coming_back


def agent_is_awaited(session: Session) -> bool:
    """Whether an agent of a transfer was lost, and may come back."""
    is_awaited = session.agent.is_coming_back or lost_agent(session) is not None
    return session.phase in (Phase.WARM, Phase.CONSULT) and is_awaited


def lost_agent_is_back(draft: Draft, _event: Event) -> bool:
    """Whether the agent, rung again while a transfer runs, takes part."""
    agent = draft.session.agent
    return agent.rung_again_because == LOST and agent.takes_part


def bridge_lost_agent(draft: Draft, event: events.DialEnded) -> bool:
    """Whether a bridge's agent was lost: the caller's action joins the caller."""
    status, is_caller = event.dial_call_status, draft.session.customer_is_parent and not event.party_is_gone
    was_answered = status not in UNREACHED_DIAL_STATUSES and status != CallStatus.CANCELED
    return is_caller and was_answered and may_be_lost_in_bridge(draft.session)


def caller_joined_after_loss(draft: Draft, _event: Event) -> bool:
    """Whether a bridge's agent was lost, and the caller is in our conference."""
    return draft.session.agent.is_gone and draft.session.customer.in_conference and may_be_lost_in_bridge(draft.session)


def may_be_lost_in_bridge(session: Session) -> bool:
    """Whether a caller talks to an agent over a bridge whose leg may be lost."""
    is_talking = session.phase is Phase.CONNECTED and session.customer_is_parent
    return is_talking and not session.customer.is_gone and _has_lossy_leg(session.agent)
