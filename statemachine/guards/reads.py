"""Questions about what a look at Twilio showed."""

from conferral.statemachine.events import CallSeen, CallsRead, Event
from conferral.statemachine.guards.converting import is_too_soon
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, Party
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus, Phase, Stage


def is_outdated(scratch: Scratch, event: CallsRead) -> bool:
    """Whether facts changed after the read began: the picture may be older than they are."""
    return scratch.session.facts_version > event.read_version


def is_to_look_again(scratch: Scratch, _event: Event) -> bool:
    """Whether another look was wanted while one was open, and that has its answer now."""
    return scratch.session.reads_again and not scratch.session.reading


def shows_parent_over(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the call is over whose `<Dial>` bridges the two."""
    return _is_over(scratch, event, scratch.session.parent)


def shows_child_over(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the call is over that the `<Dial>` made."""
    return _is_over(scratch, event, scratch.session.child)


def shows_somebody_over(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the call of one of the two is over."""
    return shows_parent_over(scratch, event) or shows_child_over(scratch, event)


def shows_customer_over(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the customer's call is over."""
    return _is_over(scratch, event, scratch.session.parties.get(CUSTOMER))


def shows_child_answered(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the child's call is in progress although the session still rings."""
    seen = seen_child(scratch, event)
    return seen is not None and seen[1] == CallStatus.IN_PROGRESS and scratch.session.phase is Phase.RINGING


def shows_next_agent(scratch: Scratch, event: CallsRead) -> bool:
    """Whether one agent was not reached and the next one's phone rings, which no callback has told."""
    return awaits_next_agent(scratch, event) and next_child(scratch, event) is not None


def awaits_next_agent(scratch: Scratch, event: CallsRead) -> bool:
    """Whether one agent was not reached, and the action's document is about to ring the next."""
    session = scratch.session
    is_left = session.phase is Phase.RINGING and session.agent_number + 1 < len(session.agents)
    return is_left and shows_child_over(scratch, event)


def next_child(scratch: Scratch, event: CallsRead) -> CallSeen | None:
    """A live call that the bridge's `<Dial>`s made, other than the one that is known."""
    known = (*scratch.session.former_calls, scratch.session.child.call_sid)
    children = (call for call in event.calls if call.parent_call_sid and call.call_sid not in known)
    return next((call for call in children if call.status not in FINAL_CALL_STATUSES), None)


def shows_both_in_room(scratch: Scratch, event: CallsRead) -> bool:
    """Whether customer and agent are both in the conference."""
    inside = {participant.call_sid for participant in event.participants}
    return all(scratch.session.parties[name].call_sid in inside for name in (CUSTOMER, AGENT))


def shows_agent_left_for_transfer(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the agent alone is gone while the session converts for a transfer, which then goes on as a blind one."""
    transfer = scratch.session.transfer
    return (
        transfer is not None
        and transfer.runs
        and _is_over(scratch, event, scratch.session.parties[AGENT])
        and not shows_customer_over(scratch, event)
    )


def shows_customer_astray(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the customer, on the way into a room, is alive and not in it."""
    customer = scratch.session.parties[CUSTOMER]
    return (
        (scratch.transfer.stage is Stage.ARRIVING or _is_awaited_alone(scratch))
        and not customer.in_room
        # Whoever is being moved, or was just now, may not show there yet: a second move would take him out again.
        and not scratch.session.redirecting
        and not is_too_soon(scratch, event)
        and not _is_still_bridged(scratch, event)
        and event.status_of(customer.call_sid) == CallStatus.IN_PROGRESS
        and all(seen.call_sid != customer.call_sid for seen in event.participants)
    )


def _is_still_bridged(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the agent's hang-up is under way and has not ended the bridge: its end leads the customer into the room.

    A move that crosses with that end would take them out of the room again.
    """
    agent = scratch.session.parties[AGENT]
    return bool(agent.hanging_up) and event.status_of(agent.call_sid) == CallStatus.IN_PROGRESS


def _is_awaited_alone(scratch: Scratch) -> bool:
    """Whether the customer, who has lost his room, is to be there when somebody answers."""
    is_alone = scratch.session.phase in (Phase.BLIND, Phase.PARK, Phase.RECALL, Phase.RETRIEVE)
    return is_alone and scratch.transfer.stage in (Stage.DIALING, Stage.CONNECTING, Stage.PARKING)


def shows_customer_astray_again(scratch: Scratch, event: CallsRead) -> bool:
    """Whether he is so although he was moved once more."""
    return scratch.session.repaired and shows_customer_astray(scratch, event)


def seen_child(scratch: Scratch, event: CallsRead) -> tuple[str, str] | None:
    """The child's call as the read showed it: SID and status. The newest child when its SID is not known yet."""
    child = scratch.session.child
    if child.call_sid:
        status = event.status_of(child.call_sid)
        return (child.call_sid, status) if status else None
    former = scratch.session.former_calls
    children = [call for call in event.calls if call.parent_call_sid and call.call_sid not in former]
    return (children[0].call_sid, children[0].status) if children else None


def _is_over(scratch: Scratch, event: CallsRead, party: Party | None) -> bool:
    if party is None or party.is_gone:
        return party is not None
    if party == scratch.session.child:
        seen = seen_child(scratch, event)
        return seen is not None and seen[1] in FINAL_CALL_STATUSES
    return event.status_of(party.call_sid) in FINAL_CALL_STATUSES
