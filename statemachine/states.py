"""The five states of a session, the phases inside them, and how far a party, a call and a transfer can have come."""

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
    """What a state is at. `converting` and a settled `conferenced` have no phase."""

    #: Nobody has answered yet: in `bridged` and, for those who wait in a conference from the start, in `conferenced`.
    RINGING = "ringing"
    #: Customer and agent talk.
    CONNECTED = "connected"
    #: A transfer in which all three talk.
    WARM = "warm"
    #: A transfer in which agent and target talk first, while the customer is held.
    CONSULT = "consult"
    #: The agent is gone, or on the way out, before the target takes the call.
    BLIND = "blind"
    #: The transfer has failed after the agent had gone: the agent is rung again.
    RECALL = "recall"
    #: The agent is on the way out and nobody is dialled: the customer is to wait until somebody takes the call up.
    PARK = "park"
    #: The customer waits with music until somebody takes the call up again. Of `conferenced`.
    PARKED = "parked"
    #: Somebody is dialled who takes a parked call up again.
    RETRIEVE = "retrieve"
    #: No phase.
    NONE = ""


class PartyStatus(StrEnum):
    """How far one party has come."""

    DIALING = "dialing"
    RINGING = "ringing"
    CONFIRMING = "confirming"
    CONNECTED = "connected"
    LEFT = "left"


class TransferMode(StrEnum):
    """The ways of handing a call over. Source: RFC 5589, sections 6 and 7; parking is of private exchanges."""

    WARM = "warm"
    CONSULT = "consult"
    BLIND = "blind"
    #: What `park` does, and what follows when nobody takes the parked call up in time.
    PARK = "park"
    #: What `retrieve` does.
    RETRIEVE = "retrieve"


#: Those that the command `transfer` knows.
TRANSFER_MODES = (TransferMode.WARM, TransferMode.CONSULT, TransferMode.BLIND)


class SuperviseMode(StrEnum):
    """How somebody supervises. Source: Twilio docs, Participant resource, `Coaching`."""

    #: Hears all, unheard.
    MONITOR = "monitor"
    #: Heard by the agent only.
    WHISPER = "whisper"
    #: Heard by all.
    BARGE = "barge"


class RecordAction(StrEnum):
    """What can be done about a recording."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


class RecordingStatus(StrEnum):
    """A recording's status in Twilio's words. Source: Twilio docs, Recordings resource."""

    IN_PROGRESS = "in-progress"
    PAUSED = "paused"
    STOPPED = "stopped"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ABSENT = "absent"
    FAILED = "failed"


class SessionMode(StrEnum):
    """How a session's calls were connected first, as the command `call` names it."""

    BRIDGE = "bridge"
    #: In a conference from the start.
    CONFERENCE = "conference"


class Opening(StrEnum):
    """What a conference from the start waits for until two talk. Internal."""

    #: Whoever is to wait in it: his own phone is still being dialled (`call` with mode `conference`).
    CALLING = "calling"
    #: Whoever is to wait in it: on the way into the room.
    ARRIVING = "arriving"
    #: The other one, who is being dialled.
    DIALING = "dialing"
    #: Nothing: it is over, or the session began with a bridge.
    OVER = ""


class TransferStatus(StrEnum):
    """How far a transfer has come, as `transfer.status` shows it."""

    DIALING = "dialing"
    RINGING = "ringing"
    CONFIRMING = "confirming"
    #: Agent and target talk, or agent and customer after a swap.
    CONSULTING = "consulting"
    #: All three talk.
    MERGED = "merged"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TransferStage(StrEnum):
    """What a running transfer is waiting for. Internal: people read `transfer.status`."""

    #: Customer and agent are still on their way into the conference.
    CONVERTING = "converting"
    #: That Twilio confirms: the agent's leaving won't end the conference.
    CLEARING_END_ON_EXIT = "clearing-end-on-exit"
    #: That Twilio confirms: the customer is on hold.
    HOLDING_CUSTOMER = "holding-customer"
    #: That the conference's recording stands still, so that no consult is on it.
    PAUSING_RECORDING = "pausing-recording"
    #: The customer's way from the bridge into a room of his own.
    MOVING_CUSTOMER = "moving-customer"
    #: Somebody who was dialled takes part.
    DIALING = "dialing"
    #: The agent's next command: the target takes part.
    TALKING = "talking"
    #: That the agent who parks a call is gone.
    PARKING = "parking"
    #: That the one is on hold, before the other is let back in.
    SWAPPING = "swapping"
    #: That the other is off hold.
    SWAPPED = "swapped"
    #: That nobody is on hold.
    MERGING = "merging"
    #: That nobody who stays is on hold, before the agent is let go.
    COMPLETING = "completing"
    #: The agent's leaving.
    RELEASING_AGENT = "releasing-agent"
    #: That the customer, whom somebody has just taken over, is off hold.
    UNHOLDING_CUSTOMER = "unholding-customer"
    #: The target's leaving.
    CANCELLING = "cancelling"
    #: That the customer is off hold, after the target has gone.
    RETURNING_CUSTOMER = "returning-customer"
    #: The pause before the agent is rung once more.
    WAITING_TO_RECALL = "waiting-to-recall"
    #: Nothing: it is over.
    OVER = "over"


class WaitAudio(StrEnum):
    """What somebody hears who waits."""

    RINGBACK = "ringback"
    MUSIC = "music"
    #: Nothing of ours.
    NONE = ""


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
