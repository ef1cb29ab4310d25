"""The model's state as plain data. Times are in sandbox time."""

import re
from dataclasses import dataclass, field
from typing import Literal

from offhook.model.formats import is_number, sip_host
from offhook.model.messages import FetchPurpose, Params, PhoneKind
from offhook.model.numbers import SIP_DOMAINS, Number, Subscription
from offhook.model.twiml_parser import Verb

FINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})  #: Call resource, Status values.
LIMIT_S = 14_400.0  #: Maximum duration of a call (TwiML <Dial>, timeLimit).

Activity = Literal[
    "idle", "sending-digits", "detecting", "fetching", "speaking", "playing", "pausing", "gathering", "paying",
    "recording", "relaying", "enqueued", "dialing", "bridged", "conference",
]  # fmt: skip
"""A call's activity; `bridged` is a child without TwiML of its own that talks to its parent, or is about to."""


@dataclass(frozen=True, slots=True)
class Source:
    """The source of TwiML: a URL, or the document itself."""

    url: str = ""
    method: str = "POST"
    twiml: str = ""


@dataclass(slots=True)
class TwimlProgram:
    """A document that a call runs; `position` is the current verb."""

    verbs: tuple[Verb, ...]
    base_url: str
    position: int = 0
    whisper: bool = False  #: Whether it is a noun's `url`, after which the callee is bridged.
    is_paced: bool = False  #: Whether its `<Redirect>` back to itself has waited.


@dataclass(slots=True)
class Dial:
    """A running `<Dial>`."""

    verb: Verb
    base_url: str
    children: list[str] = field(default_factory=list)  #: Legs that ring, hear a whisper, or talk.
    waiting: list[Verb] = field(default_factory=list)  #: Nouns that are dialed one after the other.
    winner_sid: str = ""  #: The leg that answered first, or came from the queue.
    queue_sid: str = ""  #: Of the queue that it dials.
    bridged_at_s: float | None = None
    error: tuple[int, str] | None = None  #: Twilio's code and message of why it fails.
    recording_sid: str = ""  #: Of its `record`.


@dataclass(slots=True)
class Gather:
    """A running `<Gather>`: prompts first, then the timeout."""

    verb: Verb
    base_url: str
    prompt: int = 0  #: Index of the nested verb being played; after the last one, it only waits for keys.
    digits: str = ""
    speech: str = ""

    def takes(self, kind: Literal["dtmf", "speech"]) -> bool:
        """Whether it waits for keys, or for speech."""
        return kind in self.verb.get("input", "dtmf").split()


@dataclass(slots=True)
class Payment(Gather):
    """A running `<Pay>`; `digits` are of the field that it asks for."""

    entered: dict[str, str] = field(default_factory=dict)  #: Complete fields. Nothing shows them unmasked.
    failures: int = 0  #: Of this field.


@dataclass(slots=True)
class Record:
    """A running `<Record>`."""

    verb: Verb
    base_url: str
    recording_sid: str
    ends_at_s: float  #: Because of its `maxLength`.
    spoken_from_s: float | None = None  #: When the caller first spoke; None: not yet.
    spoken_until_s: float = 0.0  #: When the caller stops speaking; infinite if that is unknown.


@dataclass(frozen=True, slots=True)
class BotScript:
    """What the bot behind a `<ConversationRelay>` says, and how it ends."""

    says: tuple[str, ...] = ("Hello. One moment, please.",)
    handoff_data: str = ""  #: Of its `end` message.
    ends: Literal["handoff", "failed", "hangup"] = "handoff"  #: Or its WebSocket breaks, or the caller hangs up.


@dataclass(slots=True)
class Relay:
    """A running `<Connect><ConversationRelay>`."""

    verb: Verb
    base_url: str
    session_sid: str
    since_s: float
    script: BotScript
    sentences: tuple[Verb, ...]  #: As `<Say>`s.
    position: int = 0


@dataclass(slots=True)
class QueueStay:
    """A running `<Enqueue>`; it lasts until a `<Dial><Queue>` is over."""

    verb: Verb
    program: TwimlProgram  #: The document that contains it, and goes on after a `<Leave>`.
    queue_sid: str
    since_s: float
    dequeued_at_s: float | None = None  #: When a `<Dial><Queue>` took the call; None while it waits.
    dialer_sid: str = ""  #: The call with that `<Dial>`.
    requested_at_s: float = float("-inf")  #: When the `waitUrl` was last requested.


