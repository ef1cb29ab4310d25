"""Parts of a session: transfer, commands, recording, attributes, seen."""

from collections.abc import Mapping
from typing import Any

from msgspec import field

from conferral.statemachine.record import BaseRecord, Hidden, replace
from conferral.statemachine.states import TransferMode, TransferStage, TransferStatus

#: Most targets of one transfer. Source: Twilio docs, TwiML `<Dial>`, which has the same limit.
TARGETS_MAX = 10
#: Width of the window below the highest sequence number.
WINDOW_BITS = 256
#: Tokens kept; the oldest is dropped first. The table's guards refuse events whose token was dropped.
TOKENS_MAX = 128
#: Calls and conferences kept; a session has at most 250 participants at a time.
SOURCES_MAX = 512


class DialOptions(BaseRecord, frozen=True):
    """How to dial a party, as the command requests."""

    #: Said to the dialed party before it joins.
    brief: str = ""
    #: Whether the dialed party must press 1.
    confirm: bool = False
    #: 0 for `CONFERRAL_RING_TIMEOUT`.
    timeout_s: int = 0
    #: DTMF sent after the answer.
    digits: str = ""
    #: A number in the account, E.164; empty for the default.
    caller_id: Hidden[str] = ""


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


class TransferState(BaseRecord, frozen=True):
    """The newest transfer of a session, readable when it is over."""

    #: Within the session, from 1.
    number: int
    mode: TransferMode
    #: The destinations as given, comma-separated.
    to: Hidden[str]
    status: TransferStatus = TransferStatus.DIALING
    #: Why it failed or was canceled, comma-separated: the target's reason, then those of the recalls.
    reason: str = ""
    stage: TransferStage = TransferStage.CONVERTING
    #: Reads since the stage has lasted too long (count).
    overdue_reads: int = 0
    options: DialOptions = DialOptions()
    #: Id of the `transfer` command; empty once its outcome was reported.
    command_id: str = ""
    #: Of the `complete`, `cancel`, `swap`, or `merge` in progress, with its name.
    step_command_id: str = ""
    step_name: str = ""
    #: In a swap: the party the agent talks to next.
    swap_to: str = ""
    recalls: int = 0
    fell_back: bool = False
    attempts: tuple[Attempt, ...] = ()
    started_at_ms: int = 0
    #: Who sent the command; empty if unknown.
    by: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the transfer is still in progress."""
        return self.stage is not TransferStage.OVER

    def with_attempt(self, dial_id: str, /, **changes: Any) -> tuple[Attempt, ...]:
        """Return the attempts, with the one of this dial changed."""
        return tuple(replace(one, **changes) if one.dial_id == dial_id else one for one in self.attempts)


class PendingCommand(BaseRecord, frozen=True):
    """A command, other than a transfer's, that is accepted and unfinished."""

    command_id: str
    name: str
    party: str = ""
    to: Hidden[str] = ""
    options: DialOptions = DialOptions()
    #: A `SuperviseMode`, for `supervise` only.
    mode: str = ""
    #: A `RecordAction`, for `record` only.
    action: str = ""
    url: Hidden[str] = ""
    say: Hidden[str] = ""
    #: Waits until both parties are in the conference.
    is_queued: bool = False
    #: The party is dialed once Twilio confirms that no one's leaving ends the conference.
    awaits_end_on_exit: bool = False
    #: Deadline, Unix milliseconds; 0 for none.
    due_ms: int = 0
    #: `remove` only: the hangup went unconfirmed for a while, and a read was emitted.
    calls_were_read: bool = False
    #: `announce` only: SIDs of the calls still playing it; empty if the whole conference hears it.
    playing_to: tuple[str, ...] = ()
    #: Ids of the effects without an outcome.
    effects: tuple[str, ...] = ()


class Recording(BaseRecord, frozen=True):
    """The newest recording of a session."""

    #: Empty until Twilio reports it; a running recording can be addressed without it.
    sid: str = ""
    #: A `RecordingStatus` that Twilio has confirmed; empty before that.
    status: str = ""
    #: Records the conference from its start; otherwise the customer's call, in two channels.
    of_conference: bool = False
    #: `in-progress`, `paused`, or `stopped`.
    desired_status: str = ""
    #: The request without an outcome (`start`, `pause`, `resume`, `stop`), and its effect's id.
    pending_update: str = ""
    update_effect_id: str = ""
    #: Resumes afterward.
    is_paused_for_consult: bool = False
    #: Consecutive requests that Twilio refused or did not answer (count).
    failures: int = 0
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

    #: The highest SequenceNumber, and a bit for each of the `WINDOW_BITS` numbers up to it (bit 0 is the highest), as
    #: little-endian bytes: most formats hold no integers of this size.
    windows: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()

    def contains(self, source: str, sequence: int | None, token: str) -> bool:
        """Whether this event was applied. Numbers below the window count as seen."""
        if sequence is not None and source in self.windows:
            highest, bits = self.windows[source]
            behind = highest - sequence
            return behind >= WINDOW_BITS or (behind >= 0 and bool(int.from_bytes(bits, "little") >> behind & 1))
        return bool(token) and token in self.tokens

    def has_gap(self, source: str, after: int) -> bool:
        """Whether an event above `after`, still in the window, is missing."""
        highest, bits = self.windows.get(source, (0, b""))
        # One bit for each of these numbers.
        expected = (1 << max(0, highest - max(after, highest - WINDOW_BITS))) - 1
        return (int.from_bytes(bits, "little") & expected) != expected

    def highest(self, source: str) -> int:
        """Return the highest sequence number seen of a call or conference, or 0."""
        return self.windows.get(source, (0, b""))[0]

    def with_event(self, source: str, sequence: int | None, token: str) -> "SeenEvents":
        """Return a copy that contains this event."""
        if sequence is None or not source:
            return SeenEvents(self.windows, (*self.tokens, token)[-TOKENS_MAX:]) if token else self
        highest, stored_bits = self.windows.get(source, (sequence, b""))
        bits = int.from_bytes(stored_bits, "little")
        if sequence > highest:
            bits = (bits << min(sequence - highest, WINDOW_BITS)) % (1 << WINDOW_BITS)
            highest = sequence
        if highest - sequence < WINDOW_BITS:
            bits |= 1 << (highest - sequence)
        window = (highest, bits.to_bytes(-(-bits.bit_length() // 8), "little"))
        if self.windows.get(source) == window:
            return self
        windows = dict(self.windows)
        windows.pop(source, None)  # to the end: the oldest source is dropped first
        windows[source] = window
        while len(windows) > SOURCES_MAX:
            del windows[next(iter(windows))]
        return SeenEvents(windows, self.tokens)
