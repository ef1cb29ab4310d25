"""Facts from Twilio: calls, `<Dial>` actions, conferences, and our gate."""

from enum import StrEnum
from typing import ClassVar

from conferral.statemachine.events.base import Event
from conferral.statemachine.parts import (
    DEFAULT_ATTRIBUTES,
    NO_QUEUE,
    ConferenceAttributes,
    DialOptions,
    QueueOptions,
)
from conferral.statemachine.record import Hidden
from conferral.statemachine.states import FINAL_CALL_STATUSES, UNREACHED_DIAL_STATUSES, CallStatus

#: SIP responses that mean a refusal rather than busy. Source: RFC 3261, section 21.6.2 (603); RFC 8197 (607).
_REFUSALS = frozenset({603, 607})
#: "Busy everywhere" of a phone (RFC 3261, section 21.6.1), but how a browser rejects.
_BUSY_EVERYWHERE = 600
#: How long Twilio lets a call or a `<Dial>` last by default. Source: Twilio docs, TwiML `<Dial>`, `timeLimit`.
_TIME_LIMIT_S = 14_400


def _is_time_limit(duration_s: int) -> bool:
    return abs(duration_s - _TIME_LIMIT_S) <= 1  # Twilio reports whole seconds


class CallReceived(Event, frozen=True, kw_only=True):
    """An inbound call fetched its document and got a `<Dial>` to the agent."""

    logged: ClassVar[tuple[str, ...]] = ("mode", "handed_off", "closed")

    call_sid: str
    #: The caller as Twilio names it: E.164, `client:`, `sip:`, or a word such as `anonymous`.
    customer_address: Hidden[str]
    agent_address: Hidden[str]
    #: Whether the customer's address is a number that others may be shown.
    has_caller_id: bool = False
    #: Allows showing the caller's number to others; contains a number. Source: Twilio docs, Call resource, `CallToken`.
    call_token: Hidden[str] = ""
    #: E.164; empty if it is `TWILIO_NUMBER` or not a number.
    called_number: Hidden[str] = ""
    #: A `SessionMode`; `conference` if the caller waits in a conference and no `<Dial>` rings the agent.
    mode: str = "bridge"
    #: The agents to ring next, in order, if this one fails.
    other_agents: Hidden[tuple[str, ...]] = ()
    #: How many of all these, from the first on, are away, and skipped.
    away: int = 0
    #: How agents are ordered before each is rung: see `presence`.
    agent_order: str = ""
    #: `outbound` if your app placed the call that it hands over.
    direction: str = "inbound"
    handed_off: bool = False
    #: Your own reference.
    ref: str = ""
    #: How to dial the agents; only phones are asked to confirm.
    options: DialOptions = DialOptions()
    #: What the directory sets for the called number.
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES
    #: Where the caller goes if no agent takes the call: see `Policy.fallback`. Empty for `end`.
    fallback: Hidden[tuple[str, ...]] = ()
    #: The call came outside the number's hours: no agent is rung.
    closed: bool = False
    #: Others wait for the number, so the caller begins in the queue, which is one of the places: no agent is rung.
    begins_in_queue: bool = False
    queue: QueueOptions = NO_QUEUE
    #: Calls of the same caller's earlier visits; Twilio lists them among those that a `<Dial>` made.
    former_calls: tuple[str, ...] = ()


class ClientCallReceived(Event, frozen=True, kw_only=True):
    """A browser or app user called someone, and waits in a conference."""

    call_sid: str
    agent_address: Hidden[str]
    customer_address: Hidden[str]
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES


class CallProgressed(Event, frozen=True, kw_only=True):
    """A call's status callback. Source: Twilio docs, Call resource."""

    logged: ClassVar[tuple[str, ...]] = ("desk", "signed_out")

    #: The party's name, from the callback URL; empty if the URL has none.
    party: str
    call_sid: str
    #: CallStatus in Twilio's words; unknown words are kept.
    status: str
    #: 0 if absent. Distinguishes a refusal (603; of a browser, 600) from busy (486).
    sip_response_code: int = 0
    #: How long the call lasted, in whole seconds; 0 before its end, or if Twilio does not say.
    duration_s: int = 0
    #: When it was over by Twilio's clock, whole Unix seconds; tells who left first. 0 before, or if Twilio is silent.
    ended_s: int = 0
    #: The party's and the caller's address, for rebuilding a session from callbacks.
    address: Hidden[str] = ""
    customer_address: Hidden[str] = ""
    #: Id of the dial, from the callback URL; empty for calls not placed by REST.
    dial: str = ""
    #: Index of the agent that a `<Dial>` rings, from 0.
    agent_number: int = 0
    #: An answer only: whether the identity has a desk.
    desk: bool = False
    #: Of Conferral's own, after an answer: the desk's sign-in is over, so its leg is no desk's any more.
    signed_out: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the call is over."""
        return self.status in FINAL_CALL_STATUSES

    @property
    def reported_status(self) -> str:
        """The status, but `rejected` for a refusal, which Twilio calls `busy`."""
        code = self.sip_response_code
        is_refusal = code in _REFUSALS or (code == _BUSY_EVERYWHERE and self.address.startswith("client:"))
        return "rejected" if is_refusal and self.is_final else self.status

    @property
    def reached_time_limit(self) -> bool:
        """Whether Twilio ended the call, which was as long as it may be."""
        return self.status == CallStatus.COMPLETED and _is_time_limit(self.duration_s)


class DialEnded(Event, frozen=True, kw_only=True):
    """A `<Dial>` of Conferral's ended. Source: Twilio docs, `<Dial>` `action`."""

    logged: ClassVar[tuple[str, ...]] = ("dial_kind", "code")

    party: str
    call_sid: str
    #: `bridge` if the `<Dial>` rang the other party, `conference` if it joined the conference.
    dial_kind: str
    dial_call_status: str
    #: Of the party's own call; final if it hung up first.
    call_status: str
    #: Bridge only: index of the agent that it rang, from 0.
    agent_number: int = 0
    #: The dial failed immediately with the caller's number; a phone is redialed with Conferral's number.
    failed_with_callers_number: bool = False
    #: Twilio's error code, if the `<Dial>` failed and the request has one; else 0. Undocumented, so only shown.
    code: int = 0
    #: Bridge only: the agents after it in the order in which they are rung now; empty for the order as it is.
    next_agents: Hidden[tuple[str, ...]] = ()
    #: How many of these, from the first on, are away, and skipped.
    away: int = 0
    #: Bridge only: how long the other party's call lasted, in whole seconds; 0 if Twilio does not say.
    duration_s: int = 0

    @property
    def code_text(self) -> str:
        """The error code as outcomes state it; empty without one."""
        return str(self.code or "")

    @property
    def reached_time_limit(self) -> bool:
        """Whether Twilio ended the bridge, which was as long as it may be."""
        return self.dial_call_status == CallStatus.COMPLETED and _is_time_limit(self.duration_s)

    @property
    def party_is_gone(self) -> bool:
        """Whether the party's own call is over: Twilio ignores the answer."""
        return self.call_status in FINAL_CALL_STATUSES

    @property
    def reached_no_one(self) -> bool:
        """Whether no one took the call, and the party is still there."""
        return self.dial_call_status in UNREACHED_DIAL_STATUSES and not self.party_is_gone


# ---- facts from the gate (call screening of a dialed call) ---------------------------------------------------------


class GateDecision(StrEnum):
    """What the gate decided about a dialed call."""

    #: The call joins the conference.
    ACCEPTED = "accepted"
    #: The party pressed `REJECT_DIGIT`.
    REJECTED = "rejected"
    #: The party pressed no key.
    NO_CONFIRMATION = "no-confirmation"
    #: Twilio detected an answering machine, or a fax.
    ANSWERING_MACHINE = "answering-machine"
    #: Another party of the ring group has taken the call.
    TAKEN = "taken"
    #: No one is waiting for this call anymore.
    TOO_LATE = "too-late"


class GateReached(Event, frozen=True, kw_only=True):
    """A call placed by REST was answered and fetched the gate's document."""

    #: Id of the dial; of a bridge's `<Dial>`, `agent-` and the agent's index.
    dial: str
    call_sid: str


class GateDecided(Event, frozen=True, kw_only=True):
    """The gate admitted a call or turned it away."""

    logged: ClassVar[tuple[str, ...]] = ("decision",)

    dial: str
    call_sid: str
    #: A `GateDecision`.
    decision: str


DialedCallEvent = CallProgressed | GateReached | GateDecided


# ---- facts from Twilio about the conference and its participants ---------------------------------------------------


class ConferenceEvent(Event, frozen=True, kw_only=True):
    """Base of conference callbacks. Source: Twilio docs, `<Conference>`."""

    conference_sid: str
    #: JSON of the parameters that this version does not know, for the log.
    other: str = ""