@dataclass(slots=True)
class Queue:
    """A queue of calls. REST or its first `<Enqueue>` creates it; it stays."""

    sid: str
    name: str
    created_at_s: float
    number: int  #: Creation number within the account; lists are sorted by it.
    members: list[str] = field(default_factory=list)  #: The SIDs of those who wait, the front first.
    max_size: int = 1000  #: Twilio's default (Queue resource).


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """How a call joins a conference, from a `<Conference>` or from REST."""

    name: str
    label: str = ""
    muted: bool = False
    coach_sid: str = ""
    start_on_enter: bool = True
    end_on_exit: bool = False
    beep: str = "true"
    wait_url: str | None = None  #: None: Twilio's music. Empty: silence.
    wait_method: str = "POST"
    participants_max: int = 250
    early_media: bool = False
    jitter_buffer: str = "large"
    record: bool = False
    trim: str = "trim-silence"
    recording_configuration: str = ""
    recording_subscription: Subscription | None = None
    subscription: Subscription | None = None
    region: str = ""  #: Empty: Twilio chooses.


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """How to record."""

    source: str  #: `Conference`, `DialVerb`, `OutboundAPI`, `RecordVerb`, or `StartCallRecordingAPI`.
    channels: int = 1
    track: str = "both"
    subscription: Subscription | None = None
    trim: str = "do-not-trim"
    configuration: str = ""  #: The `RecordingConfigurationId`, which is only kept.


@dataclass(frozen=True, slots=True)
class Detection:
    """How to find out whether a person or a machine answered."""

    waits_for_end: bool = False  #: Of a machine's greeting (`DetectMessageEnd`).
    in_background: bool = False  #: Whether the TwiML runs meanwhile (`AsyncAmd`).
    subscription: Subscription | None = None  #: Where a result in the background goes.
    timeout_s: float = 30.0
    silence_s: float | None = None  #: After which the result is `unknown`; None: that of `Behavior`.


@dataclass(slots=True)
class Call:
    """One leg: what the REST API shows, and what drives it."""

    sid: str
    from_: str
    to: str
    direction: Literal["inbound", "outbound-api", "outbound-dial"]
    status: str
    created_at_s: float
    updated_at_s: float
    parent_sid: str = ""
    rang_at_s: float | None = None  #: When a dialed phone began to ring.
    answered_at_s: float | None = None
    ended_at_s: float | None = None
    sip_code: int = 0
    ring_s: float = 60.0  #: Ring timeout.
    limit_s: float = LIMIT_S  #: When it ends, counted from its answer.
    start: Source | None = None  #: TwiML to run when a REST call is answered, or a dialed noun's whisper.
    fallback_url: str = ""
    fallback_method: str = "POST"
    subscription: Subscription | None = None
    callbacks_sent: int = 0
    activity: Activity = "idle"
    generation: int = 0  #: Increases with every new program, which invalidates responses for older ones.
    program: TwimlProgram | None = None
    #: URLs of the `<Redirect>`s since another verb, and whether a circle of them was reported.
    redirects: dict[str, bool] = field(default_factory=dict)
    dial: Dial | None = None
    gather: Gather | None = None
    record: Record | None = None
    relay: Relay | None = None
    queue_stay: QueueStay | None = None
    conference_sid: str = ""  #: The conference that it is in or, while ringing, on its way to.
    join_settings: JoinSettings | None = None  #: Of a leg created by the Participants API, until it joins.
    redirect_target: Source | None = None  #: The new TwiML of a redirected call, while its old action delays it.
    old_action: tuple[Source, Params] | None = None  #: Of a Dial that a redirect ended; its response is ignored.
    custom: Params = ()  #: A browser's parameters or a SIP call's headers; those of an inbound call reach webhooks.
    call_token: str = ""
    send_digits: str = ""  #: Keys that Twilio presses after the answer, before the TwiML.
    digits_sent: str = ""  #: Keys that Twilio has pressed: these, and those of each `<Play digits>`.
    record_from_answer: RecordSettings | None = None  #: Of a REST dial with `Record`.
    recording_sid: str = ""  #: Of that recording.
    application_sid: str = ""  #: The application through which a browser called.
    detection: Detection | None = None  #: How it is found out what answered.
    answered_by: str = ""  #: The detection's result.
    phone_kind: PhoneKind = "person"  #: What answered.
    queue_ms: int = 0
    number: int = 0  #: Creation number within the account; lists are sorted by it.
    far_sid: str = ""  #: If the account dials its own number, the leg that comes in there, and of that the dialed one.
    is_foreign: bool = False  #: Whether it belongs to another application in the same account.
    is_deleted: bool = False  #: Whether REST requests don't show it any more.

    @property
    def dialer_sid(self) -> str:
        """SID of the call whose `<Dial>` took it from a queue, or created it."""
        return (self.queue_stay is not None and self.queue_stay.dialer_sid) or self.parent_sid

    @property
    def is_final(self) -> bool:
        """Whether the call has ended."""
        return self.status in FINAL

    @property
    def started_at_s(self) -> float | None:
        """When it was answered or, without an answer, dialed; None: not yet."""
        return self.answered_at_s or (None if self.status == "queued" else self.created_at_s)

    @property
    def shown_activity(self) -> Activity:
        """Return its activity; both legs of a bridge are `bridged`."""
        return "bridged" if self.dial is not None and self.dial.bridged_at_s is not None else self.activity

    @property
    def takes_speech(self) -> bool:
        """Whether TwiML waits for what its user says."""
        return self.record is not None or (self.gather is not None and self.gather.takes("speech"))


