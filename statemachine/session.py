"""Session: everything known about one conversation, immutable."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import field

from conferral.statemachine.effects import Effect, FindRecording
from conferral.statemachine.events import CallProgressed, CallsRead, DialEnded, Event, ParticipantSeen
from conferral.statemachine.parts import (
    DEFAULT_ATTRIBUTES,
    NO_QUEUE,
    NOTHING_SEEN,
    Attempt,
    ConferenceAttributes,
    DialOptions,
    PendingCommand,
    QueueOptions,
    Recording,
    SeenEvents,
    TransferState,
    Voicemail,
)
from conferral.statemachine.record import BaseRecord, Hidden, about, always
from conferral.statemachine.states import (
    INTERNAL_MODES,
    Opening,
    ParticipantUpdate,
    PartyStatus,
    Phase,
    State,
    WaitAudio,
)

#: The two parties of a bridged call, as commands and keys name them.
CUSTOMER = "customer"
AGENT = "agent"
#: The party that a transfer dials; a ring group is `target-1`, `target-2`... until one answers.
TARGET = "target"
#: The party that listens in or helps the agent; one at a time.
SUPERVISOR = "supervisor"
#: Calls in the conference that Conferral did not place, or whose name is unknown: `guest-1`, `guest-2`...
GUEST = "guest"
#: `Party.rung_again_because` of an agent whose leg was lost.
LOST = "lost"
INBOUND = "inbound"
OUTBOUND = "outbound"


def first_label(party: str) -> str:
    """Return a party's first label: fixed, so webhooks can join without Redis."""
    return f"{party}-1"


def bridge_dial(agent_number: int) -> str:
    """Return what stands for a dial's id in the gate of a bridge's agent."""
    return f"{AGENT}-{agent_number}"


