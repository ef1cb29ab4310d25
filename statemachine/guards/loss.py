"""Guards on the leg of an agent with a desk: whether it is lost or back.

A browser that reloads, or loses its network, ends its leg at Twilio. Such a leg is lost, and rung again once, if the
customer is live, and no command has let the agent go.
"""

from conferral.statemachine import events
from conferral.statemachine.events import Event
from conferral.statemachine.reasons import CONTINUES_ELSEWHERE
from conferral.statemachine.session import LOST, Party, Session
from conferral.statemachine.states import (
    UNREACHED_DIAL_STATUSES,
    WITHOUT_AGENT,
    CallStatus,
    Phase,
    TransferMode,
    TransferStage,
)
from conferral.statemachine.step import Draft

#: Stages to which `complete` leads.
_COMPLETES = (TransferStage.COMPLETING, TransferStage.RELEASING_AGENT)


def lost_agent(session: Session) -> Party | None:
    """Return the agent whose leg is lost, and was not rung again; or None."""
    agent = session.agent
    is_lost = agent.is_gone and _has_lossy_leg(agent) and agent.left_reason not in CONTINUES_ELSEWHERE
    return agent if is_lost and not (session.customer.is_gone or _is_let_go(session)) else None


def _has_lossy_leg(agent: Party) -> bool:
    return agent.has_desk and not (agent.is_leaving or agent.hang_up_requested)


def _is_let_go(session: Session) -> bool:
    """Whether a command of a transfer has let the agent go."""
    transfer = session.running_transfer
    if transfer is None:
        return False
    is_without = transfer.mode not in (TransferMode.WARM, TransferMode.CONSULT) or session.phase in WITHOUT_AGENT
    return is_without or transfer.step_name == events.Complete.name or transfer.stage in _COMPLETES


def agent_is_lost(draft: Draft, _event: Event) -> bool:
    """Whether the agent's leg is lost."""
    return lost_agent(draft.session) is not None


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
    return agent.recall_reason == LOST and agent.takes_part


def bridge_lost_agent(draft: Draft, event: events.DialEnded) -> bool:
    """Whether a bridge's agent was lost: the caller's action joins the caller."""
    status, is_caller = event.dial_call_status, draft.session.customer_is_parent and not event.party_is_gone
    was_answered = status not in UNREACHED_DIAL_STATUSES and status != CallStatus.CANCELED
    return is_caller and was_answered and may_be_lost_in_bridge(draft.session)


def may_be_lost_in_bridge(session: Session) -> bool:
    """Whether a caller talks to an agent over a bridge whose leg may be lost."""
    is_talking = session.phase is Phase.CONNECTED and session.customer_is_parent
    return is_talking and not session.customer.is_gone and _has_lossy_leg(session.agent)
