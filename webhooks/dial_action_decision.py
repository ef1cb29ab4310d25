"""What to answer to a dial action: pure decisions, by what is known.

A parent's DialCallStatus is `completed` both when the other side hung up and when it was moved into the conference. So
the session's state decides; if that is unknown or may be stale, Twilio's status of the other side does. Without Redis,
the party waits while the action is repeated; then the other side's state at Twilio decides. The next agent is dialed
without Redis, too: the URL names the agent tried, and the directory the next one.
"""

from dataclasses import dataclass
from enum import StrEnum

from conferral.statemachine.events import DialEnded
from conferral.statemachine.guards.loss import may_be_lost_in_bridge
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session
from conferral.statemachine.states import (
    ANSWERED_DIAL_STATUSES,
    KEPT_WAITING,
    UNREACHED_DIAL_STATUSES,
    CallStatus,
    Opening,
    State,
)
from conferral.telephony.callback_urls import DialKind
from conferral.webhooks.call_routing import NextAgent

#: How often one dial action reads Redis before it asks Twilio.
REDIS_READS_MAX = 3
#: How often one dial action is requested while Twilio does not answer. The party hears silence, for some ten seconds.
REPEATED_REQUESTS_MAX = 6


class DialActionAnswer(StrEnum):
    """What to answer."""

    #: Join the session's conference, by its SID once known.
    JOIN = "join"
    #: Join again, by name: Twilio refused the SID or the label.
    JOIN_BY_NAME = "join-by-name"
    #: Join as a waiting party, and hear the party's audio until another one joins.
    WAIT_IN_CONFERENCE = "wait-in-conference"
    #: Wait again, by name: the conference is over.
    WAIT_IN_NEW_CONFERENCE = "wait-in-new-conference"
    #: Wait again, with Twilio's own music: ours could not be fetched.
    WAIT_WITH_TWILIO_MUSIC = "wait-with-twilio-music"
    HANG_UP = "hang-up"
    #: Dial the same agent again, with our own number: the `<Dial>` failed with the caller's.
    REDIAL_AGENT = "redial-agent"
    DIAL_NEXT_AGENT = "dial-next-agent"
    #: Continue with the TwiML that the directory names for a customer who was left alone.
    CONTINUE = "continue"
    SAY_BUSY = "say-busy"
    SAY_NO_ANSWER = "say-no-answer"
    SAY_UNREACHABLE = "say-unreachable"
    #: Wait a second and ask again.
    WAIT = "wait"
    READ_CHILD_CALL = "read-child-call"
    READ_CONFERENCE = "read-conference"


@dataclass(frozen=True, slots=True)
class DialResult:
    """What the action's request says."""

    event: DialEnded
    #: The attempt of the `<Dial>`, from 1.
    attempt: int
    #: How often the action was requested, from 1.
    request_number: int
    #: Whether to redial the agent's phone with our own number.
    may_redial: bool
    #: Whether the caller goes on to the fallback of the call if no agent takes it.
    falls_back: bool
    only_agent: bool
    #: The one to try, if this agent was not reached.
    next_agent: NextAgent | None = None
    #: Whether only the session knows in which order the agents are rung, and it is unknown.
    lacks_order: bool = False

    @property
    def was_answered(self) -> bool:
        """Whether the other side may have answered, and may have been moved."""
        return self.event.dial_call_status not in _ANSWERS_TO_UNANSWERED


_ANSWERS_TO_UNANSWERED = {
    CallStatus.BUSY.value: DialActionAnswer.SAY_BUSY,
    CallStatus.NO_ANSWER.value: DialActionAnswer.SAY_NO_ANSWER,
    CallStatus.FAILED.value: DialActionAnswer.SAY_UNREACHABLE,
    CallStatus.CANCELED.value: DialActionAnswer.SAY_UNREACHABLE,
}
_MESSAGES = frozenset(_ANSWERS_TO_UNANSWERED.values())

#: How a customer keeps waiting after dropping out of the conference, by attempt; Twilio does not say why. Usually the
#: agent's leaving ended it, so the customer hears our audio in a new one. If our audio can't be fetched, that one ends,
#: too, and the third plays Twilio's own music, which can't fail. A hold with our audio would not help: it does not work
#: before a conference starts. Source: Twilio docs, TwiML `<Conference>`, `waitUrl`; Errors, 16099.
_WAIT_FALLBACKS = {1: DialActionAnswer.WAIT_IN_NEW_CONFERENCE, 2: DialActionAnswer.WAIT_WITH_TWILIO_MUSIC}
#: End reasons of sessions whose customer was left alone, or left the conference without hanging up. If a late action
#: gets an answer after `moved`, no one has moved the call: Twilio ignores the answer then.
_LEFT_ALONE_REASONS = frozenset({
    EndReason.AGENT_LEFT, EndReason.CUSTOMER_LEFT, EndReason.ALONE, EndReason.TIME_LIMIT, EndReason.MOVED,
    EndReason.RETURNED,
})  # fmt: skip
#: End reasons of bridges that no one answered. A worker may have ended the session from the action's first request,
#: before webhooks could read it; the repeated request then finds it ended.
_ENDS_OF_UNANSWERED_BRIDGES = frozenset({
    EndReason.AGENT_BUSY, EndReason.AGENT_NO_ANSWER, EndReason.AGENT_REJECTED, EndReason.AGENT_FAILED,
    EndReason.CUSTOMER_BUSY, EndReason.CUSTOMER_NO_ANSWER, EndReason.CUSTOMER_REJECTED, EndReason.CUSTOMER_FAILED,
})  # fmt: skip


