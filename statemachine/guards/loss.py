"""Guards on what is lost: the leg of a desk's agent, or writes of Redis.

A browser that reloads, or loses its network, ends its leg at Twilio. Such a leg is lost, and rung again once, if the
customer is live, and no command has let the agent go.
"""

from conferral.statemachine import events
from conferral.statemachine.events import Event
from conferral.statemachine.parts import LostDial
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

#: After a loss of Redis was noted, how long its commands may take to be decided again, and the calls of its dials to
#: show, milliseconds. In the gate, a call that no session expects hears soon after that that no one is waiting.
_COMMANDS_RETURN_MS = 10_000
_DIALS_SHOW_MS = 60_000


def lost_agent(session: Session) -> Party | None:
    """Return the agent whose leg is lost, and was not rung again; or None."""
    agent = session.agent
    is_lost = agent.is_gone and _has_lossy_leg(agent) and agent.left_reason not in CONTINUES_ELSEWHERE
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
    """Whether the agent's leg is lost; a command that returns may explain it."""
    return lost_agent(draft.session) is not None and not command_may_return(draft)


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


# ---- after a noted loss of Redis: commands return, and calls of their dials show -------------------------------------


def command_may_return(draft: Draft) -> bool:
    """Whether a command of which the session knows nothing may return."""
    return _is_after_loss(draft, _COMMANDS_RETURN_MS)


def lone_grace_ms(draft: Draft) -> int:
    """Return how long a lone party may wait for others."""
    until_ms = draft.session.lost_at_ms + _COMMANDS_RETURN_MS if command_may_return(draft) else draft.now_ms
    return max(draft.policy.lone_grace_ms, until_ms - draft.now_ms)


def agent_was_released(draft: Draft, event: events.Transfer | events.Park) -> bool:
    """Whether the command, decided again, is why the agent is gone."""
    session = draft.session
    lets_agent_go = isinstance(event, events.Park) or event.mode == TransferMode.BLIND
    is_alone = session.agent.is_gone and not session.customer.is_gone and session.phase is not Phase.RINGING
    return lets_agent_go and is_alone and command_may_return(draft)


def is_of_lost_dial(draft: Draft, event: events.CallProgressed | events.GateReached) -> bool:
    """Whether the call's dial is one that Redis may have lost."""
    session = draft.session
    is_unknown = session.subject_of(event) is None and event.call_sid not in session.former_calls
    return bool(event.dial) and is_unknown and _is_after_loss(draft, _DIALS_SHOW_MS)


def lost_dial_of(session: Session, party: Party) -> LostDial | None:
    """Return the dial that Redis lost of whom a command dials again, or None."""
    known = {one.call_sid for one in session.parties.values()}
    for lost in session.lost_dials:
        if lost.call_sid not in known and lost.party in ("", party.name) and lost.to in ("", party.address):
            return lost
    return None


def _is_after_loss(draft: Draft, within_ms: int) -> bool:
    return draft.session.lost_at_ms > 0 and draft.now_ms - draft.session.lost_at_ms < within_ms
