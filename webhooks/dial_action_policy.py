"""What a `<Dial>` action is answered: decided from the session's state and from whose call it is. Pure.

A parent's DialCallStatus says `completed` both when the other side hung up and when the other side was moved into the
conference; so the state decides, and where the state can't be had or trusted, Twilio is asked for the other side.

Of a customer whose `<Dial>` is over while a transfer runs, the agent has been let go: he goes into the conference and
waits there for whoever takes the call. Somebody who waits in a conference from the start, or while parked, and comes
out of it goes back in. An agent who is to be out is hung up, in whatever state.
"""

from dataclasses import dataclass
from enum import StrEnum

from conferral.statemachine.end_reasons import EndReason
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus, Opening, Phase, State
from conferral.storage.ingest.port import PartyView, SessionView
from conferral.telephony.callback_urls import DialKind

#: How often Redis is asked for one dial action before Twilio is.
REDIS_READS_MAX = 3


class DialActionAnswer(StrEnum):
    """What to do."""

    #: Join the session's conference, by its SID once that is known.
    JOIN = "join"
    #: Join it once more, by name: the SID or the label was refused.
    JOIN_BY_NAME = "join-by-name"
    #: Join it as somebody who waits, and hear the party's tune until somebody else joins.
    WAIT_IN_CONFERENCE = "wait-in-conference"
    #: The same once more, by name: the conference is over.
    WAIT_IN_NEW_CONFERENCE = "wait-in-new-conference"
    #: Once more, with Twilio's own music: ours could not be fetched.
    WAIT_WITH_TWILIO_MUSIC = "wait-with-twilio-music"
    HANG_UP = "hang-up"
    #: Ring the same agent once more, with our own number: the `<Dial>` failed with the caller's.
    REDIAL_AGENT = "redial-agent"
    #: Ring the next of the agents to be tried, by another `<Dial>`.
    DIAL_NEXT_AGENT = "dial-next-agent"
    #: Go on with the TwiML that the directory names for a customer whom the others have left.
    CONTINUE = "go-on"
    #: Say that the other side is busy, then hang up; likewise the next two.
    SAY_BUSY = "say-busy"
    SAY_NO_ANSWER = "say-no-answer"
    SAY_UNREACHABLE = "say-unreachable"
    #: Wait a second and ask again.
    WAIT = "wait"
    #: Ask Twilio what became of the other side.
    READ_CHILD_CALL = "read-child-call"


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
    request_number: int = 1
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
        return self.dial_call_status not in _UNANSWERED_ANSWERS


_UNANSWERED_ANSWERS = {
    CallStatus.BUSY.value: DialActionAnswer.SAY_BUSY,
    CallStatus.NO_ANSWER.value: DialActionAnswer.SAY_NO_ANSWER,
    CallStatus.FAILED.value: DialActionAnswer.SAY_UNREACHABLE,
    CallStatus.CANCELED.value: DialActionAnswer.SAY_UNREACHABLE,
}


#: How a customer goes on waiting whose way in has ended, by which try it was.
#:
#: Twilio does not say why a `<Dial>` into a conference has ended. Mostly the room is over, because the agent's leaving
#: has ended it, and in a fresh room nobody must sit in silence: so the tune is tried once more. If it was the tune that
#: could not be had, that room is over as well, and the third try asks for none: Twilio plays its own music, which can't
#: fail, so nobody who waits is hung up for it. Holding them with the tune is no way out: Twilio holds no one before a
#: conference starts. Source: Twilio docs, TwiML `<Conference>`, `waitUrl`; Errors, 16099.
_WAIT_FALLBACKS = {1: DialActionAnswer.WAIT_IN_NEW_CONFERENCE, 2: DialActionAnswer.WAIT_WITH_TWILIO_MUSIC}
#: How the `<Dial>` to an agent has ended for whom the next one is rung. `canceled` is not among them: that was wanted.
_NEXT_AGENT_AFTER = frozenset({CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.FAILED})
#: How the `<Dial>` of two who have talked has ended. Source: Twilio docs, TwiML `<Dial>`, DialCallStatus.
_ANSWERED_STATUSES = frozenset({"completed", "answered"})
#: How a session has ended whose customer was left by the others, or has left the conference without hanging up.
_LEFT_ALONE_REASONS = frozenset({EndReason.AGENT_LEFT, EndReason.CUSTOMER_LEFT, EndReason.ALONE})


def party_of(outcome: DialOutcome, view: SessionView | None) -> str:
    """The party whose call it is: by the CallSid where the session knows it, else by the URL; empty for a stranger.

    Names change hands in a transfer. So a name tells a call only while no other call is known to be that party's, and
    of a party that was dialled by REST only before anybody could be transferred.
    """
    if view is None:
        return outcome.party
    if name := view.party_of(outcome.call_sid):
        return name
    party = view.parties.get(outcome.party)
    if party is None:  # of a session that had to be rebuilt, not everybody has been heard of yet
        return outcome.party if outcome.party in (CUSTOMER, AGENT) else ""
    if party.call_sid or (party.dial_id and view.state != State.BRIDGED):
        return ""
    return outcome.party