def party_of(result: DialResult, view: Session | None) -> str:
    """Return the call's party, by CallSid or the URL; empty for a stranger."""
    named = result.event.party
    if view is None:
        return named
    if found := view.find_party(call_sid=result.event.call_sid):
        return found.name
    party = view.parties.get(named)
    if party is None:  # a recovered session may not know all of its parties yet
        return named if named in (CUSTOMER, AGENT) else ""
    # A transfer moves names to other calls: a name counts only while the session knows no other call of that party,
    # and for a party dialed by REST, only before any transfer was possible.
    if party.call_sid or (party.dial_id and view.state != State.BRIDGED):
        return ""
    return named


def decide(result: DialResult, view: Session | None) -> DialActionAnswer:
    """Decide by the session in Redis; `view` is None if there is none."""
    name = party_of(result, view)
    if result.event.party_is_gone or not name:
        return DialActionAnswer.HANG_UP
    if view is None:
        return _decide_for_unknown_session(result, name)
    party = view.parties.get(name, Party("", ""))
    if view.state == State.ENDED:
        is_bridge = result.event.dial_kind == DialKind.BRIDGE
        if is_bridge and view.end_reason in _ENDS_OF_UNANSWERED_BRIDGES and not result.was_answered:
            return _ANSWERS_TO_UNANSWERED[result.event.dial_call_status]
        return decide_left_alone(result, view, view.attributes)
    if party.is_leaving:
        return DialActionAnswer.HANG_UP
    if result.event.dial_kind == DialKind.CONFERENCE:
        return _decide_after_conference(result, view, name)
    if is_waiting(view, name) and party.wait_audio:
        return DialActionAnswer.WAIT_IN_CONFERENCE
    if view.state in (State.CONVERTING, State.CONFERENCED, State.TRANSFERRING) and not view.opening:
        # The intent to move was committed.
        return DialActionAnswer.JOIN
    if not result.was_answered:
        return _decide_unanswered(result)
    if view.moved_at_ms or view.lost_at_ms:
        # A redirect that was given up may act all the same, and Redis may have lost one: the child may have been moved.
        return DialActionAnswer.READ_CHILD_CALL
    return decide_left_alone(result, view, view.attributes)


def decide_without_redis(result: DialResult) -> DialActionAnswer:
    """Decide while Redis is unreachable."""
    if result.event.party_is_gone:
        return DialActionAnswer.HANG_UP
    if result.event.dial_kind == DialKind.BRIDGE and not result.was_answered:
        answer = _decide_unanswered(result)
        # Only the session has the hand-off's own fallback, and the order of agents by presence.
        needs_session = (result.only_agent and answer in _MESSAGES) or _needs_order(result, answer)
        waits = needs_session and result.request_number < REDIS_READS_MAX
        return DialActionAnswer.WAIT if waits else answer
    if result.request_number < REDIS_READS_MAX:
        return DialActionAnswer.WAIT
    # A party that left the conference has no child call to read; without other evidence, the conference is over.
    return DialActionAnswer.READ_CHILD_CALL if result.event.dial_kind == DialKind.BRIDGE else DialActionAnswer.HANG_UP


def decide_by_child(
    child_status: str | None, result: DialResult, view: Session | None, attributes: ConferenceAttributes
) -> DialActionAnswer:
    """Decide by the other side's call; its status is None if unknown."""
    if child_status is None and result.request_number < REPEATED_REQUESTS_MAX:
        return DialActionAnswer.WAIT
    if child_status == CallStatus.IN_PROGRESS:  # the `<Dial>` is over: the other side was moved, so this one follows
        return DialActionAnswer.JOIN
    return decide_left_alone(result, view, attributes)


def decide_by_conference(result: DialResult, *, has_started: bool | None) -> DialActionAnswer:
    """Decide by Twilio's lists; `has_started` is None if unknown."""
    if has_started is None and result.request_number < REPEATED_REQUESTS_MAX:
        return DialActionAnswer.WAIT
    # In a conference that has started, the others have left. If one of that name is in progress, it may be another
    # program's: no one joins strangers. Without an answer, the party would wait without end: no session knows the
    # party, and no list need show a conference with one party.
    return DialActionAnswer.WAIT_WITH_TWILIO_MUSIC if has_started is False else DialActionAnswer.HANG_UP


