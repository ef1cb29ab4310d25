"""Session: everything known about one conversation. Immutable; each change makes a new one."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import compress
from operator import is_not

from msgspec import field
from msgspec.structs import force_setattr

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.deduplication import SeenEvents
from conferral.statemachine.pending_command import PendingCommand, Recording
from conferral.statemachine.record import BaseRecord, Hidden
from conferral.statemachine.states import Opening, PartyStatus, Phase, SessionMode, State, WaitAudio
from conferral.statemachine.transfer import DialOptions, TransferState

#: The two parties of a bridged call, as commands and keys name them.
CUSTOMER = "customer"
AGENT = "agent"
#: The party that a running transfer dials. A ring group is `target-1`, `target-2`... until one of them answers.
TARGET = "target"
#: The party that listens in or helps the agent; one at a time.
SUPERVISOR = "supervisor"

#: Calls in the conference that Conferral did not place, or whose name is unknown: `guest-1`, `guest-2`...
GUEST = "guest"

INBOUND = "inbound"
OUTBOUND = "outbound"

#: A participant label that Conferral gave: the party's name, and a number that no other leg of the session has had.
LABEL = re.compile(r"(?P<name>[a-z][A-Za-z0-9_-]{0,50})-(?P<number>[1-9][0-9]{0,5})", re.ASCII)


def first_label(party: str) -> str:
    """Return the participant label of a party's first leg. It is fixed, so webhooks can join a leg without Redis."""
    return f"{party}-1"


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


#: Updates of `EndConferenceOnExit`.
END_ON_EXIT_UPDATES = frozenset({ParticipantUpdate.SET_END_ON_EXIT, ParticipantUpdate.CLEAR_END_ON_EXIT})


