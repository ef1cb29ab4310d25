"""Parts of a session: transfer, commands, recording, attributes, seen."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import field

from conferral.statemachine.record import CODE, BaseRecord, Hidden, Takes, about, always
from conferral.statemachine.states import RecordingStatus, TransferMode, TransferStage, TransferStatus

#: Most targets of one transfer. Source: Twilio docs, TwiML `<Dial>`, which has the same limit.
TARGETS_MAX = 10
#: Sequence numbers kept of each call and conference.
NUMBERS_MAX = 256
#: Tokens kept, and calls and conferences; the oldest is dropped first. The table's guards refuse what was dropped.
SEEN_MAX = 128


#: For how long a dialed party, or one of a number's agents, is asked to press 1, seconds.
CONFIRM_FOR_S, AGENTS_CONFIRM_FOR_S = 20, 12
#: What it presses; any other key asks again. `Phrase.PRESS_ONE` says both: three questions have time for few words.
ACCEPT_DIGIT, REJECT_DIGIT = "1", "2"


class DialOptions(BaseRecord, frozen=True):
    """How to dial a party: of command, party, and the effect that dials it.

    What has its default is up to the settings, or left out. The fields are the dial options of commands.
    """

    brief: Annotated[Hidden[str], Takes("spoken", "message spoken to the dialed party before they join")] = ""
    confirm: Annotated[
        bool,
        Takes(
            "flag",
            f"the dialed party must press {ACCEPT_DIGIT}, so voicemail can't take the call; {REJECT_DIGIT} declines",
        ),
    ] = False
    confirm_for_s: Annotated[int, Takes("confirm-time", f"seconds to ask three times, {CONFIRM_FOR_S} by default")] = 0
    timeout_s: Annotated[int, Takes("ring-time", "seconds to ring, CONFERRAL_RING_TIMEOUT by default")] = 0
    digits: Annotated[
        Hidden[str],
        Takes("digits", "DTMF digits sent after the answer; w waits half a second, W one second; not for client:"),
    ] = ""
    caller_id: Annotated[Hidden[str], Takes("caller-id", "number in the account that the dialed party sees")] = ""
    amd: Annotated[
        bool, Takes("flag", "detect answering machines, at Twilio's price, so none takes the call; not for client:")
    ] = False
    params: Annotated[
        Hidden[str],
        Takes(
            "params", "data for a client: (custom parameters) or a sip: (headers X-NAME), as name=value&…, URL-encoded"
        ),
    ] = ""

    @property
    def needs_gate(self) -> bool:
        """Whether the party must pass the gate: brief, key, digits, detection."""
        return bool(self.brief or self.confirm or self.digits or self.amd)


DEFAULT_OPTIONS = DialOptions()


class QueueOptions(BaseRecord, frozen=True):
    """How a caller waits in a queue; of the called number."""

    #: For how long in all, seconds.
    limit_s: int = 0
    #: How often the caller is asked to stay on the line, seconds; 0 for never.
    say_every_s: int = 0


#: Of a caller who waits in none.
NO_QUEUE = QueueOptions()


class Attempt(BaseRecord, frozen=True):
    """One attempt to reach a party. Times are 0 if not reached yet."""

    party: str
    to: Hidden[str]
    dial_id: str
    started_at_ms: int
    answered_at_ms: int = 0
    ended_at_ms: int = 0
    #: `answered`, or why not: `busy`, `no-answer`, `rejected`, `no-confirmation`, `failed`... Empty before.
    result: str = ""
    #: The party's participant label.
    label: str = ""


class TransferState(BaseRecord, frozen=True):
    """The newest transfer of a session, readable when it is over."""

    logged: ClassVar = ("number", "mode", "status", "reason", "stage")

    #: Within the session, from 1.
    number: int
    mode: TransferMode
    to: Annotated[Hidden[tuple[str, ...]], about("the destinations as given, comma-separated")]
    status: TransferStatus = always(TransferStatus.DIALING)
    #: Comma-separated: the target's reason, then those of the recalls.
    reason: Annotated[str, about("why it failed or was canceled")] = ""
    #: The first one.
    code: Annotated[str, about(CODE)] = ""
    stage: TransferStage = TransferStage.CONVERTING
    #: SID of a former conference that a read of this stage has shown.
    former_shown: str = ""
    options: DialOptions = DialOptions()
    #: Id of the `transfer` command; empty once its result was reported.
    command_id: str = ""
    #: By when it must have begun, Unix milliseconds; 0 for no limit.
    deadline_ms: int = 0
    #: Of the `complete`, `cancel`, `swap`, or `merge` in progress, with its name, and by when it must have begun.
    step_command_id: str = ""
    step_name: str = ""
    step_deadline_ms: int = 0
    #: In a swap: the party the agent talks to next.
    swap_to: str = ""
    #: In order: see `Policy.fallback`.
    fallback: Annotated[Hidden[tuple[str, ...]], about("where the customer goes if no one takes the call")] = ()
    #: Whether its outcome record was written: the customer leaves a message.
    is_recorded: bool = False
    #: Why the last party dialed did not take the call: one of the reasons in `reason`.
    unreached: str = ""
    #: Places of it that were tried (count).
    places_tried: int = 0
    attempts: tuple[Attempt, ...] = ()
    started_at_ms: int = 0
    by: Annotated[str, about("who sent the command")] = ""

    @property
    def is_running(self) -> bool:
        """Whether the transfer is still in progress."""
        return self.stage is not TransferStage.OVER

    @property
    def place(self) -> str:
        """The place of the fallback that was tried last; empty before the first."""
        return self.fallback[self.places_tried - 1] if self.places_tried else ""

    @property
    def places_left(self) -> tuple[str, ...]:
        """The places of the fallback that were not tried."""
        return self.fallback[self.places_tried :]


class PendingCommand(BaseRecord, frozen=True):
    """A command, other than a transfer's, that is accepted and unfinished."""

    command_id: str
    name: str
    party: str = ""
    to: Hidden[str] = ""
    options: DialOptions = DialOptions()
    #: A `SuperviseMode`, for `supervise` only.
    mode: str = ""
    #: `add`: the party joins muted.
    muted: bool = False
    url: Hidden[str] = ""
    say: Hidden[str] = ""
    #: Waits until both parties are in the conference.
    is_queued: bool = False
    #: `add`, `supervise`: the party is dialed once Twilio confirms that no one's leaving ends the conference.
    awaits_end_on_exit_cleared: bool = False
    #: By when it must be finished, Unix milliseconds; 0 for no limit. Of a queued one, by when it must begin.
    due_ms: int = 0
    #: `announce`, `press`: SIDs of the calls still playing it; empty if the whole conference hears it.
    playing_to: tuple[str, ...] = ()
    #: Ids of the effects without a result.
    effects: tuple[str, ...] = ()