@dataclass(slots=True)
class WaitAudio:
    """What participants hear while waiting or on hold, or as an announcement."""

    kind: Literal["music", "silence", "document"]
    source: Source | None = None
    verbs: tuple[Verb, ...] = ()
    position: int = 0
    base_url: str = ""
    requested_at_s: float = 0.0
    generation: int = 0
    requested_url: str = ""  #: The configured URL, before redirects.

    @property
    def verb(self) -> Verb | None:
        """The current verb; None without a document, in a pause, and at the end."""
        return self.verbs[self.position] if 0 <= self.position < len(self.verbs) else None


@dataclass(slots=True)
class Participant:
    """A call in a conference, or (queued, connecting, ringing) on its way."""

    call_sid: str
    settings: JoinSettings
    status: str
    created_at_s: float
    updated_at_s: float
    label: str = ""
    muted: bool = False
    is_held: bool = False
    coaching: bool = False
    coach_sid: str = ""
    end_on_exit: bool = False
    is_speaking: bool = False
    join_was_sent: bool = False
    wait_audio: WaitAudio | None = None
    hold_audio: WaitAudio | None = None
    announcement: WaitAudio | None = None

    @property
    def is_in(self) -> bool:
        """Whether the participant has joined, rather than being queued or ringing."""
        return self.status == "connected"


@dataclass(slots=True)
class Conference:
    """A conference. `sequence` counts the events sent."""

    sid: str
    name: str
    created_at_s: float
    updated_at_s: float
    status: Literal["init", "in-progress", "completed"] = "init"
    region: str = ""
    participants: dict[str, Participant] = field(default_factory=dict)
    subscription: Subscription | None = None
    settings_applied: bool = False  #: Whether the first participant's settings have become the conference's.
    sequence: int = 0
    participants_max: int = 250
    reason_ended: str = ""
    call_sid_ending: str = ""
    announcement: WaitAudio | None = None
    recording_settings: JoinSettings | None = None  #: Of a recording from the start, until it begins.
    number: int = 0  #: Creation number within the account; lists are sorted by it.

    def joined(self) -> list[Participant]:
        """Return the joined participants in order of joining."""
        return [p for p in self.participants.values() if p.is_in]


SoundKind = Literal["parties", "ringback", "music", "silence", "speech", "digits"]


@dataclass(frozen=True, slots=True)
class Sound:
    """What a leg hears: other legs' SIDs (`parties`), or a sound."""

    kind: SoundKind
    parties: frozenset[str] = frozenset()
    #: The sentence for `speech`, the tones for `digits`, the file's URL for `music`; empty for Twilio's own music.
    content: str = ""
    ringing: bool = False  #: Whether it also hears a dialed party's ringing (early media).

    @property
    def is_ringback(self) -> bool:
        """Whether it is Twilio's ringback, or a file with `ringback` in its name."""
        return self.kind == "ringback" or (self.kind == "music" and "ringback" in self.content.rpartition("/")[2])

    def __str__(self) -> str:
        return "ringback" if self.is_ringback else ",".join(sorted(self.parties)) or self.kind


@dataclass(frozen=True, slots=True)
class SoundInterval:
    """What is heard, or recorded, from `since_s` to `until_s` (None: still)."""

    since_s: float
    until_s: float | None
    sound: Sound


