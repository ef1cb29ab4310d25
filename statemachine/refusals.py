"""Refusals: why a command is not accepted.

Those that name something, or that several rows give; the others are in the table.
"""

from conferral.statemachine.states import Phase
from conferral.statemachine.step import Draft

LAST_UNHELD = "the last party that is not on hold can't be put on hold"
NO_AGENT_TO_COACH = "there is no agent to whisper to"
NO_ONE_HEARS = "no one is there to hear it"
#: Of `press`.
CANT_HEAR = "the party is on hold, waiting, or leaving"
#: Of `transfer`, `park`, and `retrieve`.
TRANSFER_IN_PROGRESS = "another transfer is in progress"
CONFERENCE_FULL = "the conference is full"
TARGET_NOT_ANSWERED = "the target has not answered yet"
AGENT_LEFT_OR_LEAVING = "the agent has left or is leaving"


def session_has_ended(draft: Draft) -> str:
    """The session has ended; the reason says why."""
    return f"the session has ended ({draft.session.end_reason})"


def one_side_is_gone(draft: Draft) -> str:
    """A party has hung up, or Redis has lost its call."""
    # Without a call SID, Conferral searches Twilio's call list for the agent, who talks.
    is_talking = draft.session.is_in_bridge and draft.session.phase is Phase.CONNECTED
    is_searched = is_talking and not draft.session.parent.call_sid
    return "Conferral is still looking for the agent's call" if is_searched else "one of the two parties has hung up"


def party_is_unknown(draft: Draft) -> str:
    """No party has that name; the reason lists the parties."""
    return f"no such party; parties: {', '.join(draft.session.present)}"


def step_is_under_way(draft: Draft) -> str:
    """Another `complete`, `cancel`, `swap`, or `merge` is in progress."""
    name = draft.transfer.step_name
    return f"{name} is still in progress" if name else "a swap is still being reverted"
