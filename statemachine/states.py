"""States and phases of sessions; statuses of parties, calls, and the rest."""

from enum import StrEnum


class State(StrEnum):
    """State of a session; completes the sentence "the session is ..."."""

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
    """Substate of a session; `converting` and `ended` have none."""

    #: No one has answered yet: in `bridged`, or in a conference where a caller waits from the start.
    RINGING = "ringing"
    #: The parties talk, in a bridge or in a settled conference; a command may have put one of them on hold.
    CONNECTED = "connected"
    #: A transfer in which all three talk.
    WARM = "warm"
    #: A transfer in which agent and target talk first while the customer is on hold.
    CONSULT = "consult"
    #: A transfer in which the agent leaves before the target answers.
    BLIND = "blind"
    #: The transfer failed after the agent had left, or the agent's leg was lost; Conferral calls the agent back.
    RECALL = "recall"
    #: The agent is leaving; the customer will wait until someone retrieves the call.
    PARK = "park"
    #: The customer hears music until someone retrieves the call. A phase of `conferenced`.
    PARKED = "parked"
    #: The caller hears music in a queue until an agent takes the call; agents are rung meanwhile. Of `conferenced`.
    QUEUED = "queued"
    #: Conferral is dialing the party that retrieves a parked call, or takes a caller out of a queue.
    RETRIEVE = "retrieve"
    #: No one took the call, and the agent has left; Conferral is dialing a destination of the fallback.
    FALLBACK = "fallback"
    #: No one took the call, and the customer leaves a message.
    VOICEMAIL = "voicemail"
    NONE = ""


class Situation(StrEnum):
    """Where no agent talks, as a refusal says it.

    Each command lists those in which it is allowed.
    """

    UNANSWERED = "no one has answered yet"
    PARKED = "the call is parked"
    QUEUED = "the caller waits in a queue"
    VOICEMAIL = "the customer is in the voicemail"


#: What a list of sessions may be limited to.
STATES_AND_PHASES = (*State, *(phase for phase in Phase if phase))
#: The customer is being dialed for, or will be, and the agent has left or is leaving.
WITHOUT_AGENT = frozenset({Phase.BLIND, Phase.PARK, Phase.RECALL, Phase.RETRIEVE, Phase.FALLBACK})
#: The customer waits in `conferenced`, without an agent.
KEPT_WAITING = frozenset({Phase.PARKED, Phase.QUEUED})


class PartyStatus(StrEnum):
    """Status of a party."""

    DIALING = "dialing"
    RINGING = "ringing"
    CONFIRMING = "confirming"
    CONNECTED = "connected"
    LEFT = "left"


class TransferMode(StrEnum):
    """Ways to hand a call over. Source: RFC 5589, sections 6 and 7."""

    WARM = "warm"
    CONSULT = "consult"
    BLIND = "blind"
    #: The mode of `park`, and of the recall when no one retrieves the parked call in time.
    PARK = "park"
    RETRIEVE = "retrieve"
    #: Internal: no agent took an inbound call, or the leg of an agent with a desk was lost. What follows has the stages
    #: of a transfer, but is none.
    INBOUND = "inbound"
    LOSS = "loss"


INTERNAL_MODES = (TransferMode.INBOUND, TransferMode.LOSS)
#: The modes that the `transfer` command accepts.
TRANSFER_MODES = (TransferMode.WARM, TransferMode.CONSULT, TransferMode.BLIND)


class SuperviseMode(StrEnum):
    """How to supervise. Source: Twilio docs, Participant resource, `Coaching`."""

    #: The supervisor hears everyone; no one hears the supervisor.
    MONITOR = "monitor"
    #: Only the agent hears the supervisor.
    WHISPER = "whisper"
    #: Everyone hears the supervisor.
    BARGE = "barge"


class ParticipantUpdate(StrEnum):
    """Updates that Conferral requests for a participant, one at a time."""

    HOLD = "hold"
    UNHOLD = "unhold"
    #: Set or clear `EndConferenceOnExit`: whether the party's leaving ends the conference.
    SET_END_ON_EXIT = "set-end-on-exit"
    CLEAR_END_ON_EXIT = "clear-end-on-exit"
    MUTE = "mute"
    UNMUTE = "unmute"
    #: Supervisors only: who hears the supervisor.
    MONITOR = "monitor"
    WHISPER = "whisper"
    BARGE = "barge"


END_ON_EXIT_UPDATES = frozenset({ParticipantUpdate.SET_END_ON_EXIT, ParticipantUpdate.CLEAR_END_ON_EXIT})