def decide_left_alone(result: DialResult, view: Session | None, attributes: ConferenceAttributes) -> DialActionAnswer:
    """Decide for a party that has no one left to talk to."""
    if _lost_agent(result, view):
        return DialActionAnswer.WAIT_IN_CONFERENCE
    if party_of(result, view) != CUSTOMER or not attributes.after_url:
        return DialActionAnswer.HANG_UP
    if view is not None and view.state == State.ENDED:
        return DialActionAnswer.CONTINUE if view.end_reason in _LEFT_ALONE_REASONS else DialActionAnswer.HANG_UP
    was_answered = result.event.dial_call_status in ANSWERED_DIAL_STATUSES
    has_talked = result.event.dial_kind == DialKind.CONFERENCE or was_answered
    return DialActionAnswer.CONTINUE if has_talked else DialActionAnswer.HANG_UP


def _lost_agent(result: DialResult, view: Session | None) -> bool:
    """Whether the caller's agent was lost, and will be rung again."""
    if view is None or view.state != State.BRIDGED or result.event.dial_kind != DialKind.BRIDGE:
        return False
    return may_be_lost_in_bridge(view) and party_of(result, view) == CUSTOMER


def _decide_for_unknown_session(result: DialResult, name: str) -> DialActionAnswer:
    """Decide while Redis has no session: it may be new, or lost."""
    if result.event.dial_kind == DialKind.BRIDGE:
        return _decide_for_unknown_bridge(result, name)
    # A party that waits in a conference from the start may drop out before a worker has decided on its session.
    if result.request_number < REDIS_READS_MAX:
        return DialActionAnswer.WAIT
    may_rejoin = result.attempt == 1 and name in (CUSTOMER, AGENT)
    return DialActionAnswer.READ_CONFERENCE if may_rejoin else DialActionAnswer.HANG_UP


def _decide_for_unknown_bridge(result: DialResult, name: str) -> DialActionAnswer:
    if result.was_answered:
        return DialActionAnswer.READ_CHILD_CALL
    answer = _decide_unanswered(result)
    # Only the session has the fallback of the call, and no worker may have opened it yet.
    may_fall_back = (
        name == CUSTOMER and result.event.dial_call_status in UNREACHED_DIAL_STATUSES and answer in _MESSAGES
    )
    needs_session = may_fall_back or _needs_order(result, answer)
    return DialActionAnswer.WAIT if needs_session and result.request_number < REPEATED_REQUESTS_MAX else answer


def _needs_order(result: DialResult, answer: DialActionAnswer) -> bool:
    """Whether the directory's next agent may be the one who was rung."""
    return result.lacks_order and answer is DialActionAnswer.DIAL_NEXT_AGENT


def _decide_after_conference(result: DialResult, view: Session, name: str) -> DialActionAnswer:
    """Decide for a leg that was in the conference, or was refused by it."""
    # Twilio refuses a label in use (16025), the SID of an ended conference (13236), or music that can't be fetched.
    # Source: Twilio docs, error reference; TwiML `<Conference>`, `waitUrl`.
    if view.state == State.CONVERTING and result.attempt == 1:
        return DialActionAnswer.JOIN_BY_NAME
    if is_waiting(view, name):
        # The agent left before Twilio knew not to end the conference, or the customer did not get in.
        return _WAIT_FALLBACKS.get(result.attempt, DialActionAnswer.HANG_UP)
    if name == first_waiting_party(view):
        # No other party is in yet whose leaving could have ended the conference, so the audio could not be fetched.
        return DialActionAnswer.WAIT_WITH_TWILIO_MUSIC if result.attempt == 1 else DialActionAnswer.HANG_UP
    if view.state == State.CONFERENCED:
        return decide_left_alone(result, view, view.attributes)
    return DialActionAnswer.HANG_UP


def is_waiting(view: Session, name: str) -> bool:
    """Whether a customer waits for a target, is parked, or is in a queue."""
    is_kept = view.state == State.CONFERENCED and view.phase in KEPT_WAITING
    return name == CUSTOMER and (view.state == State.TRANSFERRING or is_kept)


def first_waiting_party(view: Session) -> str:
    """Return who waits in a conference from the start; empty once both talk."""
    if view.opening == Opening.OVER:
        return ""
    return CUSTOMER if view.customer_is_parent else AGENT


def _decide_unanswered(result: DialResult) -> DialActionAnswer:
    """Decide for a party whose `<Dial>` no one answered."""
    if result.may_redial:
        return DialActionAnswer.REDIAL_AGENT
    if result.next_agent is not None and result.event.dial_call_status in UNREACHED_DIAL_STATUSES:
        return DialActionAnswer.DIAL_NEXT_AGENT
    if result.falls_back and result.event.dial_call_status in UNREACHED_DIAL_STATUSES:
        return DialActionAnswer.WAIT_IN_CONFERENCE
    return _ANSWERS_TO_UNANSWERED[result.event.dial_call_status]
