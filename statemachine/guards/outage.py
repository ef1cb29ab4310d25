"""Guards on an outage of Redis, which came back without its last writes.

What it forgot, the call keeps: `actions.outage` says how.
"""

import re

from conferral.statemachine import events
from conferral.statemachine.effects import CreateCall, CreateParticipant
from conferral.statemachine.session import GUEST, Party, Session
from conferral.statemachine.states import TransferMode
from conferral.statemachine.step import Draft

#: After an outage was noted, for how long calls of unknown dials may be ours, milliseconds.
_DIALS_SHOW_MS = 60_000
_GUEST = re.compile(rf"{GUEST}-[0-9]+", re.ASCII)


def legs_may_show(draft: Draft) -> bool:
    """Whether legs of which the session knows nothing may still show."""
    return _is_after_outage(draft, draft.policy.legs_show_ms)


def lone_grace_ms(draft: Draft) -> int:
    """Return how long a lone party may wait for others."""
    until_ms = draft.session.lost_at_ms + draft.policy.legs_show_ms if legs_may_show(draft) else draft.now_ms
    return max(draft.policy.lone_grace_ms, until_ms - draft.now_ms)


def is_of_lost_time(session: Session, event: events.Event) -> bool:
    """Whether a command may have been decided before, and Redis lost that."""
    return isinstance(event, events.Command) and 0 < event.occurred_at_ms <= session.lost_at_ms


def forgets_dial(draft: Draft, event: events.AccountSwept) -> bool:
    """Whether Redis may have lost that a transfer's target was dialed."""
    transfer = draft.session.running_transfer
    is_to_dial = transfer is not None and transfer.mode in (TransferMode.WARM, TransferMode.CONSULT, TransferMode.BLIND)
    return event.is_loss and is_to_dial and not draft.transfer.attempts


def may_have_lost_order(session: Session, party: Party) -> bool:
    """Whether a lost decision may explain how Twilio shows a participant.

    Nothing was requested of it since the loss, and nothing is open from before.
    """
    is_unasked = party.pending_since_ms < session.lost_at_ms and not party.pending_update
    return is_unasked and party.in_conference and not party.waits_for_start


def is_of_lost_dial(draft: Draft, event: events.CallProgressed | events.GateReached) -> bool:
    """Whether the call's dial is one that Redis may have lost."""
    return bool(event.dial) and _shows_unknown_leg(draft, event)


def is_result_of_lost_dial(draft: Draft, event: events.EffectSucceeded) -> bool:
    """Whether a call was placed by a dial that Redis may have lost."""
    is_dial = event.kind in (CreateCall.kind, CreateParticipant.kind) and bool(event.call_sid)
    return is_dial and _shows_unknown_leg(draft, event) and not draft.session.dialed_by(event.effect_id)


def is_found_guest(party: Party) -> bool:
    """Whether a guest is a leg of ours, whose dial Redis lost."""
    return _GUEST.fullmatch(party.name) is not None and bool(party.dial_id)


def was_left_in_outage(draft: Draft) -> bool:
    """Whether a customer without an agent may owe that to what Redis lost.

    The agent left about then, or those whom Redis forgot were there since.
    """
    session, agent = draft.session, draft.session.agent
    if not session.lost_at_ms or not agent.is_gone or agent.is_removed or session.customer.is_gone:
        return False
    left_then = agent.status_since_ms - session.lost_at_ms < draft.policy.legs_show_ms
    return left_then or any(map(is_found_guest, session.parties.values()))


def _shows_unknown_leg(
    draft: Draft, event: events.CallProgressed | events.GateReached | events.EffectSucceeded
) -> bool:
    session = draft.session
    is_unknown = session.subject_of(event) is None and event.call_sid not in session.former_calls
    return is_unknown and _is_after_outage(draft, _DIALS_SHOW_MS)


def _is_after_outage(draft: Draft, within_ms: int) -> bool:
    return draft.session.lost_at_ms > 0 and draft.now_ms - draft.session.lost_at_ms < within_ms
