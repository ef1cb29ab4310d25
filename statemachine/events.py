"""What can happen to a session: facts from Twilio, what came of effects and timers, and operators' commands.

Everything that is decided is one of these, and each was an entry of the session's partition stream first. The wire name
stands next to its class (`name`). Facts are nouns with a past participle, commands bare imperatives.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from statemachine.states import FINAL_CALL_STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event carries."""

    name: ClassVar[str] = ""

    #: The session's id, also the conference's friendly name.
    session_id: str
    #: Id of the stream entry that brought it, `MILLISECONDS-COUNT`; set by whoever reads the stream.
    entry_id: str = ""
    #: Names this very event, so that a repetition is recognised; empty when `sequence` does.
    token: str = ""
    #: SID of the call or conference that counts `sequence`.
    source: str = ""
    #: Twilio's SequenceNumber: calls count from 0, conferences from 1; None where Twilio sends none.
    sequence: int | None = None
    #: When it happened by Twilio's account, Unix milliseconds; 0 when not told.
    occurred_at_ms: int = 0


# ---- facts from Twilio: calls ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReceived(Event):
    """An inbound call asked for its document and was answered with a `<Dial>` to the agent."""

    name: ClassVar[str] = "call_received"

    call_sid: str
    #: The caller as Twilio names it: E.164, `client:`, `sip:` or a word such as `anonymous`.
    customer_address: str
    #: Whom the `<Dial>` rings.
    agent_address: str
    #: With it the caller's number may be shown to others. Contains a number; empty where Twilio sends none.
    #: Source: Twilio docs, Call resource, `CallToken`.
    call_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallProgressed(Event):
    """A call's status callback. Source: Twilio docs, Call resource, `StatusCallback`."""

    name: ClassVar[str] = "call_progressed"

    #: The party whose call it is, as the callback URL says; empty where the URL names none.
    party: str
    call_sid: str
    #: Twilio's CallStatus, in its own words; unknown words are kept.
    status: str
    #: SIP response code of the end, 0 when absent: tells a refusal (603) from busy (486).
    sip_response_code: int = 0
    #: The address of the party, for sessions that have to be rebuilt from callbacks.
    address: str = ""
    #: The caller's address, likewise.
    customer_address: str = ""
    #: Id of the dial that made the call, as the callback URL says; empty for calls that were not placed by REST.
    dial: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the call is over."""
        return self.status in FINAL_CALL_STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class DialEnded(Event):
    """A `<Dial>` of ours ended and its action URL was asked. Source: Twilio docs, TwiML `<Dial>`, `action`."""

    name: ClassVar[str] = "dial_ended"

    #: The party whose `<Dial>` it was.
    party: str
    call_sid: str
    #: `bridge` for the first `<Dial>` to the agent, `conference` for one into the conference.
    dial: str
    #: DialCallStatus in Twilio's words.
    dial_call_status: str
    #: CallStatus of the party's own call: final when it hung up first.
    call_status: str
    #: Twilio was asked, and said that the other side lives on: it was moved, so this party follows it.
    other_side_lives: bool = False

    @property
    def party_is_gone(self) -> bool:
        """Whether the party's own call is over, so that the answer to the action is ignored."""
        return self.call_status in FINAL_CALL_STATUSES


# ---- facts from Twilio: the conference ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceEvent(Event):
    """What the conference callbacks have in common. Source: Twilio docs, TwiML `<Conference>`, statusCallbackEvent."""

    conference_sid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceStarted(ConferenceEvent):
    """Two are in. A bonus only: joins are what counts."""

    name: ClassVar[str] = "conference_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceEnded(ConferenceEvent):
    """The conference is over; its name may be used again by another one."""

    name: ClassVar[str] = "conference_ended"

    #: ReasonConferenceEnded in Twilio's words.
    conference_reason: str = ""
    #: The call whose leaving ended it, when it was one.
    call_sid_ending: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantJoined(ConferenceEvent):
    """A call is in the conference."""

    name: ClassVar[str] = "participant_joined"

    call_sid: str
    #: Participant label; tells the party when the call's SID is not known yet.
    label: str = ""
    #: StartConferenceOnEnter: false for somebody who waits.
    starts_conference: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantLeft(ConferenceEvent):
    """A call is no longer in the conference; whether it is over stands in `call_status`."""

    name: ClassVar[str] = "participant_left"

    call_sid: str
    label: str = ""
    #: ParticipantCallStatus: `in-progress` when the call went on to other TwiML.
    call_status: str = ""
    #: ReasonParticipantLeft in Twilio's words.
    left_reason: str = ""

    @property
    def hung_up(self) -> bool:
        """Whether the call itself is over, by its status or by the reason."""
        return self.call_status in FINAL_CALL_STATUSES or self.left_reason == "participant_hung_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantChanged(ConferenceEvent):
    """A participant was held, unheld, muted, unmuted or given other flags; carries how it is now."""

    name: ClassVar[str] = "participant_changed"

    call_sid: str
    label: str = ""
    #: StatusCallbackEvent in Twilio's words: `participant-hold`, `participant-modify`...
    kind: str = ""
    held: bool = False
    muted: bool = False
    #: EndConferenceOnExit.
    ends_conference: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceNoted(ConferenceEvent):
    """A conference event that decides nothing in this version: kept for the log, whatever its name."""

    name: ClassVar[str] = "conference_noted"

    #: StatusCallbackEvent in Twilio's words.
    kind: str
    call_sid: str = ""


