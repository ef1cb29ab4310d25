"""Questions about what a look at Twilio showed."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import CallSeen, CallsRead, Event
from conferral.statemachine.guards.conversion import was_moved_recently
from conferral.statemachine.session import AGENT, CUSTOMER, Party
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus, Phase, TransferStage


def is_outdated(draft: Draft, event: CallsRead) -> bool:
    """Whether facts changed after the read began: the picture may be older than they are."""
    return draft.session.facts_version > event.read_version


def reread_is_due(draft: Draft, _event: Event) -> bool:
    """Whether another look was wanted while one was open, and that has its answer now."""
    return draft.session.reread_wanted and not draft.session.open_read_id


def shows_parent_ended(draft: Draft, event: CallsRead) -> bool:
    """Whether the call is over whose `<Dial>` bridges the two."""
    return _shows_ended(draft, event, draft.session.parent)


def shows_child_ended(draft: Draft, event: CallsRead) -> bool:
    """Whether the call is over that the `<Dial>` made."""
    return _shows_ended(draft, event, draft.session.child)


def shows_either_ended(draft: Draft, event: CallsRead) -> bool:
    """Whether the call of one of the two is over."""
    return shows_parent_ended(draft, event) or shows_child_ended(draft, event)


def shows_customer_ended(draft: Draft, event: CallsRead) -> bool:
    """Whether the customer's call is over."""
    return _shows_ended(draft, event, draft.session.parties.get(CUSTOMER))


def shows_child_answered(draft: Draft, event: CallsRead) -> bool:
    """Whether the child's call is in progress although the session still rings."""
    seen = child_in_read(draft, event)
    return seen is not None and seen[1] == CallStatus.IN_PROGRESS and draft.session.phase is Phase.RINGING


def shows_next_agent(draft: Draft, event: CallsRead) -> bool:
    """Whether one agent was not reached and the next one's phone rings, which no callback has told."""
    return awaits_next_agent(draft, event) and next_agent_call(draft, event) is not None


def awaits_next_agent(draft: Draft, event: CallsRead) -> bool:
    """Whether one agent was not reached, and the action's document is about to ring the next."""
    session = draft.session
    is_left = session.phase is Phase.RINGING and session.agent_number + 1 < len(session.agents)
    return is_left and shows_child_ended(draft, event)


def next_agent_call(draft: Draft, event: CallsRead) -> CallSeen | None:
    """A live call that the bridge's `<Dial>`s made, other than the one that is known."""
    known = (*draft.session.former_calls, draft.session.child.call_sid)
    children = (call for call in event.calls if call.parent_call_sid and call.call_sid not in known)
    return next((call for call in children if call.status not in FINAL_CALL_STATUSES), None)


def shows_both_in_conference(draft: Draft, event: CallsRead) -> bool:
    """Whether customer and agent are both in the conference."""
    inside = {participant.call_sid for participant in event.participants}
    return all(draft.session.parties[name].call_sid in inside for name in (CUSTOMER, AGENT))


def shows_agent_left_early(draft: Draft, event: CallsRead) -> bool:
    """Whether the agent alone is gone while the session converts for a transfer, which then goes on as a blind one."""
    transfer = draft.session.transfer
    return (
        transfer is not None
        and transfer.is_running
        and _shows_ended(draft, event, draft.session.parties[AGENT])
        and not shows_customer_ended(draft, event)
    )


def shows_customer_missing(draft: Draft, event: CallsRead) -> bool:
    """Whether the customer, on the way into a room, is alive and not in it."""
    customer = draft.session.parties[CUSTOMER]
    return (
        (draft.transfer.stage is TransferStage.MOVING_CUSTOMER or _waits_for_answer_alone(draft))
        and not customer.in_conference
        # Whoever is being moved, or was just now, may not show there yet: a second move would take him out again.
        and not draft.session.open_redirects
        and not was_moved_recently(draft, event)
        and not _is_still_bridged(draft, event)
        and event.status_of(customer.call_sid) == CallStatus.IN_PROGRESS
        and all(seen.call_sid != customer.call_sid for seen in event.participants)
    )


def _is_still_bridged(draft: Draft, event: CallsRead) -> bool:
    """Whether the agent's hang-up is under way and has not ended the bridge: its end leads the customer into the room.

    A move that crosses with that end would take them out of the room again.
    """
    agent = draft.session.parties[AGENT]
    return bool(agent.hang_up_effect_id) and event.status_of(agent.call_sid) == CallStatus.IN_PROGRESS


def _waits_for_answer_alone(draft: Draft) -> bool:
    """Whether the customer, who has lost his room, is to be there when somebody answers."""
    is_alone = draft.session.phase in (Phase.BLIND, Phase.PARK, Phase.RECALL, Phase.RETRIEVE)
    return is_alone and draft.transfer.stage in (
        TransferStage.DIALING,
        TransferStage.UNHOLDING_CUSTOMER,
        TransferStage.PARKING,
    )


def shows_customer_still_missing(draft: Draft, event: CallsRead) -> bool:
    """Whether he is so although he was moved once more."""
    return draft.session.repaired and shows_customer_missing(draft, event)


def child_in_read(draft: Draft, event: CallsRead) -> tuple[str, str] | None:
    """The child's call as the read showed it: SID and status. The newest child when its SID is not known yet."""
    child = draft.session.child
    if child.call_sid:
        status = event.status_of(child.call_sid)
        return (child.call_sid, status) if status else None
    former = draft.session.former_calls
    children = [call for call in event.calls if call.parent_call_sid and call.call_sid not in former]
    return (children[0].call_sid, children[0].status) if children else None


def _shows_ended(draft: Draft, event: CallsRead, party: Party | None) -> bool:
    if party is None or party.is_gone:
        return party is not None
    if party == draft.session.child:
        seen = child_in_read(draft, event)
        return seen is not None and seen[1] in FINAL_CALL_STATUSES
    return event.status_of(party.call_sid) in FINAL_CALL_STATUSES
