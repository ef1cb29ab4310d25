"""States of a session, their phases, and the statuses of parties, calls, recordings, and transfers."""

from enum import StrEnum


class State(StrEnum):
    """State of a session. Each value completes the sentence "the session is ..."."""

    #: Customer and agent are in an ordinary `<Dial>`, ringing or talking; no conference exists.
    BRIDGED = "bridged"
    #: Conferral is moving both parties into a conference; at least one of them has not joined yet.
    CONVERTING = "converting"
    #: The parties are in the conference, or one waits there until the other answers.
    CONFERENCED = "conferenced"
    #: A transfer is running.
    TRANSFERRING = "transferring"
    #: The session is over; no transition leaves this state.
    ENDED = "ended"


class Phase(StrEnum):
    """Substate of a session. `converting` and a settled `conferenced` have no phase."""

    #: No one has answered yet: in `bridged`, and in `conferenced` if a caller waits in the conference from the start.
    RINGING = "ringing"
    #: Customer and agent are talking.
    CONNECTED = "connected"
    #: A transfer in which all three talk.
    WARM = "warm"
    #: A transfer in which agent and target talk first while the customer is on hold.
    CONSULT = "consult"
    #: A transfer in which the agent leaves before the target answers.
    BLIND = "blind"
    #: The transfer failed after the agent had left; Conferral calls the agent back.
    RECALL = "recall"
    #: The agent is leaving and no one is dialed: the customer will wait until someone retrieves the call.
    PARK = "park"
    #: The customer hears music until someone retrieves the call. A phase of `conferenced`.
    PARKED = "parked"
    #: Conferral is dialing the party that retrieves a parked call.
    RETRIEVE = "retrieve"
    #: No phase.
    NONE = ""


class PartyStatus(StrEnum):
    """Status of a party."""

    DIALING = "dialing"
    RINGING = "ringing"
    CONFIRMING = "confirming"
    CONNECTED = "connected"
    LEFT = "left"


class TransferMode(StrEnum):
    """Ways to hand a call over. Source: RFC 5589, sections 6 and 7; parking comes from PBXs."""

    WARM = "warm"
    CONSULT = "consult"
    BLIND = "blind"
    #: The mode of `park`, and of the recall when no one retrieves the parked call in time.
    PARK = "park"
    #: The mode of `retrieve`.
    RETRIEVE = "retrieve"


#: The modes that the `transfer` command accepts.
TRANSFER_MODES = (TransferMode.WARM, TransferMode.CONSULT, TransferMode.BLIND)


class SuperviseMode(StrEnum):
    """Supervision modes: listen, coach, or barge in. Source: Twilio docs, Participant resource, `Coaching`."""

    #: The supervisor hears everyone; no one hears the supervisor.
    MONITOR = "monitor"
    #: Only the agent hears the supervisor.
    WHISPER = "whisper"
    #: Everyone hears the supervisor.
    BARGE = "barge"


class RecordAction(StrEnum):
    """Actions of the `record` command."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


class RecordingStatus(StrEnum):
    """Status of a recording, in Twilio's words. Source: Twilio docs, Recordings resource."""

    IN_PROGRESS = "in-progress"
    PAUSED = "paused"
    STOPPED = "stopped"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ABSENT = "absent"
    FAILED = "failed"


class SessionMode(StrEnum):
    """How a session first connects its calls, as in the `call` command."""

    BRIDGE = "bridge"
    #: In a conference from the start.
    CONFERENCE = "conference"


class Opening(StrEnum):
    """What a conference used from the start is still waiting for. Internal."""

    #: The waiting party's own phone is still being dialed (`call` with mode `conference`).
    CALLING = "calling"
    #: The waiting party is on the way into the conference.
    ARRIVING = "arriving"
    #: The other party is being dialed. No other stage has this value: members of a `StrEnum` equal their text.
    DIALING = "dialing-party"
    #: Nothing: the opening is over, or the session began as a bridge.
    OVER = ""


class TransferStatus(StrEnum):
    """Status of a transfer, as `transfer.status` shows it."""

    DIALING = "dialing"
    RINGING = "ringing"
    CONFIRMING = "confirming"
    #: Agent and target talk, or, after a swap, agent and customer.
    CONSULTING = "consulting"
    #: All three talk.
    MERGED = "merged"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TransferStage(StrEnum):
    """What a running transfer is waiting for. Internal; `transfer.status` is the public view."""

    #: Customer and agent join the conference.
    CONVERTING = "converting"
    #: Twilio confirms that the conference survives the agent's leaving (`EndConferenceOnExit` cleared).
    CLEARING_END_ON_EXIT = "clearing-end-on-exit"
    #: Twilio confirms that the customer is on hold.
    HOLDING_CUSTOMER = "holding-customer"
    #: Twilio pauses the conference's recording, so that the consult is not recorded.
    PAUSING_RECORDING = "pausing-recording"
    #: The customer moves from the bridge into the conference.
    MOVING_CUSTOMER = "moving-customer"
    #: A dialed target joins.
    DIALING = "dialing"
    #: The target has joined, and the agent completes, cancels, swaps, or merges.
    TALKING = "talking"
    #: The agent who parks the call leaves.
    PARKING = "parking"
    #: Twilio confirms the first hold of a swap, before the other party is unheld.
    SWAPPING = "swapping"
    #: Twilio confirms the unhold that ends a swap.
    SWAPPED = "swapped"
    #: Twilio confirms that no one is on hold.
    MERGING = "merging"
    #: Twilio confirms that no remaining party is on hold; then the agent is released.
    COMPLETING = "completing"
    #: The agent leaves.
    RELEASING_AGENT = "releasing-agent"
    #: Twilio confirms that the customer, now with the new agent, is off hold.
    UNHOLDING_CUSTOMER = "unholding-customer"
    #: The target leaves.
    CANCELLING = "cancelling"
    #: The target has left; Twilio confirms that the customer is off hold.
    RETURNING_CUSTOMER = "returning-customer"
    #: The pause before the next recall is over.
    WAITING_TO_RECALL = "waiting-to-recall"
    #: Nothing: the transfer is over.
    OVER = "over"


class WaitAudio(StrEnum):
    """What a waiting party hears."""

    RINGBACK = "ringback"
    MUSIC = "music"
    #: No audio from Conferral.
    NONE = ""


class CallStatus(StrEnum):
    """Status of a call, in Twilio's words. `initiated` occurs only in callbacks.

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


#: Statuses in which a call is over for good; a different status that arrives afterwards is late.
FINAL_CALL_STATUSES = frozenset(
    {CallStatus.COMPLETED, CallStatus.BUSY, CallStatus.FAILED, CallStatus.NO_ANSWER, CallStatus.CANCELED}
)
