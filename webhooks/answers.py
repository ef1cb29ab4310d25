"""What a `<Dial>` action is answered: decided from the session's state and from whose call it is. Pure.

A parent's DialCallStatus says `completed` both when the other side hung up and when the other side was moved into the
conference; so the state decides, and where the state can't be had or trusted, Twilio is asked for the other side.
"""

from dataclasses import dataclass
from enum import StrEnum

from statemachine.states import FINAL_CALL_STATUSES, CallStatus, State
from streams.ingest import SessionFacts
from telephony.urls import DialKind

#: How often Redis is asked for one dial action before Twilio is.
ASKED_MAX = 3


class Answer(StrEnum):
    """What to do."""

    #: Join the session's conference, by its SID once that is known.
    JOIN = "join"
    #: Join it once more, by name: the SID or the label was refused.
    JOIN_BY_NAME = "join-by-name"
    HANG_UP = "hang-up"
    #: Say that the agent is busy, then hang up; likewise the next two.
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


def whose_call(outcome: DialOutcome, facts: SessionFacts | None) -> str:
    """The party whose call it is: by the CallSid where the session knows it, else by the URL; empty for a stranger."""
    if facts is None:
        return outcome.party
    if party := facts.party_of(outcome.call_sid):
        return party
    return "" if facts.call_sids.get(outcome.party) else outcome.party


def answer(outcome: DialOutcome, facts: SessionFacts | None, *, may_be_old: bool) -> Answer:
    """The answer when Redis has told what it knows.

    Args:
        outcome: The request.
        facts: The session as Redis has it; None when Redis does not know it.
        may_be_old: Redis was restarted lately: it may have forgotten the last second.
    """
    if outcome.party_is_gone or not whose_call(outcome, facts):
        return Answer.HANG_UP
    if facts is not None and facts.state == State.ENDED:
        return Answer.HANG_UP  # final: no forgotten second leads out of it
    if outcome.dial is DialKind.CONFERENCE:
        return _after_conference(outcome, facts)
    if not outcome.was_answered and (facts is None or facts.state == State.BRIDGED):
        return _by_dial_call_status(outcome)
    if facts is not None and facts.state in (State.CONVERTING, State.CONFERENCED, State.TRANSFERRING):
        # The intent to move was committed once; a second that Redis forgot can't have made it untrue.
        return Answer.JOIN
    if facts is None or may_be_old:
        return Answer.ASK_TWILIO
    return _by_dial_call_status(outcome)


def answer_without_store(outcome: DialOutcome) -> Answer:
    """The answer while Redis can't be reached."""
    if outcome.party_is_gone:
        return Answer.HANG_UP
    if outcome.dial is DialKind.BRIDGE and not outcome.was_answered:
        return _by_dial_call_status(outcome)
    if outcome.asked < ASKED_MAX:
        return Answer.WAIT
    # Whoever comes out of the conference has no child to ask for; with nobody to tell better, the room is over.
    return Answer.ASK_TWILIO if outcome.dial is DialKind.BRIDGE else Answer.HANG_UP


def answer_by_child(child_status: str | None) -> Answer:
    """The answer once Twilio told the status of the other side, None when it could not.

    The `<Dial>` is over: another side that still lives was moved, so this one follows.
    """
    return Answer.JOIN if child_status == CallStatus.IN_PROGRESS else Answer.HANG_UP


def _after_conference(outcome: DialOutcome, facts: SessionFacts | None) -> Answer:
    """The leg was in the room, or was refused by it.

    A refusal is a label in use (16025) or the SID of a room that is over (13236). Source: Twilio docs, error reference.
    """
    if facts is not None and facts.state == State.CONVERTING and outcome.attempt == 1:
        return Answer.JOIN_BY_NAME
    return Answer.HANG_UP


def _by_dial_call_status(outcome: DialOutcome) -> Answer:
    return _NOT_ANSWERED.get(outcome.dial_call_status, Answer.HANG_UP)
