"""What a `<Dial>` action is answered: decided from the session's state and from whose call it is. Pure.

A parent's DialCallStatus says `completed` both when the other side hung up and when the other side was moved into the
conference; so the state decides, and where the state can't be had or trusted, Twilio is asked for the other side.

Of a customer whose `<Dial>` is over while a transfer runs, the agent has been let go: he goes into the conference and
waits there for whoever takes the call. Somebody who waits in a conference from the start, or while parked, and comes
out of it goes back in. An agent who is to be out is hung up, in whatever state.
"""

from dataclasses import dataclass
from enum import StrEnum

from conferral.statemachine.reasons import EndReason
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus, Opening, Phase, State
from conferral.storage.ingest import PartyFacts, SessionFacts
from conferral.telephony.urls import DialKind

#: How often Redis is asked for one dial action before Twilio is.
ASKED_MAX = 3


class Answer(StrEnum):
    """What to do."""

    #: Join the session's conference, by its SID once that is known.
    JOIN = "join"
    #: Join it once more, by name: the SID or the label was refused.
    JOIN_BY_NAME = "join-by-name"
    #: Join it as somebody who waits, and hear the party's tune until somebody else joins.
    WAIT_IN_ROOM = "wait-in-room"
    #: The same once more, by name: the conference is over.
    WAIT_IN_ANOTHER = "wait-in-another"
    #: Once more, with Twilio's own music: ours could not be fetched.
    WAIT_WITHOUT_TUNE = "wait-without-tune"
    HANG_UP = "hang-up"
    #: Ring the same agent once more, with our own number: the `<Dial>` failed with the caller's.
    RING_AGAIN = "ring-again"
    #: Ring the next of the agents to be tried, by another `<Dial>`.
    RING_NEXT = "ring-next"
    #: Go on with the TwiML that the directory names for a customer whom the others have left.
    GO_ON = "go-on"
    #: Say that the other side is busy, then hang up; likewise the next two.
    SAY_BUSY = "say-busy"
    SAY_NO_ANSWER = "say-no-answer"
    SAY_UNREACHABLE = "say-unreachable"
    #: Wait a second and ask again.
    WAIT = "wait"
    #: Ask Twilio what became of the other side.
    ASK_TWILIO = "ask-twilio"


@dataclass(frozen=True, slots=True)
class DialOutcome:
    """What the action's request says."""

    #: The party that the URL names.
    party: str
    call_sid: str
    dial: DialKind
    #: DialCallStatus in Twilio's words, empty when it is not known.
    dial_call_status: str
    #: Status of the party's own call.
    call_status: str
    #: Which try of the `<Dial>` it was.
    attempt: int = 1
    #: How often the action was asked.
    asked: int = 1
    #: Whether another agent is to be tried when this one could not be had.
    has_next_agent: bool = False
    #: Whether the agent's phone could not be called while it would have shown the caller's number.
    failed_with_callers_number: bool = False

    @property
    def party_is_gone(self) -> bool:
        """Whether the party's own call is over: Twilio ignores the answer."""
        return self.call_status in FINAL_CALL_STATUSES

    @property
    def was_answered(self) -> bool:
        """Whether the other side may have answered, so that it may have been moved."""
        return self.dial_call_status not in _NOT_ANSWERED


_NOT_ANSWERED = {
    CallStatus.BUSY.value: Answer.SAY_BUSY,
    CallStatus.NO_ANSWER.value: Answer.SAY_NO_ANSWER,
    CallStatus.FAILED.value: Answer.SAY_UNREACHABLE,
    CallStatus.CANCELED.value: Answer.SAY_UNREACHABLE,
}


#: How a customer goes on waiting whose way in has ended, by which try it was.
#:
#: Twilio does not say why a `<Dial>` into a conference has ended. Mostly the room is over, because the agent's leaving
#: has ended it, and in a fresh room nobody must sit in silence: so the tune is tried once more. If it was the tune that
#: could not be had, that room is over as well, and the third try asks for none: Twilio plays its own music, which can't
#: fail, so nobody who waits is hung up for it. Holding them with the tune is no way out: Twilio holds no one before a
#: conference starts. Source: Twilio docs, TwiML `<Conference>`, `waitUrl`; Errors, 16099.
_WAITS_AGAIN = {1: Answer.WAIT_IN_ANOTHER, 2: Answer.WAIT_WITHOUT_TUNE}
#: How the `<Dial>` to an agent has ended for whom the next one is rung. `canceled` is not among them: that was wanted.
_NEXT_AGENT_AFTER = frozenset({CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.FAILED})
#: How the `<Dial>` of two who have talked has ended. Source: Twilio docs, TwiML `<Dial>`, DialCallStatus.
_TALKED = frozenset({"completed", "answered"})
#: How a session has ended whose customer was left by the others, or has left the conference without hanging up.
_LEFT_BEHIND = frozenset({EndReason.AGENT_LEFT, EndReason.CUSTOMER_LEFT, EndReason.ALONE})


def whose_call(outcome: DialOutcome, facts: SessionFacts | None) -> str:
    """The party whose call it is: by the CallSid where the session knows it, else by the URL; empty for a stranger.

    Names change hands in a transfer. So a name tells a call only while no other call is known to be that party's, and
    of a party that was dialled by REST only before anybody could be transferred.
    """
    if facts is None:
        return outcome.party
    if name := facts.party_of(outcome.call_sid):
        return name
    party = facts.parties.get(outcome.party)
    if party is None:  # of a session that had to be rebuilt, not everybody has been heard of yet
        return outcome.party if outcome.party in (CUSTOMER, AGENT) else ""
    if party.call_sid or (party.dial_id and facts.state != State.BRIDGED):
        return ""
    return outcome.party