@dataclass(slots=True)
class Recording:
    """A recording of a call or a conference: whose voices, but no audio."""

    sid: str
    call_sid: str  #: The call under which the API shows it; empty for a conference's recording.
    leg_sid: str  #: The recorded leg; differs from the call only if a child's recording belongs to its parent.
    conference_sid: str
    settings: RecordSettings
    status: str
    started_at_s: float
    updated_at_s: float
    ended_at_s: float | None = None
    paused_at_s: float | None = None
    skips_pause: bool = False  #: Whether the current pause leaves no silence in the file (PauseBehavior `skip`).
    skipped_s: float = 0.0  #: Total length of skipped pauses.
    error_code: int = 0
    is_silent: bool = False  #: Whether no one spoke during a `<Record>`.
    text: str = ""  #: What the caller said during a `<Record>`.
    transcription_sid: str = ""  #: Of its transcription, if it has one.
    spans: list[SoundInterval] = field(default_factory=list)  #: In order of time, without pauses.

    @property
    def subscription(self) -> Subscription | None:
        """Where the recording's events go, and which; None if nowhere."""
        return self.settings.subscription

    @property
    def owner_sid(self) -> str:
        """SID of the leg or conference that is recorded."""
        return self.leg_sid or self.conference_sid

    def length_s(self, now_s: float) -> float:
        """Return the file's length so far, in seconds, without skipped pauses."""
        return (now_s if self.ended_at_s is None else self.ended_at_s) - self.started_at_s - self.skipped_s


@dataclass(slots=True)
class TextMessage:
    """A text message."""

    sid: str
    from_: str
    to: str
    body: str
    direction: str  #: `inbound`, `outbound-api`, `outbound-call`, or `outbound-reply`.
    status: str
    created_at_s: float
    updated_at_s: float
    sent_at_s: float | None
    media_urls: tuple[str, ...] = ()
    service_sid: str = ""
    subscription: Subscription | None = None
    number: int = 0  #: Creation number.

    @property
    def segment_count(self) -> int:
        """How many short messages carriers make of it."""
        one, several = (160, 153) if self.body.isascii() else (70, 67)
        return 1 if len(self.body) <= one else -(-len(self.body) // several)


@dataclass(slots=True)
class Fetch:
    """A requested document that hasn't arrived."""

    fetch_id: int
    call_sid: str  #: Or that of a text message.
    purpose: FetchPurpose
    generation: int
    url: str
    conference_sid: str = ""
    is_fallback: bool = False


TimerKey = tuple[str, str]  #: The SID of a call, conference, or recording, and the timer's name.


@dataclass(slots=True)
class State:
    """The model's complete state: plain data to copy and compare."""

    account_sid: str
    seed: str
    api_url: str = "https://api.twilio.com"  #: Where programs download recordings.
    numbers: dict[str, Number] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    live_calls: dict[str, None] = field(default_factory=dict)  #: SIDs of calls not final, in order of creation.
    conferences: dict[str, Conference] = field(default_factory=dict)
    conference_sids: dict[str, str] = field(default_factory=dict)  #: Of live conferences, by name.
    queues: dict[str, Queue] = field(default_factory=dict)
    recordings: dict[str, Recording] = field(default_factory=dict)
    unfinished_recordings: dict[str, None] = field(default_factory=dict)  #: SIDs of those that haven't ended.
    messages: dict[str, TextMessage] = field(default_factory=dict)
    fetches: dict[int, Fetch] = field(default_factory=dict)
    timers: dict[TimerKey, float] = field(default_factory=dict)  #: When each fires, in order of setting.
    created_counts: dict[str, int] = field(default_factory=dict)  #: Of SIDs, by prefix; also the newest one's number.
    fetch_count: int = 0
    bot: BotScript | None = None  #: Of each `<ConversationRelay>` from now on; None until one is scripted.
    next_dial_at_s: float = 0.0  #: When the next REST dial may leave the queue.

    def is_own_number(self, to: str) -> bool:
        """Whether a dialed number is the account's: its voice URL answers."""
        number = self.numbers.get(to)
        return number is not None and is_number(to) and not number.is_verified_only

    def answering(self, to: str) -> Number | None:
        """Return the account's number, or application, whose voice URL answers."""
        if to.startswith("app:"):
            return self.application(to.removeprefix("app:").partition("?")[0])
        return self.numbers[to] if self.is_own_number(to) else None

    def own_numbers(self) -> list[str]:
        """Return the account's numbers, without SIP domains and applications."""
        return [it for it in self.numbers if self.is_own_number(it)]

    def application(self, sid: str) -> Number | None:
        """Return the TwiML application with this SID."""
        found = self.numbers.get(sid)
        return found if found is not None and found.application_sid and not is_number(sid) else None

    def called(self, to: str) -> Number | None:
        """Return the number, SIP domain, or application that `to` reaches."""
        # A localized name, `acme.sip.ashburn.twilio.com`, is the same domain.
        domain = re.sub(r"\.sip\.[a-z0-9-]+\.twilio\.com$", SIP_DOMAINS, sip_host(to))
        number = self.numbers.get(to) or self.numbers.get(domain)
        return None if number is not None and number.is_verified_only else number