class ConferenceStarted(ConferenceEvent, frozen=True):
    """The conference has started: two participants are in it."""


class ConferenceEnded(ConferenceEvent, frozen=True, kw_only=True):
    """The conference is over; Twilio may reuse its name for another one."""

    logged: ClassVar[tuple[str, ...]] = ("conference_reason", "label_ending")

    #: ReasonConferenceEnded.
    conference_reason: str = ""
    #: ParticipantLabelEndingConference, of the call below.
    label_ending: str = ""
    #: SID of the call whose leaving ended it, if one did.
    call_sid_ending: str = ""


class ParticipantJoined(ConferenceEvent, frozen=True, kw_only=True):
    """A call joined the conference."""

    call_sid: str
    #: Identifies the party while the call SID is unknown.
    label: str = ""
    #: StartConferenceOnEnter: false for a party that waits.
    start_on_enter: bool = True
    muted: bool = False


class ParticipantLeft(ConferenceEvent, frozen=True, kw_only=True):
    """A call left the conference; `call_status` says whether the call is over."""

    logged: ClassVar[tuple[str, ...]] = ("left_reason",)

    call_sid: str
    label: str = ""
    #: ParticipantCallStatus: `in-progress` if the call continued with other TwiML.
    call_status: str = ""
    #: ReasonParticipantLeft.
    left_reason: str = ""
    #: By Twilio's clock, as `CallProgressed.ended_s`.
    left_s: int = 0

    @property
    def hung_up(self) -> bool:
        """Whether the call itself is over, by its status or the reason."""
        return self.call_status in FINAL_CALL_STATUSES or self.left_reason == "participant_hung_up"

    @property
    def call_continues(self) -> bool:
        """Whether the call is in progress: its `<Dial>` action decides the rest."""
        return self.call_status == CallStatus.IN_PROGRESS


class ParticipantChanged(ConferenceEvent, frozen=True, kw_only=True):
    """A participant was held, muted, or modified; has the current values."""

    logged: ClassVar[tuple[str, ...]] = ("kind", "held", "muted", "end_on_exit")

    call_sid: str
    label: str = ""
    #: StatusCallbackEvent in Twilio's words: `participant-hold`, `participant-modify`...
    kind: str = ""
    held: bool = False
    muted: bool = False
    end_on_exit: bool = False
    #: SID of the call that this one coaches; empty for none.
    coaches: str = ""


class AnnouncementEnded(ConferenceEvent, frozen=True, kw_only=True):
    """An announcement finished or failed."""

    logged: ClassVar[tuple[str, ...]] = ("failed", "reason")

    #: SID of the participant's call that heard it; empty if the whole conference did.
    call_sid: str = ""
    #: Id of the `announce` or `press` command whose text or digits it plays; empty for other audio.
    command: str = ""
    #: URL of the audio; empty for a text, or if Twilio does not send it.
    url: Hidden[str] = ""
    failed: bool = False
    #: ReasonAnnouncementFailed.
    reason: str = ""


class ConferenceEventIgnored(ConferenceEvent, frozen=True, kw_only=True):
    """A conference event that has no effect in this version; only logged."""

    logged: ClassVar[tuple[str, ...]] = ("kind",)
    ignored_because: ClassVar[str] = "no row of the table uses it in any state; it is only logged"

    #: StatusCallbackEvent in Twilio's words.
    kind: str
    call_sid: str = ""


class RecordingChanged(Event, frozen=True, kw_only=True):
    """A recording's status callback. Source: Twilio docs, Recordings."""

    logged: ClassVar[tuple[str, ...]] = ("recording_sid", "status", "of_conference", "of_voicemail", "duration_s")

    recording_sid: str
    #: RecordingStatus in Twilio's words.
    status: str
    #: Whether `RecordingSource` is `Conference`.
    of_conference: bool = False
    #: Whether it is a message left in the voicemail: `RecordingSource` is `RecordVerb`.
    of_voicemail: bool = False
    #: Empty for a conference.
    call_sid: str = ""
    conference_sid: str = ""
    url: str = ""
    #: 0 before the end.
    duration_s: int = 0
    channels: int = 0
    #: By Twilio's clock; 0 if unknown.
    started_at_ms: int = 0
    #: Twilio's error code that says why there is no file; 0 if there is one.
    code: int = 0
    #: JSON of the parameters that this version does not know, for the log.
    other: str = ""