def answer(outcome: DialOutcome, facts: SessionFacts | None, *, may_be_old: bool) -> Answer:
    """The answer when Redis has told what it knows.

    Args:
        outcome: The request.
        facts: The session as Redis has it; None when Redis does not know it.
        may_be_old: Redis was restarted lately: it may have forgotten the last second.
    """
    name = whose_call(outcome, facts)
    if outcome.party_is_gone or not name:
        return Answer.HANG_UP
    if facts is None:
        return _of_unknown_session(outcome, name)
    party = facts.parties.get(name, PartyFacts())
    if facts.state == State.ENDED:
        return left_behind(outcome, facts)  # final: no forgotten second leads out of it
    if party.is_leaving:
        return Answer.HANG_UP
    if outcome.dial is DialKind.CONFERENCE:
        return _after_conference(outcome, facts, name)
    if is_waiting(facts, name) and party.tune:
        return Answer.WAIT_IN_ROOM
    if facts.state in (State.CONVERTING, State.CONFERENCED, State.TRANSFERRING) and not facts.opening:
        # The intent to move was committed once; a second that Redis forgot can't have made it untrue.
        return Answer.JOIN
    return Answer.ASK_TWILIO if may_be_old and outcome.was_answered else _after_bridge(outcome, facts)


def answer_without_store(outcome: DialOutcome) -> Answer:
    """The answer while Redis can't be reached."""
    if outcome.party_is_gone:
        return Answer.HANG_UP
    if outcome.dial is DialKind.BRIDGE and not outcome.was_answered:
        return _unanswered(outcome)
    if outcome.asked < ASKED_MAX:
        return Answer.WAIT
    # Whoever comes out of the conference has no child to ask for; with nobody to tell better, the room is over.
    return Answer.ASK_TWILIO if outcome.dial is DialKind.BRIDGE else Answer.HANG_UP


def answer_by_child(child_status: str | None, outcome: DialOutcome, facts: SessionFacts | None) -> Answer:
    """The answer once Twilio told the status of the other side, None when it could not.

    The `<Dial>` is over: another side that still lives was moved, so this one follows.
    """
    if child_status == CallStatus.IN_PROGRESS:
        return Answer.JOIN
    return Answer.HANG_UP if facts is None else left_behind(outcome, facts)


def left_behind(outcome: DialOutcome, facts: SessionFacts) -> Answer:
    """What becomes of somebody whom nobody is left to talk to."""
    if whose_call(outcome, facts) != CUSTOMER or not facts.attributes.after:
        return Answer.HANG_UP
    if facts.state == State.ENDED:
        return Answer.GO_ON if facts.end_reason in _LEFT_BEHIND else Answer.HANG_UP
    has_talked = outcome.dial is DialKind.CONFERENCE or outcome.dial_call_status in _TALKED
    return Answer.GO_ON if has_talked else Answer.HANG_UP


def _of_unknown_session(outcome: DialOutcome, name: str) -> Answer:
    if outcome.dial is DialKind.BRIDGE:
        return Answer.ASK_TWILIO if outcome.was_answered else _unanswered(outcome)
    # Somebody who waits in a conference from the start may come out of it before the session was decided upon.
    if outcome.asked < ASKED_MAX:
        return Answer.WAIT
    may_go_back = outcome.attempt == 1 and name in (CUSTOMER, AGENT)
    return Answer.WAIT_WITHOUT_TUNE if may_go_back else Answer.HANG_UP


def _after_conference(outcome: DialOutcome, facts: SessionFacts, name: str) -> Answer:
    """The leg was in the room, or was refused by it.

    A refusal is a label in use (16025), the SID of a room that is over (13236), or wait music that could not be had.
    Source: Twilio docs, error reference; TwiML `<Conference>`, `waitUrl`.
    """
    if facts.state == State.CONVERTING and outcome.attempt == 1:
        return Answer.JOIN_BY_NAME
    if is_waiting(facts, name):
        # The agent has left before Twilio knew that this must not end the room, or the customer did not get in.
        return _WAITS_AGAIN.get(outcome.attempt, Answer.HANG_UP)
    if name == waits_first(facts):
        # Nobody else is in yet whose leaving could have ended the room: what is heard there could not be had.
        return Answer.WAIT_WITHOUT_TUNE if outcome.attempt == 1 else Answer.HANG_UP
    return left_behind(outcome, facts) if facts.state == State.CONFERENCED else Answer.HANG_UP


def is_waiting(facts: SessionFacts, name: str) -> bool:
    """Whether it is the customer, and somebody is yet to take the call."""
    is_parked = facts.state == State.CONFERENCED and facts.phase == Phase.PARKED
    return name == CUSTOMER and (facts.state == State.TRANSFERRING or is_parked)


def waits_first(facts: SessionFacts) -> str:
    """Name of the party that waits in a conference from the start for the other one; empty once both talk."""
    if facts.opening == Opening.OVER:
        return ""
    return CUSTOMER if facts.direction == INBOUND else AGENT


def _after_bridge(outcome: DialOutcome, facts: SessionFacts) -> Answer:
    return left_behind(outcome, facts) if outcome.was_answered else _unanswered(outcome)


def _unanswered(outcome: DialOutcome) -> Answer:
    """Nobody has answered the bridge's `<Dial>`."""
    if outcome.failed_with_callers_number:
        return Answer.RING_AGAIN
    if outcome.has_next_agent and outcome.dial_call_status in _NEXT_AGENT_AFTER:
        return Answer.RING_NEXT
    return _NOT_ANSWERED[outcome.dial_call_status]