# ---- facts from our gate ----------------------------------------------------------------------------------------


class GateDecision(StrEnum):
    """What became of a dialled call at our gate."""

    #: It joins.
    ACCEPTED = "accepted"
    #: Another key than 1 was pressed.
    REJECTED = "rejected"
    #: No key was pressed.
    NO_CONFIRMATION = "no-confirmation"
    #: Somebody else who rang at the same time has taken the call.
    TAKEN = "taken"
    #: Nobody waits for it any more.
    TOO_LATE = "too-late"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReached(Event):
    """A call that was placed by REST was answered and asks at our gate for its document."""

    name: ClassVar[str] = "gate_reached"

    #: Id of the dial.
    dial: str
    call_sid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecided(Event):
    """The gate has let a call in, or has turned it away."""

    name: ClassVar[str] = "gate_decided"

    dial: str
    call_sid: str
    #: One of `GateDecision`.
    decision: str


# ---- what came of effects and timers -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectOutcome(Event):
    """What the three outcomes of an effect have in common."""

    effect_id: str
    #: The effect's kind, for instance `redirect_call`.
    kind: str
    #: The party concerned, empty when none is.
    party: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectSucceeded(EffectOutcome):
    """Twilio did what was asked."""

    name: ClassVar[str] = "effect_succeeded"

    #: Of a dial: the call that was placed, or found. Empty for everything else, and where a search found none.
    call_sid: str = ""
    #: Of a dial: how long Twilio expects to keep it waiting, milliseconds.
    queue_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectFailed(EffectOutcome):
    """Twilio refused, for good: what was asked has not happened."""

    name: ClassVar[str] = "effect_failed"

    #: HTTP status, 0 when there was no answer.
    http_status: int = 0
    #: Twilio's error code, 0 when it named none.
    code: int = 0
    #: The call or conference no longer exists or is over (20404, 21220).
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectUnknown(EffectOutcome):
    """Nobody can say whether it happened: time ran out, and looking did not help."""

    name: ClassVar[str] = "effect_unknown"


@dataclass(frozen=True, slots=True)
class CallSeen:
    """One call as a read found it."""

    call_sid: str
    #: Status in Twilio's words.
    status: str
    #: SID of the call whose `<Dial>` made it, empty for the parent itself.
    parent_call_sid: str = ""
    #: Whom it was placed to, as Twilio names it.
    to: str = ""


