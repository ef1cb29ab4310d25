"""Reasons of refusals that name something, or that several rows give."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.session import SUPERVISOR
from conferral.statemachine.states import Phase

LAST_UNHELD = "the last party that is not on hold can't be put on hold"
NO_AGENT_TO_COACH = "there is no agent to whisper to"
MODE_DECIDES = "not for a supervisor: use the modes of supervise"
RECORDING_CANT_RESTART = "the conference's recording was stopped and can't be restarted"


def session_has_ended(draft: Draft) -> str:
    """the session has ended; the reason says why."""
    return f"the session has ended ({draft.session.end_reason})"


def one_side_is_gone(draft: Draft) -> str:
    """one of the two has hung up, or Redis has lost the call of one of them."""
    # Without a call SID, Conferral searches Twilio's call list for the agent, who talks.
    is_searched = draft.session.phase is Phase.CONNECTED and not draft.session.parent.call_sid
    return "Conferral is still looking for the agent's call" if is_searched else "one of the two parties has hung up"


def party_is_unknown(draft: Draft) -> str:
    """no party has that name; the reason lists the parties."""
    names = [party.name for party in draft.session.parties.values() if not party.is_gone]
    return f"no such party; parties: {', '.join(names)}"


def supervisor_is_present(draft: Draft) -> str:
    """another supervisor is already on the call, or one is still leaving."""
    supervisor = draft.session.present_party(SUPERVISOR)
    is_leaving = supervisor is not None and supervisor.is_leaving
    return "the supervisor is still leaving" if is_leaving else "another supervisor is already on the call"


def step_is_under_way(draft: Draft) -> str:
    """another `complete`, `cancel`, `swap`, or `merge` is in progress."""
    name = draft.transfer.step_name
    return f"{name} is still in progress" if name else "a swap is still being reverted"