class Party(BaseRecord, frozen=True):
    """A party of the session."""

    name: str
    #: Participant label at Twilio: unique within the session, never reused for another leg.
    label: str
    call_sid: str = ""
    #: E.164, `client:NAME`, `sip:URI`, or Twilio's word for a caller who withholds the number.
    address: Hidden[str] = ""
    status: PartyStatus = PartyStatus.DIALING
    held: bool = False
    muted: bool = False
    #: Why the party left, in Twilio's words if Twilio gave a reason.
    left_reason: str = ""
    #: Position in the order of leaving, from 1; 0 while the party is present (count).
    departure_number: int = 0
    #: Whether the conference callbacks or a read show the party in the conference.
    in_conference: bool = False
    #: SequenceNumber of the newest conference event applied to this party. Older events change nothing.
    conference_sequence: int = -1

    #: Id of the dial that brings this party in, which is the id of its effect; empty for legs that came in or were
    #: dialed by TwiML.
    dial_id: str = ""
    #: Whether the call passes the gate before it joins (`Calls.create`), or joins directly (`Participants.create`).
    is_gated: bool = False
    #: Whether the participants hear it ring (`EarlyMedia`): then a join does not prove an answer.
    early_media: bool = False
    #: The gate has accepted the call, which has been briefed and joins at once.
    has_passed_gate: bool = False
    #: Said in the gate; empty for nothing.
    brief: str = ""
    #: Recalled agents only: why they are called back; the gate says it.
    recall_reason: str = ""
    #: Whether the party must press 1 in the gate.
    confirm: bool = False
    #: How long the phone may ring, seconds.
    ring_timeout_s: int = 0
    #: DTMF sent after the answer.
    digits: str = ""
    #: Targets only: of an earlier transfer, or left before the fallback was dialed.
    is_former_target: bool = False
    #: Ring group: parties that ring at the same time share this word, and the first to accept wins. Empty for a party
    #: that rings alone.
    ring_group: str = ""
    #: Whether the dialed call was answered. A join alone does not prove it: with early media, a ringing call may join.
    answered: bool = False
    #: When Conferral learned of the answer, Unix milliseconds.
    answered_at_ms: int = 0
    #: When the dial was emitted, Unix milliseconds.
    dialed_at_ms: int = 0
    #: When to read the dial although it may still ring, Unix milliseconds; 0 for never.
    dial_read_at_ms: int = 0
    #: When to check the dial if nothing was heard of it, Unix milliseconds; 0 for never.
    dial_check_at_ms: int = 0
    #: State of that check: `unknown` if the dial's outcome is unknown, `searched` once a search was emitted,
    #: `rolled-back` if Redis may have lost the outcome, `read` once an overdue dial was read, `refused` by a conference
    #: that had ended.
    dial_check: str = ""
    #: The caller ID; empty for `TWILIO_NUMBER`.
    caller_id: Hidden[str] = ""
    #: Twilio refused the dial with another caller ID, so this one is the last.
    caller_id_refused: bool = False

    #: The party is being removed: its calls' `<Dial>` actions are answered with `<Hangup/>`.
    is_leaving: bool = False
    #: A command removes the party: it is not dialed again, as those are that leave because a conference was lost.
    is_removed: bool = False
    #: What the party hears while it waits alone or is held.
    wait_audio: WaitAudio = WaitAudio.NONE
    #: In the conference without having started it (`startConferenceOnEnter=false`): hears wait audio until another
    #: party joins.
    waits_for_start: bool = False
    #: Desired hold; `held` is what Twilio has confirmed.
    desired_hold: bool = False
    #: Held for a parked call, not by a command: taken off hold once someone joins or takes the call.
    held_for_park: bool = False
    #: Desired `EndConferenceOnExit`; `end_on_exit` is what Twilio has confirmed.
    desired_end_on_exit: bool = False
    end_on_exit: bool = False
    #: Desired mute; `muted` is what Twilio has confirmed. Not for supervisors.
    desired_mute: bool = False
    #: Supervisors only: the desired `SuperviseMode`. Empty for all others, and once the supervisor has left.
    supervises: str = ""
    #: SID of the call that the supervisor coaches, as confirmed by Twilio; empty for none.
    coaches: str = ""
    #: Consecutive supervisor updates that Twilio refused (count).
    refused_updates: int = 0
    #: The update requested for this party that no callback or read has confirmed: a `ParticipantUpdate`, or empty.
    pending_update: str = ""
    #: When it was requested, Unix milliseconds. An earlier callback says nothing about it.
    pending_since_ms: int = 0
    #: When the hold began, Unix milliseconds; 0 if not held.
    held_since_ms: int = 0
    #: Id of the update's effect; empty once it has an outcome.
    update_effect_id: str = ""
    #: When the repair of a conversion last moved this party, or last got an outcome for it, Unix milliseconds; 0 for
    #: never.
    repair_moved_at_ms: int = 0
    #: Its `<Dial>` into the conference ended once, and the action's document joined it again.
    has_rejoined: bool = False
    #: A guest that a read found muted: doesn't count as a party while it stays muted.
    is_muted_guest: bool = False
    #: The hangup was emitted, or comes with the answer to its `<Dial>` action.
    hang_up_requested: bool = False
    #: Id of the hangup effect, empty once it has an outcome; it may have to wait for a request slot.
    hang_up_effect_id: str = ""

    @property
    def hang_up_has_outcome(self) -> bool:
        """Whether a requested hangup has its outcome: if the party stays, Twilio refused it."""
        return self.hang_up_requested and not self.hang_up_effect_id

    @property
    def is_gone(self) -> bool:
        """Whether the party's call is over."""
        return self.status is PartyStatus.LEFT

    @property
    def takes_part(self) -> bool:
        """Whether a dialed party answered and is in the conference."""
        return self.answered and self.in_conference and not self.is_gone

    @property
    def joins_at_once(self) -> bool:
        """Whether a dialed party answered, and no gate is between it and the conference."""
        return self.answered and (self.has_passed_gate or not self.is_gated)

    @property
    def is_target(self) -> bool:
        """Whether the party is a target of a transfer, by its name."""
        return self.name == TARGET or self.name.startswith(f"{TARGET}-")

    @property
    def is_supervisor(self) -> bool:
        """Whether the party is a supervisor, who doesn't count as someone to talk to."""
        return bool(self.supervises)