class Party(BaseRecord, frozen=True):
    """A party of the session. Times are Unix milliseconds; 0 for never."""

    logged: ClassVar = (
        "label", "status", "held", "muted", "left_reason", "in_conference", "is_leaving", "waits_for_start",
        "is_muted_guest",
    )  # fmt: skip

    name: str
    label: Annotated[str, about("its participant label at Twilio, which no other leg ever has")]
    call_sid: Annotated[str, about("of the call; none until Twilio has placed it")] = ""
    #: E.164, `client:NAME`, `sip:URI`, or Twilio's word for a caller who withholds the number.
    address: Hidden[str] = ""
    status: PartyStatus = always(PartyStatus.DIALING)
    since_ms: Annotated[int, about("while held, when the hold began; else when this status began")] = 0
    held: bool = False
    muted: bool = False
    #: Why the party left, in Twilio's words if Twilio gave a reason.
    left_reason: str = ""
    #: When it left, by Twilio's clock, whole Unix seconds; 0 if a callback or a read did not say it.
    left_s: int = 0
    #: Twilio's error code, if it refused or failed the party's dial; empty without one.
    left_code: str = ""
    #: As conference callbacks or a read show it.
    in_conference: bool = False
    #: SequenceNumber of the newest conference event applied; older events change nothing.
    conference_sequence: int = -1
    #: Version at which the newest fact of the leg's end or place began, or a request to change it: see `legs`.
    known_version: int = 0

    #: Id of the effect that dials this party; empty for legs that came in or were dialed by TwiML.
    dial_id: str = ""
    #: Passes the gate before it joins (`Calls.create`), or joins directly (`Participants.create`).
    is_gated: bool = False
    #: Whether the participants hear it ring (`EarlyMedia`): then a join does not prove an answer.
    early_media: bool = False
    #: Nothing is left to hear in the gate's document, neither question nor brief: it joins next.
    has_passed_gate: bool = False
    #: With all defaults, once it is dialed by REST.
    options: DialOptions = DialOptions()
    #: Twilio refused the dial with another caller ID, so this one is the last.
    caller_id_refused: bool = False
    #: Its identity had a desk when it answered: if it is an agent's, it may be lost (`guards.lost_agent`).
    has_desk: bool = False
    #: Agents only: why they are rung again, which the gate says: `LOST`, or why the transfer or park has failed.
    rung_again_because: str = ""
    #: Targets only: of an earlier transfer, or left before the fallback was dialed.
    is_former_target: bool = False
    #: Ring group: parties that ring together share this word, and the first to accept wins. Empty for others.
    ring_group: str = ""
    #: A join alone does not prove it: with early media, a ringing call may join.
    answered: bool = False
    answered_at_ms: int = 0
    dialed_at_ms: int = 0
    #: When to check the dial if nothing was heard of it.
    dial_check_at_ms: int = 0
    #: Of the dial: result `unknown`, or lost with Redis; search emitted (`searching`), without a result (`unlisted`),
    #: and emitted again (`searched`); overdue and about to be read (`reading`), or overdue although it was `read`.
    dial_check: str = ""

    #: Being removed: its calls' `<Dial>` actions are answered with `<Hangup/>`.
    is_leaving: bool = False
    #: Removed by a command, so not dialed again; parties that lose their conference are.
    is_removed: bool = False
    wait_audio: WaitAudio = WaitAudio.NONE
    #: Joined with `startConferenceOnEnter=false`: hears wait audio until another party joins.
    waits_for_start: bool = False
    #: The conference has started, so one of those who are being dialed is in it: maybe this one, until a fact says who.
    may_be_inside: bool = False
    #: Desired; `held` is what Twilio has confirmed. The same goes for mute and `EndConferenceOnExit`.
    desired_hold: bool = False
    desired_end_on_exit: bool = False
    end_on_exit: bool = False
    #: Redis lost who ordered the newest hold: Twilio showed it.
    hold_found: bool = False
    #: Not for supervisors.
    desired_mute: bool = False
    #: The desired `SuperviseMode`; empty for all others, and once the supervisor has left.
    supervises: str = ""
    #: SID of the call that the supervisor coaches, as confirmed by Twilio.
    coaches: str = ""
    #: The unconfirmed `ParticipantUpdate`; empty if none.
    pending_update: str = ""
    #: An earlier callback says nothing about that update.
    pending_since_ms: int = 0
    #: When `status` began, also while held.
    status_since_ms: int = 0
    #: When a request with `Hold=false` went without an answer: Twilio may carry it out later. 0 for never.
    late_unhold_ms: int = 0
    #: Id of the update's effect; empty once it has a result.
    update_effect_id: str = ""
    #: Twilio's error code, if it refused the newest update that has a result; empty without one.
    update_code: str = ""
    #: When a conversion's repair last moved this party, or got a result for it.
    repair_moved_at_ms: int = 0
    #: When a redirect of it last had an unknown result, or was repeated: a request may still move it out of the
    #: conference, and back in.
    unproven_redirect_at_ms: int = 0
    #: Its `<Dial>` into the conference ended once, and the action's document joined it again.
    has_rejoined: bool = False
    #: A guest that a read found muted only listens, while it stays muted.
    is_muted_guest: bool = False
    #: The hangup was emitted, or comes with the answer to its `<Dial>` action.
    hang_up_requested: bool = False
    #: Id of the hangup effect, empty once it has a result; it may have to wait for a request slot.
    hang_up_effect_id: str = ""

    @property
    def hang_up_has_result(self) -> bool:
        """Whether Twilio has answered the hangup: if the party stays, it refused."""
        return self.hang_up_requested and not self.hang_up_effect_id

    @property
    def is_gone(self) -> bool:
        """Whether the party's call is over."""
        return self.status is PartyStatus.LEFT

    @property
    def is_connected(self) -> bool:
        """Whether the party's call is connected."""
        return self.status is PartyStatus.CONNECTED

    @property
    def is_on_found_hold(self) -> bool:
        """Whether the party is on a hold from before a loss of Redis."""
        return self.desired_hold and self.hold_found

    @property
    def should_have_end_on_exit_now(self) -> bool:
        """Whether `EndConferenceOnExit` is desired, and nothing suspends it now.

        A hold does, and so does a late redirect, which may take the party out for a moment.
        """
        return self.desired_end_on_exit and not (self.desired_hold or self.unproven_redirect_at_ms)

    @property
    def takes_part(self) -> bool:
        """Whether a dialed party answered and is in the conference."""
        return self.answered and self.in_conference and not self.is_gone

    @property
    def is_coming_back(self) -> bool:
        """Whether the agent is rung again, because the leg was lost."""
        return self.rung_again_because == LOST and not (self.is_gone or self.in_conference)

    @property
    def is_target(self) -> bool:
        """Whether the party is a target of a transfer, by its name."""
        return self.name == TARGET or self.name.startswith(f"{TARGET}-")

    @property
    def is_supervisor(self) -> bool:
        """Whether the party supervises, so it is no one to talk to."""
        return bool(self.supervises)

    def overtakes(self, read: CallsRead) -> bool:
        """Whether a newer fact is known of the leg than this read can show."""
        return self.known_version > read.read_version