@dataclass(frozen=True, slots=True)
class ParticipantSeen:
    """One participant as a read found it."""

    call_sid: str
    label: str = ""
    held: bool = False
    muted: bool = False
    #: EndConferenceOnExit.
    ends_conference: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsRead(Event):
    """The session's calls and its conference as Twilio's REST API showed them."""

    name: ClassVar[str] = "calls_read"

    effect_id: str
    #: The session's version from before the first read: facts that changed since are newer than this picture.
    read_version: int
    calls: tuple[CallSeen, ...]
    #: The live conference of the session, empty when there is none or none was asked for.
    conference_sid: str = ""
    participants: tuple[ParticipantSeen, ...] = ()

    def status_of(self, call_sid: str) -> str:
        """A call's status, empty when the read did not show the call."""
        return next((call.status for call in self.calls if call.call_sid == call_sid), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerExpired(Event):
    """What timers have in common; each timer is an event of its own below, so that the table can name it."""

    timer: ClassVar[str] = ""

    #: When it was due, Unix milliseconds: a timer that was set again since is told by it.
    due_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RingOverdue(TimerExpired):
    """The agent should have answered or failed by now, and nothing was heard."""

    name: ClassVar[str] = "ring_overdue"
    timer: ClassVar[str] = "ring"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOverdue(TimerExpired):
    """One side of the bridge is over and the other side's callback is still missing."""

    name: ClassVar[str] = "leave_overdue"
    timer: ClassVar[str] = "leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOverdue(TimerExpired):
    """The two are not both in the conference after `CONFERRAL_CONVERT_TIMEOUT`."""

    name: ClassVar[str] = "convert_overdue"
    timer: ClassVar[str] = "convert"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOverdue(TimerExpired):
    """The repair of a conversion did not help either."""

    name: ClassVar[str] = "repair_overdue"
    timer: ClassVar[str] = "repair"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneOverdue(TimerExpired):
    """One participant has been alone for `CONFERRAL_LONE_GRACE`."""

    name: ClassVar[str] = "lone_overdue"
    timer: ClassVar[str] = "lone"


@dataclass(frozen=True, slots=True, kw_only=True)
class DialOverdue(TimerExpired):
    """Of somebody who was dialled by REST nothing was heard for too long."""

    name: ClassVar[str] = "dial_overdue"
    timer: ClassVar[str] = "dial"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmOverdue(TimerExpired):
    """A hold, an unhold or a flag was asked for and Twilio's callback is missing."""

    name: ClassVar[str] = "confirm_overdue"
    timer: ClassVar[str] = "confirm"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOverdue(TimerExpired):
    """What a transfer waits for has not come."""

    name: ClassVar[str] = "stage_overdue"
    timer: ClassVar[str] = "stage"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeOverdue(TimerExpired):
    """The session is older than a day."""

    name: ClassVar[str] = "age_overdue"
    timer: ClassVar[str] = "age"


# ---- operators' commands -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Event):
    """What commands have in common. Their `token` is the command's id."""

    @property
    def command_id(self) -> str:
        """The id under which the outcome is kept."""
        return self.token


@dataclass(frozen=True, slots=True, kw_only=True)
class Convert(Command):
    """Move the bridged call into a conference; neither party notices."""

    name: ClassVar[str] = "convert"


@dataclass(frozen=True, slots=True, kw_only=True)
class End(Command):
    """Hang everybody up."""

    name: ClassVar[str] = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Command):
    """Call the agent first, then the customer: opens a session."""

    name: ClassVar[str] = "call"

    agent: str
    customer: str
    #: `bridge`: by an ordinary `<Dial>`, which can be converted later.
    mode: str = "bridge"
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Command):
    """Hand the customer over to somebody else."""

    name: ClassVar[str] = "transfer"

    #: Destinations, comma-separated; all ring, the first to take it wins.
    to: str
    #: One of `TransferMode`.
    mode: str
    brief: str = ""
    confirm: bool = False
    timeout_s: int = 0
    digits: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete(Command):
    """The agent leaves, customer and target stay."""

    name: ClassVar[str] = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Command):
    """The target leaves or stops ringing, agent and customer go on."""

    name: ClassVar[str] = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap(Command):
    """In a consult: whom the agent talks to changes."""

    name: ClassVar[str] = "swap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge(Command):
    """In a consult: all three talk."""

    name: ClassVar[str] = "merge"


# ---- not an event of the world -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Always(Event):
    """Stands in the table for "as soon as this holds": asked after every event that was taken, never stored.

    Source: W3C, State Chart XML, section 3.13 (eventless transitions).
    """

    name: ClassVar[str] = "always"


FACTS: tuple[type[Event], ...] = (
    CallReceived, CallProgressed, DialEnded,
    ConferenceStarted, ConferenceEnded, ParticipantJoined, ParticipantLeft, ParticipantChanged, ConferenceNoted,
    GateReached, GateDecided,
)  # fmt: skip
OUTCOMES: tuple[type[Event], ...] = (EffectSucceeded, EffectFailed, EffectUnknown, CallsRead)
TIMERS: tuple[type[TimerExpired], ...] = (
    RingOverdue, LeaveOverdue, ConvertOverdue, RepairOverdue, LoneOverdue, DialOverdue, ConfirmOverdue, StageOverdue,
    AgeOverdue,
)  # fmt: skip
COMMANDS: tuple[type[Command], ...] = (Call, Convert, Transfer, Complete, Cancel, Swap, Merge, End)
#: Every event that a session can meet, in the order in which docs list them.
EVENTS: tuple[type[Event], ...] = (*FACTS, *OUTCOMES, *TIMERS, *COMMANDS)