class Voicemail(BaseRecord, frozen=True):
    """What the customer does in the voicemail."""

    #: Id of the effect that moves the customer there; empty once it has a result.
    move_effect_id: str = ""
    #: Whether it is unknown if Twilio moved the customer.
    may_not_have_moved: bool = False
    #: A read showed that Twilio had not, so a second request is, or was, under way.
    was_repeated: bool = False
    #: SID of the conference that the customer leaves for it.
    conference_sid: str = ""
    #: Whether Twilio records: the customer has heard the tone.
    is_recording: bool = False
    #: Whether the message is over, or there was none.
    is_over: bool = False
    #: Of a message that Twilio keeps; empty before Twilio has it.
    recording_sid: str = ""
    #: Twilio keeps none.
    is_absent: bool = False


class Recording(BaseRecord, frozen=True):
    """The newest recording of a session."""

    #: Empty until Twilio reports it; a running recording can be addressed without it.
    sid: str = ""
    #: A `RecordingStatus` that Twilio has confirmed; empty before that.
    status: str = ""
    #: Records the conference from its start; otherwise the customer's call, in two channels.
    of_conference: bool = False
    #: The request without a result (`start`, `pause`, `resume`, `stop`), and its effect's id.
    pending_update: str = ""
    update_effect_id: str = ""
    #: The status that commands want; in a consult, a conference's recording is paused meanwhile.
    wanted: str = RecordingStatus.IN_PROGRESS.value
    #: Consecutive requests that Twilio refused or did not answer (count).
    failures: int = 0
    #: Twilio's error code for the last of these; empty without one.
    update_code: str = ""
    url: str = ""
    duration_s: int = 0


