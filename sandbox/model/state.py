"""What an exchange knows: calls, programs, dials, conferences, participants, recordings, in plain data.

Times are seconds of the clock that is handed in with each input. Nothing here acts; see `work` and the modules above.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from conferral.sandbox.model.inputs import Params
from conferral.sandbox.model.outputs import FetchPurpose
from conferral.sandbox.model.timers import Timers
from conferral.sandbox.model.twiml_parser import Verb

FINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""Statuses that a call never leaves (Twilio docs: Call resource, Status values)."""

Activity = Literal[
    "idle",
    "sending-digits",
    "fetching",
    "speaking",
    "playing",
    "pausing",
    "gathering",
    "dialing",
    "bridged",
    "conference",
]
"""What a call is doing. `bridged`: a child without TwiML of its own that talks to its parent, or is about to."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number, SIP domain or application of the account, and where its calls ask for TwiML."""

    number: str
    voice_url: str
    voice_method: str = "POST"
    voice_fallback_url: str = ""
    voice_fallback_method: str = "POST"
    status_callback: str = ""
    status_callback_method: str = "POST"
    application_sid: str = ""
    """Set for a browser application. A browser dials `number`; `To` is then what the browser chose, or empty."""
    name: str = ""
    """What people call it."""

    def __deepcopy__(self, _memo: dict[int, Any]) -> Number:
        return self


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where events go, and which."""

    url: str
    method: str
    events: tuple[str, ...]

    def __deepcopy__(self, _memo: dict[int, Any]) -> Subscription:
        return self


@dataclass(frozen=True, slots=True)
class Source:
    """Where TwiML comes from: an address, or the document itself."""

    url: str = ""
    method: str = "POST"
    twiml: str = ""

    def __deepcopy__(self, _memo: dict[int, Any]) -> Source:
        return self


@dataclass(slots=True)
class TwimlProgram:
    """A document that a call runs; `position` is the verb it is at."""

    verbs: tuple[Verb, ...]
    base_url: str
    position: int = 0
    whisper: bool = False
    """A noun's `url`: when it ends the callee is bridged."""


@dataclass(slots=True)
class Dial:
    """A `<Dial>` that is going on."""

    verb: Verb
    base_url: str
    children: list[str] = field(default_factory=list)
    """Legs that still ring, whisper or talk."""
    winner_sid: str = ""
    """The leg that answered first."""
    bridged_at_s: float | None = None


@dataclass(slots=True)
class Gather:
    """A `<Gather>` that is going on: prompts first, then the time-out."""

    verb: Verb
    base_url: str
    prompt: int = 0
    """Index of the nested verb being spoken; beyond the last one only keys are awaited."""
    digits: str = ""


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """How a call enters a conference, from a `<Conference>` or from the REST API."""

    name: str
    label: str = ""
    muted: bool = False
    coach_sid: str = ""
    start_on_enter: bool = True
    end_on_exit: bool = False
    beep: str = "true"
    wait_url: str | None = None
    """None: Twilio's music. Empty: silence."""
    wait_method: str = "POST"
    participants_max: int = 250
    early_media: bool = False
    jitter_buffer: str = "large"
    record: bool = False
    trim: str = "trim-silence"
    recording: Subscription | None = None
    events: Subscription | None = None
    region: str = ""
    """Empty: Twilio chooses."""

    def __deepcopy__(self, _memo: dict[int, Any]) -> JoinSettings:
        return self


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """How something is to be recorded."""

    source: str
    """Twilio's word: `Conference`, `OutboundAPI`, `StartCallRecordingAPI`."""
    channels: int = 1
    track: str = "both"
    subscription: Subscription | None = None
    trim: str = "do-not-trim"

    def __deepcopy__(self, _memo: dict[int, Any]) -> RecordSettings:
        return self


@dataclass(slots=True)
class Call:
    """One leg. `status` is Twilio's; the fields below are what the REST API shows and what drives the leg."""

    sid: str
    from_: str
    to: str
    direction: Literal["inbound", "outbound-api", "outbound-dial"]
    status: str
    created_at_s: float
    updated_at_s: float
    parent_sid: str = ""
    answered_at_s: float | None = None
    ended_at_s: float | None = None
    sip_code: int = 0
    ring_s: float = 60.0
    """How long its phone may ring."""
    limit_s: float = 14_400.0
    """How long it may last once answered."""
    start: Source | None = None
    """What a leg made by REST runs when answered, or the whisper of a dialled noun."""
    fallback_url: str = ""
    fallback_method: str = "POST"
    fallback_used: bool = False
    subscription: Subscription | None = None
    callbacks_sent: int = 0
    activity: Activity = "idle"
    generation: int = 0
    """Grows with every new program, so that answers meant for an older one are told apart."""
    program: TwimlProgram | None = None
    dial: Dial | None = None
    gather: Gather | None = None
    conference_sid: str = ""
    """The conference it is in or, ringing, on its way to."""
    join_settings: JoinSettings | None = None
    """Set on a leg made by the Participants API until it joins."""
    pending: Source | None = None
    """Where a redirected parent goes once the delay is over."""
    old_action: tuple[Source, Params] | None = None
    """The action of the Dial that a redirect ended, still to be requested; its answer is ignored."""
    custom: Params = ()
    call_token: str = ""
    send_digits: str = ""
    """Keys that Twilio presses once the call is answered, before its TwiML."""
    digits_sent: str = ""
    """The same, once they were pressed."""
    application_sid: str = ""
    """The application through which a browser called."""
    record_settings: RecordSettings | None = None
    """Asked for at its creation: it is recorded from its answer."""
    queue_ms: int = 0
    number: int = 0
    """Counts the account's calls; lists go by it."""
    is_foreign: bool = False
    """Whether it belongs to somebody else who uses the same account."""

    @property
    def is_final(self) -> bool:
        """Whether the call is over."""
        return self.status in FINAL