class RecordAction(StrEnum):
    """Actions of the `record` command."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


class RecordingStatus(StrEnum):
    """Status of a recording. Source: Twilio docs, Recordings resource."""

    IN_PROGRESS = "in-progress"
    PAUSED = "paused"
    STOPPED = "stopped"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ABSENT = "absent"
    FAILED = "failed"


#: Twilio has finished it: there is a file, or none.
FINAL_RECORDING_STATUSES = frozenset({RecordingStatus.COMPLETED, RecordingStatus.ABSENT, RecordingStatus.FAILED})


class SessionMode(StrEnum):
    """How a session first connects its calls, as in the `call` command."""

    BRIDGE = "bridge"
    CONFERENCE = "conference"


class Opening(StrEnum):
    """What a conference used from the start still waits for. Internal."""

    #: The waiting party's own phone is still being dialed (`call` with mode `conference`).
    CALLING = "calling"
    #: The waiting party is on the way into the conference.
    ARRIVING = "arriving"
    #: The other party is being dialed. Not `dialing`, as a transfer's stage: members of a `StrEnum` equal their text.
    DIALING = "dialing-party"
    OVER = ""


class TransferStatus(StrEnum):
    """Status of a transfer, as `transfer.status` shows it."""

    DIALING = "dialing"
    RINGING = "ringing"
    CONFIRMING = "confirming"
    #: Agent and target talk, or, after a swap, agent and customer.
    CONSULTING = "consulting"
    MERGED = "merged"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TransferStage(StrEnum):
    """What a transfer waits for. Internal: `transfer.status` is public."""

    #: Customer and agent join the conference.
    CONVERTING = "converting"
    #: Twilio confirms that the conference survives the agent's leaving (`EndConferenceOnExit` cleared).
    CLEARING_END_ON_EXIT = "clearing-end-on-exit"
    #: Twilio confirms that the customer is on hold; for a consult, also that the conference's recording is paused.
    HOLDING_CUSTOMER = "holding-customer"
    #: The customer moves from the bridge into the conference. After a loss, a read may have to show that they live.
    MOVING_CUSTOMER = "moving-customer"
    #: A dialed target joins.
    DIALING = "dialing"
    #: The target has joined, and the agent completes, cancels, swaps, or merges.
    TALKING = "talking"
    #: The agent who parks the call leaves.
    PARKING = "parking"
    #: Twilio confirms the hold of the party that a swap puts on hold.
    HOLDING_FOR_SWAP = "holding-for-swap"
    #: Twilio confirms that those who talk next, after a swap or a merge, are off hold.
    UNHOLDING = "unholding"
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
    #: Nothing: the customer has no one to talk to, and the next place of the fallback follows immediately.
    FALLING_BACK = "falling-back"
    #: The customer has recorded a message, or hung up.
    LEAVING_MESSAGE = "leaving-message"
    #: The pause before the next recall is over.
    WAITING_TO_RECALL = "waiting-to-recall"
    #: Nothing: the transfer is over.
    OVER = "over"


class Place(StrEnum):
    """Places of a fallback other than a destination's address."""

    #: The agent who handed over, rung up to `Policy.recalls_max` times.
    RECALL = "recall"
    #: The caller waits until a desk of the number is free.
    QUEUE = "queue"
    #: The customer leaves a message.
    VOICEMAIL = "voicemail"
    #: A message, then hang-up: also what follows the last place.
    END = "end"


class UnsettledName(StrEnum):
    """Names of what a read may settle, as stored sessions have them.

    `table.unsettled` has the rows.
    """

    SUSPICION = "suspicion"
    LOSS = "loss"
    CALL_LEFT_OUT = "call-left-out"
    LINGERING_PARTY = "lingering-party"
    OLD_SESSION = "old-session"
    LEG_OUTSIDE = "leg-outside"
    PARENT_WITHOUT_CHILD = "parent-without-child"
    ABSENT_PARTY = "absent-party"
    OPEN_UPDATE = "open-update"
    UNDONE_HOLD = "undone-hold"
    UNPROVEN_ANSWER = "unproven-answer"
    UNSEEN_ARRIVAL = "unseen-arrival"
    RINGING_DIAL = "ringing-dial"
    UNCERTAIN_LONELINESS = "uncertain-loneliness"
    MISSING_LEG = "missing-leg"
    MESSAGE_TO_COME = "message-to-come"

    def key(self, about: str) -> str:
        """Return the key of one such thing in `Session.unsettled_since_ms`."""
        return f"{self} {about}"


class OutcomeKind(StrEnum):
    """What an outcome is about."""

    TRANSFER = "transfer"
    SESSION = "session"
    VOICEMAIL = "voicemail"
    RECORDING = "recording"


class WaitAudio(StrEnum):
    """What a waiting party hears."""

    RINGBACK = "ringback"
    MUSIC = "music"
    #: Nothing, but Twilio requests our document, so that a lost join is noticed.
    SILENCE = "silence"
    NONE = ""


class CallStatus(StrEnum):
    """Status of a call. Source: Twilio docs, Call resource."""

    QUEUED = "queued"
    #: Only in callbacks. Source: Twilio docs, Call resource, `StatusCallbackEvent`.
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"


#: A call's status never changes after these; a different one is late.
FINAL_CALL_STATUSES = frozenset(
    {CallStatus.COMPLETED, CallStatus.BUSY, CallStatus.FAILED, CallStatus.NO_ANSWER, CallStatus.CANCELED}
)
#: DialCallStatus of a `<Dial>` that was answered. Source: Twilio docs, TwiML `<Dial>`, DialCallStatus.
ANSWERED_DIAL_STATUSES = frozenset({"completed", "answered"})
#: That of one that no one answered; `canceled` was intended.
UNREACHED_DIAL_STATUSES = frozenset({CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.FAILED})
