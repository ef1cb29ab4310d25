"""A session: the whole memory of one conversation. Frozen; a change is a new one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.deduplication import SeenEvents
from conferral.statemachine.pending_command import PendingCommand, Recording
from conferral.statemachine.states import Opening, PartyStatus, Phase, SessionMode, State, WaitAudio
from conferral.statemachine.transfer import DialOptions, TransferState

#: The two parties of a bridged call, by the names that commands and keys use.
CUSTOMER = "customer"
AGENT = "agent"
#: Whom a running transfer dials; several are `target-1`, `target-2`... until one of them takes it.
TARGET = "target"
#: Who listens in, or helps the agent; one at a time.
SUPERVISOR = "supervisor"

#: Calls in the conference that are none of ours, or whose name is not known: `guest-1`, `guest-2`...
GUEST = "guest"

INBOUND = "inbound"
OUTBOUND = "outbound"


def first_label(party: str) -> str:
    """The participant label of a party's first leg. It is fixed, so that a webhook can join a leg without Redis."""
    return f"{party}-1"


class ParticipantUpdate(StrEnum):
    """What can be asked of Twilio about a participant, one at a time."""

    HOLD = "hold"
    UNHOLD = "unhold"
    #: That leaving ends the conference (`EndConferenceOnExit`), and that it does not.
    SET_END_ON_EXIT = "set-end-on-exit"
    CLEAR_END_ON_EXIT = "clear-end-on-exit"
    MUTE = "mute"
    UNMUTE = "unmute"
    #: Of a supervisor: what it is heard by.
    MONITOR = "monitor"
    WHISPER = "whisper"
    BARGE = "barge"


#: What sets EndConferenceOnExit.
END_ON_EXIT_UPDATES = frozenset({ParticipantUpdate.SET_END_ON_EXIT, ParticipantUpdate.CLEAR_END_ON_EXIT})


