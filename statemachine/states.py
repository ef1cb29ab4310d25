"""The five states of a session, the phases inside them, and what a party's status can be."""

from enum import StrEnum


class State(StrEnum):
    """Where a session stands. Each completes the sentence "the session is ..."."""

    #: Customer and agent are in an ordinary `<Dial>`, ringing or talking; no conference exists.
    BRIDGED = "bridged"
    #: The intent to move both into a conference is committed; at least one of them is not in it yet.
    CONVERTING = "converting"
    #: Whoever takes part is in the conference.
    CONFERENCED = "conferenced"
    #: A transfer runs.
    TRANSFERRING = "transferring"
    #: Over; nothing leads out of here.
    ENDED = "ended"


class Phase(StrEnum):
    """What `bridged` is at. The other states of this version have no phases."""

    #: Nobody has answered yet.
    RINGING = "ringing"
    #: Customer and agent talk.
    CONNECTED = "connected"
    #: No phase.
    NONE = ""


class PartyStatus(StrEnum):
    """How far one party has come."""

    DIALING = "dialing"
    RINGING = "ringing"
    CONFIRMING = "confirming"
    CONNECTED = "connected"
    LEFT = "left"


class CallStatus(StrEnum):
    """A call's status in Twilio's words. `initiated` exists in callbacks only.

    Source: Twilio docs, Call resource (status values) and `StatusCallbackEvent`.
    """

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"


#: A call in one of these is over and stays so; whatever arrives later with another status is late.
FINAL_CALL_STATUSES = frozenset(
    {CallStatus.COMPLETED, CallStatus.BUSY, CallStatus.FAILED, CallStatus.NO_ANSWER, CallStatus.CANCELED}
)