def decide(outcome: DialOutcome, view: SessionView | None, *, may_be_old: bool) -> DialActionAnswer:
    """The answer when Redis has told what it knows.

    Args:
        outcome: The request.
        view: The session as Redis has it; None when Redis does not know it.
        may_be_old: Redis was restarted lately: it may have forgotten the last second.
    """
    name = party_of(outcome, view)
    if outcome.party_is_gone or not name:
        return DialActionAnswer.HANG_UP
    if view is None:
        return _of_unknown_session(outcome, name)
    party = view.parties.get(name, PartyView())
    if view.state == State.ENDED:
        return decide_left_alone(outcome, view)  # final: no forgotten second leads out of it
    if party.is_leaving:
        return DialActionAnswer.HANG_UP
    if outcome.dial is DialKind.CONFERENCE:
        return _after_conference(outcome, view, name)
    if is_waiting(view, name) and party.wait_audio:
        return DialActionAnswer.WAIT_IN_CONFERENCE
    if view.state in (State.CONVERTING, State.CONFERENCED, State.TRANSFERRING) and not view.opening:
        # The intent to move was committed once; a second that Redis forgot can't have made it untrue.
        return DialActionAnswer.JOIN
    return DialActionAnswer.READ_CHILD_CALL if may_be_old and outcome.was_answered else _after_bridge(outcome, view)


def decide_without_redis(outcome: DialOutcome) -> DialActionAnswer:
    """The answer while Redis can't be reached."""
    if outcome.party_is_gone:
        return DialActionAnswer.HANG_UP
    if outcome.dial is DialKind.BRIDGE and not outcome.was_answered:
        return _unanswered(outcome)
    if outcome.request_number < REDIS_READS_MAX:
        return DialActionAnswer.WAIT
    # Whoever comes out of the conference has no child to ask for; with nobody to tell better, the room is over.
    return DialActionAnswer.READ_CHILD_CALL if outcome.dial is DialKind.BRIDGE else DialActionAnswer.HANG_UP


def decide_by_child(child_status: str | None, outcome: DialOutcome, view: SessionView | None) -> DialActionAnswer:
    """The answer once Twilio told the status of the other side, None when it could not.

    The `<Dial>` is over: another side that still lives was moved, so this one follows.
    """
    if child_status == CallStatus.IN_PROGRESS:
        return DialActionAnswer.JOIN
    return DialActionAnswer.HANG_UP if view is None else decide_left_alone(outcome, view)


def decide_left_alone(outcome: DialOutcome, view: SessionView) -> DialActionAnswer:
    """What becomes of somebody whom nobody is left to talk to."""
    if party_of(outcome, view) != CUSTOMER or not view.attributes.after_url:
        return DialActionAnswer.HANG_UP
    if view.state == State.ENDED:
        return DialActionAnswer.CONTINUE if view.end_reason in _LEFT_ALONE_REASONS else DialActionAnswer.HANG_UP
    has_talked = outcome.dial is DialKind.CONFERENCE or outcome.dial_call_status in _ANSWERED_STATUSES
    return DialActionAnswer.CONTINUE if has_talked else DialActionAnswer.HANG_UP


def _of_unknown_session(outcome: DialOutcome, name: str) -> DialActionAnswer:
    if outcome.dial is DialKind.BRIDGE:
        return DialActionAnswer.READ_CHILD_CALL if outcome.was_answered else _unanswered(outcome)
    # Somebody who waits in a conference from the start may come out of it before the session was decided upon.
    if outcome.request_number < REDIS_READS_MAX:
        return DialActionAnswer.WAIT
    may_go_back = outcome.attempt == 1 and name in (CUSTOMER, AGENT)
    return DialActionAnswer.WAIT_WITH_TWILIO_MUSIC if may_go_back else DialActionAnswer.HANG_UP


def _after_conference(outcome: DialOutcome, view: SessionView, name: str) -> DialActionAnswer:
    """The leg was in the room, or was refused by it.

    A refusal is a label in use (16025), the SID of a room that is over (13236), or wait music that could not be had.
    Source: Twilio docs, error reference; TwiML `<Conference>`, `waitUrl`.
    """
    if view.state == State.CONVERTING and outcome.attempt == 1:
        return DialActionAnswer.JOIN_BY_NAME
    if is_waiting(view, name):
        # The agent has left before Twilio knew that this must not end the room, or the customer did not get in.
        return _WAIT_FALLBACKS.get(outcome.attempt, DialActionAnswer.HANG_UP)
    if name == first_waiting_party(view):
        # Nobody else is in yet whose leaving could have ended the room: what is heard there could not be had.
        return DialActionAnswer.WAIT_WITH_TWILIO_MUSIC if outcome.attempt == 1 else DialActionAnswer.HANG_UP
    return decide_left_alone(outcome, view) if view.state == State.CONFERENCED else DialActionAnswer.HANG_UP


def is_waiting(view: SessionView, name: str) -> bool:
    """Whether it is the customer, and somebody is yet to take the call."""
    is_parked = view.state == State.CONFERENCED and view.phase == Phase.PARKED
    return name == CUSTOMER and (view.state == State.TRANSFERRING or is_parked)


def first_waiting_party(view: SessionView) -> str:
    """Name of the party that waits in a conference from the start for the other one; empty once both talk."""
    if view.opening == Opening.OVER:
        return ""
    return CUSTOMER if view.direction == INBOUND else AGENT


def _after_bridge(outcome: DialOutcome, view: SessionView) -> DialActionAnswer:
    return decide_left_alone(outcome, view) if outcome.was_answered else _unanswered(outcome)


def _unanswered(outcome: DialOutcome) -> DialActionAnswer:
    """Nobody has answered the bridge's `<Dial>`."""
    if outcome.failed_with_callers_number:
        return DialActionAnswer.REDIAL_AGENT
    if outcome.has_next_agent and outcome.dial_call_status in _NEXT_AGENT_AFTER:
        return DialActionAnswer.DIAL_NEXT_AGENT
    return _UNANSWERED_ANSWERS[outcome.dial_call_status]