@dataclass(frozen=True, slots=True)
class Party:
    """One of those who take part."""

    name: str
    #: Participant label in Twilio: unique within the session, never used for another leg.
    label: str
    call_sid: str = ""
    #: E.164, `client:NAME`, `sip:URI`, or what Twilio says of a caller who withholds the number.
    address: str = field(default="", repr=False)
    status: PartyStatus = PartyStatus.DIALING
    held: bool = False
    muted: bool = False
    #: Why the party left, in Twilio's words where Twilio said so.
    left_reason: str = ""
    #: The how manyth to leave, 0 while it is there (count).
    departure_number: int = 0
    #: Whether the conference's callbacks or a read say that the party is in it.
    in_conference: bool = False
    #: SequenceNumber of the newest conference event taken for this party: older ones change nothing.
    conference_sequence: int = -1

    #: Id of the dial that brings this party in: the id of the effect that ordered it; empty for legs that came in or
    #: were dialled by TwiML.
    dial_id: str = ""
    #: Whether our gate stands between the answer and the conference (`Calls.create`), or not (`Participants.create`).
    is_gated: bool = False
    #: Whether those inside hear it ring (`EarlyMedia`): then a join does not prove an answer.
    early_media: bool = False
    #: Said at the gate; empty for nothing.
    brief: str = ""
    #: Why an agent who is rung again is: said at the gate. Empty for everybody else.
    recall_reason: str = ""
    #: Whether 1 has to be pressed at the gate.
    confirm: bool = False
    #: How long the phone may ring, seconds.
    ring_timeout_s: int = 0
    #: DTMF sent after the answer.
    digits: str = ""
    #: Those who ring at the same time and of whom the first takes it share this word; empty for whoever rings alone.
    ring_group: str = ""
    #: Whether the dialled call was answered. A join alone does not prove it: early media may count as one.
    answered: bool = False
    #: When that was learnt, Unix milliseconds.
    answered_at_ms: int = 0
    #: When it was ordered, Unix milliseconds.
    dialed_at_ms: int = 0
    #: When the dial is looked after because nothing was heard, Unix milliseconds; 0 for never.
    dial_check_at_ms: int = 0
    #: `unknown` while nobody knows whether the call was placed, `searched` once it is searched for, `rolled-back` if
    #: Redis may have lost that it was; `looked` once an overdue one was looked at; `refused` by an ended conference.
    dial_check: str = ""
    #: The number shown to the dialled party: empty for `TWILIO_NUMBER`.
    caller_id: str = field(default="", repr=False)
    #: Twilio refused the dial with another caller ID, so this one is the last.
    caller_id_refused: bool = False

    #: The party is to be out: its calls' `<Dial>` actions are answered with `<Hangup/>`.
    is_leaving: bool = False
    #: What the party hears while it waits alone or is held.
    wait_audio: WaitAudio = WaitAudio.NONE
    #: In the room without having started it (`startConferenceOnEnter=false`): hears its tune until somebody else joins.
    waits_for_start: bool = False
    #: Whether the party shall be on hold; `held` says what Twilio has confirmed.
    desired_hold: bool = False
    #: Whether the party's leaving shall end the conference; `end_on_exit` says what Twilio has confirmed.
    desired_end_on_exit: bool = False
    end_on_exit: bool = False
    #: Whether the party shall be muted; `muted` says what Twilio has confirmed. Not of supervisors.
    desired_mute: bool = False
    #: Of a supervisor: what was asked for, one of `SuperviseMode`. Empty for everybody else, and once he has left.
    supervises: str = ""
    #: SID of the call that the supervisor coaches, as Twilio has confirmed it; empty for none.
    coaches: str = ""
    #: Updates of a supervisor that Twilio refused, in a row (count).
    refused_updates: int = 0
    #: What was asked of Twilio for this party and is not confirmed by a callback or a look: one of `Ask`, or empty.
    pending_update: str = ""
    #: When that was, Unix milliseconds: a callback of an earlier time does not tell what came of it.
    pending_since_ms: int = 0
    #: Since when it has been on hold, Unix milliseconds; 0 while it is not.
    held_since_ms: int = 0
    #: Id of the effect that asks for it, empty once that has an outcome.
    update_effect_id: str = ""
    #: When a conversion's repair asked Twilio to move it, or heard of that last, Unix milliseconds; 0 while none has.
    repair_moved_at_ms: int = 0
    #: The `<Dial>` that led it into the conference has ended once, and the action's document leads it there again.
    has_rejoined: bool = False
    #: None of ours, and muted when a look has found it: no company for as long as it is muted.
    is_muted_guest: bool = False
    #: Its hang-up was ordered, or comes with the answer to its `<Dial>`'s action.
    hang_up_requested: bool = False
    #: Id of the effect that hangs it up, empty once that has an outcome: it may have to wait for a request slot.
    hang_up_effect_id: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether the party's call is over."""
        return self.status is PartyStatus.LEFT

    @property
    def takes_part(self) -> bool:
        """Whether a dialled party was answered and is in the conference."""
        return self.answered and self.in_conference and not self.is_gone

    @property
    def is_supervisor(self) -> bool:
        """Whether the party listens in, or helps the agent: it is no company."""
        return bool(self.supervises)


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation, as far as it is known."""

    id: str
    state: State = State.BRIDGED
    phase: Phase = Phase.RINGING
    #: Grows by one with every committed event; 0 means that the session does not exist yet.
    version: int = 0
    #: `inbound` or `outbound`.
    direction: str = INBOUND
    created_at_ms: int = 0
    updated_at_ms: int = 0
    #: Since when it has been in its state and phase, Unix milliseconds.
    state_since_ms: int = 0
    ended_at_ms: int = 0
    end_reason: str = ""
    conference_sid: str = ""
    #: The conference's friendly name: the session's id, or a name of our own if someone chose the id.
    conference_name: str = ""
    parties: Mapping[str, Party] = field(default_factory=dict)

    #: The newest transfer; None before the first.
    transfer: TransferState | None = None
    #: The newest recording; None before the first.
    recording: Recording | None = None

    #: How the calls were connected first.
    mode: SessionMode = SessionMode.BRIDGE
    #: What a conference from the start still waits for.
    opening: Opening = Opening.OVER
    #: Nobody's leaving ends the conference, until one is left.
    is_group: bool = False
    #: How the conference is set up.
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES
    #: The agents to be tried, in their order: the next is tried when one fails.
    agents: tuple[str, ...] = field(default=(), repr=False)
    #: Which of them is being tried, or has answered, from 0.
    agent_number: int = 0
    #: Commands under way that are no transfers.
    pending_commands: tuple[PendingCommand, ...] = ()
    #: Address of the agent who has parked the call, empty while it is not parked.
    parked_by: str = field(default="", repr=False)
    #: When a parked call goes back to him, Unix milliseconds; 0 while it is not parked, and once it does.
    parked_until_ms: int = 0

    #: How many parties have left (count).
    departures: int = 0
    #: The highest number in a party's name so far, by the name without it: none is given twice.
    name_numbers: Mapping[str, int] = field(default_factory=dict)
    #: How many times somebody was dialled by REST (count): part of the next participant label.
    dials: int = 0
    #: CallToken of the inbound call, with which its number may be shown to others. It contains a number: never logged,
    #: never shown, removed at the end.
    call_token: str = field(default="", repr=False)
    #: The number that was called, E.164: the caller ID of dials. Empty for `TWILIO_NUMBER`.
    called_number: str = field(default="", repr=False)
    #: Id of the `call` command until customer and agent talk.
    call_command_id: str = ""
    #: How the agent of a `call` is dialled.
    options: DialOptions = field(default_factory=DialOptions)
    #: SIDs of legs whose party has been replaced: their late callbacks are no surprise.
    former_calls: tuple[str, ...] = ()
    #: Id of the look at Twilio that has no answer yet; empty when none is open.
    open_read_id: str = ""
    #: When it was ordered, Unix milliseconds.
    open_read_since_ms: int = 0
    #: Another look was wanted meanwhile: it follows as soon as the open one is answered.
    reread_wanted: bool = False
    #: SIDs of calls for which the last look had no room: only these are read next.
    unread_calls: tuple[str, ...] = ()
    #: Twilio has refused an update because the conference is not in progress: nothing is asked of it until it is.
    awaits_conference_start: bool = False
    #: SIDs of conferences that are over, or were left: what is still told of them is late.
    former_conferences: tuple[str, ...] = ()
    #: Up to which SequenceNumber of its conference a look has shown what came of what was not heard.
    verified_sequence: int = 0
    #: Times that somebody was not let go because a look was to tell first who is there, and none has (count).
    presence_reads: int = 0
    #: Looks at a participant whose update Twilio has not confirmed, since it last did (count).
    confirmation_reads: int = 0
    #: Name of the party that left first, empty while nobody has.
    first_to_leave: str = ""
    #: DialCallStatus of the bridge's `<Dial>`, empty while it has not ended.
    dial_call_status: str = ""
    #: The missing leg of a conversion was redirected once already.
    repaired: bool = False
    #: Ids of the redirects whose outcome is not known yet.
    open_redirects: tuple[str, ...] = ()
    #: When a leg was last seen on its way into the conference, Unix milliseconds; 0 while none was.
    moved_at_ms: int = 0
    #: Version at which a fact about a party changed last.
    facts_version: int = 0
    #: Ids of the commands that wait until both parties are in the conference.
    convert_command_ids: tuple[str, ...] = ()
    #: Id of the `end` command that waits for Twilio's confirmation.
    end_command_id: str = ""
    #: Ids of the ending effects that Twilio has not confirmed yet.
    end_effect_ids: tuple[str, ...] = ()
    #: Due times by timer name, Unix milliseconds.
    timers: Mapping[str, int] = field(default_factory=dict)
    #: What was taken already.
    seen: SeenEvents = field(default_factory=SeenEvents)

    def __post_init__(self) -> None:
        """Name the conference by the id unless it has a name of its own."""
        if not self.conference_name:
            object.__setattr__(self, "conference_name", self.id)

    @property
    def conference_to_join(self) -> str:
        """What a leg joins: the conference's SID once it is known, else its name."""
        return self.conference_sid or self.conference_name

    def find_party(self, *, call_sid: str = "", label: str = "", name: str = "", dial: str = "") -> Party | None:
        """The party that a callback speaks of: by its call, else by its dial or label, else by the name in the URL.

        A party that was dialled by REST is never told by its name, which changes hands, but by its dial.
        """
        for party in self.parties.values():
            if call_sid and party.call_sid == call_sid:
                return party
        for party in self.parties.values():
            if party.call_sid:
                continue
            if (dial and party.dial_id == dial) or (label and party.label == label):
                return party
            if name and party.name == name and not party.dial_id and not dial:
                return party
        return None

    @property
    def parent(self) -> Party:
        """Whose `<Dial>` bridges the two: the inbound caller, or the agent of an outbound session."""
        return self.parties[CUSTOMER if self.direction == INBOUND else AGENT]

    @property
    def child(self) -> Party:
        """Whom that `<Dial>` rings."""
        return self.parties[AGENT if self.direction == INBOUND else CUSTOMER]

    @property
    def targets(self) -> tuple[Party, ...]:
        """Whom the running transfer has dialled, or dials."""
        return tuple(p for p in self.parties.values() if p.name == TARGET or p.name.startswith(f"{TARGET}-"))

    @property
    def participants(self) -> tuple[Party, ...]:
        """Those who are in the conference."""
        return tuple(party for party in self.parties.values() if party.in_conference)