class ConferenceAttributes(BaseRecord, frozen=True):
    """Attributes fixed at the start; empty leaves the choice to the settings."""

    # Source: Twilio docs, TwiML `<Conference>` and `<Dial>`.
    #: `false`, `true` (the conference, from its start), or `customer` (the customer's call, in two channels).
    record: str = "false"
    #: `true`, `false`, `onEnter` or `onExit`; empty for `false`.
    beep: str = ""
    #: `jitterBufferSize`: `off`, `small`, `medium`, or `large`.
    jitter_buffer_size: str = ""
    #: Twilio's region of the mixer, such as `ie1`.
    region: str = ""
    #: Conference recordings only: `trim-silence` or `do-not-trim`.
    trim: str = ""
    #: Id of a recording configuration at Twilio, which decides instead how recordings are made.
    recording_configuration: str = ""
    #: URL of the wait audio, instead of `CONFERRAL_MUSIC`.
    wait_url: str = ""
    #: What a caller who waits in a conference hears first, instead of `CONFERRAL_GREETING`.
    greeting: Hidden[str] = ""
    #: 2 to 250; 0 for Twilio's own limit.
    max_participants: int = 0
    #: Until the customer is removed; 0 for Twilio's own limit.
    time_limit_s: int = 0
    #: The customer can leave by pressing `*`.
    hangup_on_star: bool = False
    #: URL of the TwiML that the customer continues with when the others have left; empty to hang up.
    after_url: str = ""


DEFAULT_ATTRIBUTES = ConferenceAttributes()


class SeenEvents(BaseRecord, frozen=True):
    """Seen sequence numbers per call or conference, and the last tokens."""

    #: The highest `NUMBERS_MAX` sequence numbers of each, ascending.
    numbers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()

    def contains(self, source: str, sequence: int | None, token: str) -> bool:
        """Whether this event was applied. Numbers too low to keep count as seen."""
        if sequence is None or source not in self.numbers:
            return bool(token) and token in self.tokens
        numbers = self.numbers[source]
        return sequence in numbers or (len(numbers) == NUMBERS_MAX and sequence < numbers[0])

    def has_gap(self, source: str, after: int) -> bool:
        """Whether an event above `after`, still among those kept, is missing."""
        numbers = self.numbers.get(source, ())
        if len(numbers) == NUMBERS_MAX:
            after = max(after, numbers[0])
        later = [number for number in numbers if number > after]
        return bool(later) and later[-1] - after > len(later)

    def with_event(self, source: str, sequence: int | None, token: str) -> "SeenEvents":
        """Return these and this event, by its sequence number, else its token."""
        if sequence is None or not source:
            return SeenEvents(self.numbers, (*self.tokens, token)[-SEEN_MAX:]) if token else self
        if self.contains(source, sequence, token):
            return self
        # To the end: the source that was silent longest is dropped first.
        others = [one for one in self.numbers.items() if one[0] != source][1 - SEEN_MAX :]
        numbers = sorted((*self.numbers.get(source, ()), sequence))[-NUMBERS_MAX:]
        return SeenEvents(dict([*others, (source, tuple(numbers))]), self.tokens)


NOTHING_SEEN = SeenEvents()