class Session(BaseRecord, frozen=True):
    """One conversation, as far as it is known."""

    id: str
    state: State = State.BRIDGED
    phase: Phase = Phase.RINGING
    #: Grows by one with every committed event; 0 if the session does not exist yet.
    version: int = 0
    #: `inbound` or `outbound`.
    direction: str = INBOUND
    created_at_ms: int = 0
    updated_at_ms: int = 0
    #: When it entered its state and phase, Unix milliseconds.
    state_since_ms: int = 0
    ended_at_ms: int = 0
    end_reason: str = ""
    conference_sid: str = ""
    #: The conference's friendly name: the session's id, or a generated name if your app chose the id.
    conference_name: str = ""
    #: Who started it, for a session started by a command; empty if the command did not say.
    by: str = ""
    parties: Mapping[str, Party] = field(default_factory=dict)

    #: The newest transfer; None before the first.
    transfer: TransferState | None = None
    #: The newest recording; None before the first.
    recording: Recording | None = None

    #: How the calls were first connected.
    mode: SessionMode = SessionMode.BRIDGE
    #: What a conference used from the start is still waiting for.
    opening: Opening = Opening.OVER
    #: No party's leaving ends the conference until one party is left.
    is_group: bool = False
    #: How to set up the conference.
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES
    #: The agents to ring, in order: the next rings when one fails.
    agents: Hidden[tuple[str, ...]] = ()
    #: Index of the agent that is ringing or has answered, from 0.
    agent_number: int = 0
    #: Accepted commands, other than transfers, that have not finished.
    pending_commands: tuple[PendingCommand, ...] = ()
    #: Address of the agent who parked the call; empty if it is not parked.
    parked_by: Hidden[str] = ""
    #: When a parked call is sent back to that agent, Unix milliseconds; 0 if not parked, and once it is sent back.
    parked_until_ms: int = 0

    #: How many parties have left (count).
    departures: int = 0
    #: Highest number used so far in party names, by name without the number. No number is used twice.
    name_numbers: Mapping[str, int] = field(default_factory=dict)
    #: Dials by REST so far (count): part of the next participant label.
    dials: int = 0
    #: CallToken of the inbound call, which allows showing its number to others. It contains a number: never logged,
    #: never shown, removed when the session ends.
    call_token: Hidden[str] = ""
    #: The called number, E.164, used as caller ID of dials. Empty for `TWILIO_NUMBER`.
    called_number: Hidden[str] = ""
    #: Id of the `call` command until customer and agent talk.
    call_command_id: str = ""
    #: How to dial the agent of a `call`.
    options: DialOptions = DialOptions()
    #: SIDs of legs that were replaced or removed: their late callbacks are expected.
    former_calls: tuple[str, ...] = ()
    #: Id of the unanswered read of Twilio; empty if none is open.
    open_read_id: str = ""
    #: When that read was emitted, Unix milliseconds.
    open_read_since_ms: int = 0
    #: Another read was requested meanwhile; it follows as soon as the open one is answered.
    reread_wanted: bool = False
    #: SIDs of calls that the last read left out; only these are read next.
    unread_calls: tuple[str, ...] = ()
    #: Twilio refused an update because the conference is not in progress; no more updates are sent until it is.
    awaits_conference_start: bool = False
    #: SIDs of conferences that ended or were left; events about them are late.
    former_conferences: tuple[str, ...] = ()
    #: SequenceNumber of the conference up to which a read has made up for missing events.
    verified_sequence: int = 0
    #: Times that a lone party was kept until a read shows who is present, since the last conclusive read (count).
    presence_reads: int = 0
    #: Reads emitted for unconfirmed participant updates since Twilio last confirmed one (count).
    confirmation_reads: int = 0
    #: Name of the party that left first; empty if none has.
    first_to_leave: str = ""
    #: DialCallStatus of the bridge's `<Dial>`; empty until it ends.
    dial_call_status: str = ""
    #: A leg that was missing in the conference was already redirected once, in this conversion, opening, or stage.
    repair_attempted: bool = False
    #: Ids of the redirects without an outcome.
    open_redirects: tuple[str, ...] = ()
    #: When a leg was last moving into the conference, Unix milliseconds; 0 for never.
    moved_at_ms: int = 0
    #: Version at which a fact about a party last changed.
    facts_version: int = 0
    #: Ids of the commands waiting for both parties to be in the conference.
    convert_command_ids: tuple[str, ...] = ()
    #: Id of the `end` command waiting for Twilio's confirmation.
    end_command_id: str = ""
    #: Ids of the ending effects without an outcome.
    end_effect_ids: tuple[str, ...] = ()
    #: Due times by timer name, Unix milliseconds.
    timers: Mapping[str, int] = field(default_factory=dict)
    #: Events already applied.
    seen: SeenEvents = field(default_factory=SeenEvents)

    def __post_init__(self) -> None:
        """Use the id as the conference name unless another is given."""
        if not self.conference_name:
            force_setattr(self, "conference_name", self.id)

    @property
    def conference_to_join(self) -> str:
        """What a leg joins: the conference SID once it is known, else its name."""
        return self.conference_sid or self.conference_name

    def find_party(self, *, call_sid: str = "", label: str = "", name: str = "", dial: str = "") -> Party | None:
        """Return the party that a callback is about: by call SID, else by dial id or label, else by its URL's name.

        The last three find only parties whose call is not known yet. A party dialed by REST is never found by name,
        which may pass to another party.
        """
        if call_sid:
            for party in self.parties.values():
                if party.call_sid == call_sid:
                    return party
        for party in self.parties.values():
            if party.call_sid:
                continue
            if (dial and party.dial_id == dial) or (label and party.label == label):
                return party
            if name and party.name == name and not party.dial_id and not dial:
                return party
        return None

    def present_party(self, name: str) -> Party | None:
        """Return the party of that name; None if there is none, or if it is gone."""
        party = self.parties.get(name)
        return party if party is not None and not party.is_gone else None

    @property
    def customer(self) -> Party:
        """The customer, present or gone; every session that has begun has one, and an agent."""
        return self.parties[CUSTOMER]

    @property
    def agent(self) -> Party:
        """The agent, or the party that has become the agent."""
        return self.parties[AGENT]

    @property
    def parent(self) -> Party:
        """The party whose `<Dial>` rings the other: the inbound caller, or the agent of an outbound session."""
        return self.customer if self.direction == INBOUND else self.agent

    @property
    def child(self) -> Party:
        """The party that the bridge's `<Dial>` rings: the agent of an inbound session, else the customer."""
        return self.agent if self.direction == INBOUND else self.customer

    @property
    def running_transfer(self) -> TransferState | None:
        """The transfer in progress; None if there is none."""
        return self.transfer if self.transfer is not None and self.transfer.is_running else None

    @property
    def targets(self) -> tuple[Party, ...]:
        """The parties that the newest transfer has dialed. Those of earlier transfers have left."""
        return tuple(party for party in self.parties.values() if party.is_target and not party.is_former_target)

    def is_former_conference(self, conference_sid: str) -> bool:
        """Whether the session has left a conference, and not come back to it."""
        return conference_sid in self.former_conferences and conference_sid != self.conference_sid

    @property
    def participants(self) -> tuple[Party, ...]:
        """The parties in the conference."""
        return tuple(party for party in self.parties.values() if party.in_conference)


def changed_parties(session: Session, before: Session) -> Iterator[str]:
    """Return the names of the parties that are new or differ from those of an earlier version.

    An unchanged party is the same object, so C code finds the few others among hundreds.
    """
    return compress(session.parties, map(is_not, session.parties.values(), map(before.parties.get, session.parties)))