AudioKind = Literal["music", "silence", "document"]


@dataclass(slots=True)
class WaitAudio:
    """What a participant who waits or is held hears: music, silence, or a document of Play, Say and Pause."""

    kind: AudioKind
    source: Source | None = None
    verbs: tuple[Verb, ...] = ()
    position: int = 0
    base_url: str = ""
    requested_at_s: float = 0.0
    generation: int = 0
    requested_url: str = ""
    """The address that was given, whatever it has redirected to."""


@dataclass(slots=True)
class Participant:
    """A call in a conference, or on its way there (`status` queued, connecting or ringing)."""

    call_sid: str
    settings: JoinSettings
    status: str
    created_at_s: float
    updated_at_s: float
    by_rest: bool
    label: str = ""
    muted: bool = False
    is_held: bool = False
    coaching: bool = False
    coach_sid: str = ""
    end_on_exit: bool = False
    beep_on_exit: bool = True
    is_speaking: bool = False
    joined_event: bool = False
    """Whether participant-join was said for it."""
    wait_audio: WaitAudio | None = None
    hold_audio: WaitAudio | None = None
    announcement: WaitAudio | None = None

    @property
    def is_in(self) -> bool:
        """Whether it has joined, as against ringing."""
        return self.status == "connected"


@dataclass(slots=True)
class Conference:
    """A room. `sequence` counts the events sent."""

    sid: str
    name: str
    created_at_s: float
    updated_at_s: float
    status: Literal["init", "in-progress", "completed"] = "init"
    region: str = ""
    participants: dict[str, Participant] = field(default_factory=dict)
    ever_joined: bool = False
    events: Subscription | None = None
    events_fixed: bool = False
    """The first participant has joined, so `events` stays as it is."""
    sequence: int = 0
    participants_max: int = 250
    reason_ended: str = ""
    call_sid_ending: str = ""
    announcement: WaitAudio | None = None
    recording: JoinSettings | None = None
    """The order that asked for a recording from the start, until it begins."""
    number: int = 0
    """Counts the account's conferences; lists go by it."""

    def joined(self) -> list[Participant]:
        """Those who are in, in the order of entering."""
        return [p for p in self.participants.values() if p.is_in]


@dataclass(frozen=True, slots=True)
class RecordedSpan:
    """From `since_s` to `until_s` (None: still) these legs' voices go onto a recording."""

    since_s: float
    until_s: float | None
    voices: frozenset[str]

    def __deepcopy__(self, _memo: dict[int, Any]) -> RecordedSpan:
        return self


@dataclass(slots=True)
class Recording:
    """A recording of a call or of a conference: its states and whose voices are on it, never sound."""

    sid: str
    call_sid: str
    """The call that the API shows it under; empty for a conference's."""
    leg_sid: str
    """The leg whose sound it is; another one than the call only where that of a child is shown as its parent's."""
    conference_sid: str
    settings: RecordSettings
    status: str
    started_at_s: float
    updated_at_s: float
    ended_at_s: float | None = None
    paused_at_s: float | None = None
    skips_pause: bool = False
    """Whether the pause that is going on leaves no gap of silence in the file (PauseBehavior `skip`)."""
    skipped_s: float = 0.0
    """What pauses have left out."""
    error_code: int = 0
    spans: list[RecordedSpan] = field(default_factory=list)
    """What is on it, in order of time; pauses are no part of it."""

    @property
    def subscription(self) -> Subscription | None:
        """Who is told of it."""
        return self.settings.subscription

    def length_s(self, now_s: float) -> float:
        """How long its file is, or would be now."""
        return (now_s if self.ended_at_s is None else self.ended_at_s) - self.started_at_s - self.skipped_s

    def has_voice_of(self, leg_sid: str, since_s: float = 0.0, until_s: float = float("inf")) -> bool:
        """Whether a leg's voice is on it, or may be of what was said between two moments."""
        return any(
            leg_sid in span.voices and span.since_s < until_s and (span.until_s is None or span.until_s > since_s)
            for span in self.spans
        )


@dataclass(slots=True)
class Fetch:
    """A document that was asked for and has not come."""

    fetch_id: int
    call_sid: str
    purpose: FetchPurpose
    generation: int
    url: str
    conference_sid: str = ""
    is_fallback: bool = False


@dataclass(slots=True)
class State:
    """Everything an exchange knows. Plain data: deep-copied and compared freely."""

    account_sid: str
    seed: str
    numbers: dict[str, Number] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    live_calls: dict[str, None] = field(default_factory=dict)
    """SIDs of the calls that are not final, in order of creation."""
    conferences: dict[str, Conference] = field(default_factory=dict)
    conference_sids: dict[str, str] = field(default_factory=dict)
    """SID of the live conference of a name."""
    recordings: dict[str, Recording] = field(default_factory=dict)
    active_recordings: dict[str, list[str]] = field(default_factory=dict)
    """SIDs of the recordings of a leg or conference that have not ended."""
    fetches: dict[int, Fetch] = field(default_factory=dict)
    timers: Timers = field(default_factory=Timers)
    created_counts: dict[str, int] = field(default_factory=dict)
    """How many SIDs of each prefix were made; the number of the newest resource of that kind."""
    fetch_count: int = 0
    next_dial_at_s: float = 0.0
    """When the queue of REST dials lets the next one start."""