class Session(BaseRecord, frozen=True):
    """One conversation, as far as it is known. Times are as in `Party`."""

    logged: ClassVar = ("phase", "end_reason", "dial_call_status")

    id: str
    state: State = always(State.BRIDGED)
    phase: Phase = always(Phase.RINGING)
    #: 0 if the session does not exist yet.
    version: Annotated[int, about("grows by one with each decision")] = 0
    direction: str = always(INBOUND)
    created_at_ms: int = always(0)
    updated_at_ms: int = 0
    #: When it entered its state and phase.
    state_since_ms: int = 0
    ended_at_ms: Annotated[int, about("none while the session is live")] = 0
    end_reason: Annotated[str, about("a reason listed in docs/commands.md; none while the session is live")] = ""
    conference_sid: str = ""
    #: Its friendly name: the session's id, or one made by `ConferenceNames` if your app chose the id.
    conference_name: str = ""
    #: E.164. Decides nothing.
    number: Annotated[Hidden[str], about("our number that was called or that the customer sees, if it is known")] = ""
    by: Annotated[str, about("who started it, for a session started by a command")] = ""
    ref: Annotated[str, about("your reference, of the newest command that gave one")] = ""
    parties: Annotated[Mapping[str, Party], about("by name, including parties that have left")] = field(
        default_factory=dict
    )

    transfer: Annotated[TransferState | None, about("the newest transfer; none before the first")] = None
    #: The newest public transfer, if the newest is internal. In JSON, they change places: `transfer` is the public one.
    earlier_transfer: TransferState | None = field(name="internal_transfer", default=None)
    #: The newest recording; None before the first.
    recording: Recording | None = None
    #: Its recordings: whether each was reported, by its SID; or by its call's or conference's, until its own is known.
    recordings: Mapping[str, bool] = field(default_factory=dict)
    #: While the customer is in the voicemail, and afterward; None before.
    voicemail: Voicemail | None = None
    #: A hand-off began it: the customer's leg is the parent, even if your app placed that call.
    was_handed_off: bool = False
    #: Where an inbound caller goes whom no agent takes: see `Policy.fallback`. Empty for `end`.
    fallback: Hidden[tuple[str, ...]] = ()
    #: The inbound call came outside the number's hours.
    closed: bool = False
    opening: Opening = Opening.OVER
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES
    #: The agents to ring in order, each when the one before fails.
    agents: Hidden[tuple[str, ...]] = ()
    #: How those who are left are ordered before each is rung: see `presence`.
    agent_order: str = ""
    #: Index of the agent that is ringing or has answered, from 0.
    agent_number: int = 0
    pending_commands: tuple[PendingCommand, ...] = ()
    #: Address of the agent who parked the call, or handed over a caller in the voicemail; empty once one talks.
    parked_by: Hidden[str] = ""
    #: Address of the browser, app, or SIP phone that called in, as Twilio signed it; empty for others.
    signed_address: Hidden[str] = ""
    #: When a parked call goes back to that agent, or a caller in a queue on to the next place; 0 for all others.
    parked_until_ms: int = 0
    #: The caller begins in the queue: no agent is rung before.
    begins_in_queue: bool = False
    queue: QueueOptions = NO_QUEUE
    #: Since when the caller waits in a queue; 0 for others. Earlier waits of the call count, so it may be earlier.
    queued_since_ms: int = 0
    #: How long the caller has waited in a queue before, seconds.
    queued_before_s: int = 0
    #: An agent took the call from the queue.
    left_queue: bool = False

    #: Highest number used so far, by base name, such as `agent`. No number is used twice.
    name_numbers: Mapping[str, int] = field(default_factory=dict)
    #: Highest number in the label of a party dialed by REST; the next label has a higher one.
    highest_label_number: int = 0
    #: Whether the inbound caller's address is a number that others may be shown.
    has_caller_id: bool = False
    #: The inbound call's CallToken. It contains a number: never logged or shown, removed at the end.
    call_token: Hidden[str] = ""
    #: The caller ID of dials: the called number, E.164. Empty for `TWILIO_NUMBER`.
    called_number: Hidden[str] = ""
    #: How to dial the agent.
    options: DialOptions = DialOptions()
    #: SIDs of legs that were replaced or removed: their late callbacks are expected.
    former_calls: tuple[str, ...] = ()
    #: Id of the unanswered read of Twilio; empty if none is open.
    open_read_id: str = ""
    open_read_since_ms: int = 0
    #: What a read may settle, and since when: see `table.unsettled`.
    unsettled_since_ms: Mapping[str, int] = field(default_factory=dict)
    #: When the newest read began that counts as asked; 0 if nothing is unsettled.
    asked_ms: int = 0
    #: SIDs of calls that the last read left out; only these are read next.
    unread_calls: tuple[str, ...] = ()
    #: SIDs of conferences that ended or were left; events about them are late.
    former_conferences: tuple[str, ...] = ()
    #: Conference SequenceNumber up to which a read has made up for missing events.
    verified_sequence: int = 0
    #: When it was noted that Redis may have lost what the session had decided; 0 for never.
    lost_at_ms: int = 0
    #: Version of the session at which the newest read of this conference was requested.
    verified_version: int = 0
    #: Reads since the last conclusive one that show a lone party's conference as another (count).
    presence_reads: int = 0
    #: When the grace of a lone party is over; 0 if no one is alone.
    lone_until_ms: int = 0
    first_to_leave: str = ""
    #: A bridge's parent was live after its child's end: a read, or a request for the fallback URL, showed it.
    child_left_first: bool = False
    #: DialCallStatus of the bridge's `<Dial>`; empty until it ends.
    dial_call_status: str = ""
    #: A missing leg was already redirected once, in this conversion, opening, or stage.
    repair_attempted: bool = False
    open_redirects: tuple[str, ...] = ()
    #: When a leg was last moving into the conference; while bridged, when a conversion of unknown result was given up.
    moved_at_ms: int = 0
    #: Why the last transfer command was refused, and when; empty after one that was accepted.
    refused_transfer: str = ""
    refused_transfer_at_ms: int = 0
    #: Due times by timer name.
    timers: Mapping[str, int] = field(default_factory=dict)
    #: Everyone who was rung for the call itself, or for its fallback. A `<Dial>` has `bridge_dial` for an id.
    attempts: tuple[Attempt, ...] = ()
    seen: SeenEvents = NOTHING_SEEN

    def find_party(self, *, call_sid: str = "", label: str = "", name: str = "", dial: str = "") -> Party | None:
        """Return a callback's party: by call SID, dial, label, or its URL's name.

        The last three find only parties whose call is unknown. A party dialed by REST is never found by name, which may
        pass to another party.
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

    def subject_of(self, event: Event | ParticipantSeen) -> Party | None:
        """Return the party that an event, or a participant in a read, is about."""
        return self.find_party(
            call_sid=getattr(event, "call_sid", ""),
            label=getattr(event, "label", ""),
            name=event.party if isinstance(event, CallProgressed | DialEnded) else "",
            dial=getattr(event, "dial", ""),
        )

    def present_party(self, name: str) -> Party | None:
        """Return the party of that name; None if absent or gone."""
        party = self.parties.get(name)
        return party if party is not None and not party.is_gone else None

    def is_in(self, state_or_phase: str | None) -> bool:
        """Whether the session is in a state or phase; None is any."""
        return state_or_phase in (None, self.state, self.phase)

    @property
    def is_ended(self) -> bool:
        """Whether the session has ended."""
        return self.state is State.ENDED

    @property
    def is_live(self) -> bool:
        """Whether the session hasn't ended."""
        return not self.is_ended

    @property
    def present(self) -> dict[str, Party]:
        """The parties that haven't left, by name."""
        return {name: party for name, party in self.parties.items() if not party.is_gone}

    def dialed_by(self, dial_id: str) -> str:
        """Return the name of the party that a dial brings in; empty if none."""
        return next((name for name, party in self.parties.items() if party.dial_id == dial_id), "")

    def dial_of(self, party: Party) -> str:
        """Return the id of a party's dial, or what stands for it in a bridge."""
        return party.dial_id or (bridge_dial(self.agent_number) if party.name == self.child.name else "")

    @property
    def customer(self) -> Party:
        """The customer, present or gone; each session has one, and an agent."""
        return self.parties[CUSTOMER]

    @property
    def agent(self) -> Party:
        """The agent, or the party that has become the agent."""
        return self.parties[AGENT]

    @property
    def is_in_bridge(self) -> bool:
        """Whether a plain `<Dial>` connects the parties, or rings one of them."""
        talks = self.phase is Phase.CONNECTED and self.state is State.BRIDGED
        return self.opening is Opening.OVER and (talks or self.phase is Phase.RINGING)

    @property
    def customer_is_parent(self) -> bool:
        """Whether the customer's call came in, or was handed over."""
        return self.direction == INBOUND or self.was_handed_off

    @property
    def parent(self) -> Party:
        """The inbound caller, or an outbound session's agent: its `<Dial>` rings."""
        return self.parties[CUSTOMER if self.customer_is_parent else AGENT]

    @property
    def child(self) -> Party:
        """The party that the bridge's `<Dial>` rings."""
        return self.parties[AGENT if self.customer_is_parent else CUSTOMER]

    @property
    def internal_transfer(self) -> TransferState | None:
        """The newest transfer, if users know it as none; or None."""
        return self.transfer if self.transfer is not None and self.transfer.mode in INTERNAL_MODES else None

    @property
    def public_transfer(self) -> TransferState | None:
        """The newest transfer, as users know it."""
        return self.earlier_transfer if self.internal_transfer is not None else self.transfer

    @property
    def is_in_voicemail(self) -> bool:
        """Whether the customer is in the voicemail, or on the way."""
        return self.phase is Phase.VOICEMAIL

    @property
    def transfer_stage(self) -> str:
        """The newest transfer's stage; empty before the first."""
        return self.transfer.stage if self.transfer is not None else ""

    @property
    def transfer_status(self) -> str:
        """The status of the newest transfer that users know; empty without one."""
        return self.public_transfer.status if self.public_transfer is not None else ""

    @property
    def running_transfer(self) -> TransferState | None:
        """The transfer in progress, if any."""
        return self.transfer if self.transfer is not None and self.transfer.is_running else None

    @property
    def targets(self) -> tuple[Party, ...]:
        """The parties dialed by the newest transfer; earlier ones have left."""
        return tuple(party for party in self.parties.values() if party.is_target and not party.is_former_target)

    def awaits(self, effect: Effect) -> bool:
        """Whether the session waits for this redirect or update: none replaced it."""
        effect_id = effect.effect_id
        if isinstance(effect, FindRecording):
            return not self.recordings.get(effect.target)
        if effect_id in self.open_redirects:
            party = self.find_party(call_sid=effect.target)
            # A party that has joined was moved, whatever Twilio's lists show.
            return party is None or not (party.is_gone or party.in_conference)
        if self.recording is not None and self.recording.update_effect_id == effect_id:
            return True
        if effect.detail == ParticipantUpdate.CLEAR_END_ON_EXIT:  # a hold may have overtaken it
            party = self.find_party(call_sid=effect.target)
            if party is None or party.is_gone or party.should_have_end_on_exit_now:
                return False
            return not (party.desired_hold and getattr(effect, "unholds", False))
        return any(one.update_effect_id == effect_id for one in self.parties.values())

    def is_former_conference(self, conference_sid: str) -> bool:
        """Whether the session has left a conference, and not come back to it."""
        return conference_sid in self.former_conferences and conference_sid != self.conference_sid

    @property
    def participants(self) -> tuple[Party, ...]:
        """The parties in the conference; one that has left is not."""
        return tuple(party for party in self.parties.values() if party.in_conference)
