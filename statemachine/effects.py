"""Effects: the Twilio requests that follow from a step. The worker executes them after the commit."""

import hashlib
from enum import StrEnum
from typing import ClassVar

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.record import BaseRecord, Hidden, snake_case


def effect_id(session_id: str, entry_id: str, index: int, kind: str, target: str) -> str:
    """Return a deterministic id for an effect: deciding the same entry again gives the same id.

    After a Redis rollback, the replayed entries produce the same ids, so Conferral finds what was already done instead
    of doing it twice.

    Args:
        entry_id: Id of the stream entry whose step emits the effect.
        index: Position among the effects of that step, from 0.
        target: SID of the resource it acts on, or another word that distinguishes it from its siblings.
    """
    text = "\n".join((session_id, entry_id, str(index), kind, target))
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


class Effect(BaseRecord, frozen=True, kw_only=True):
    """Base class of effects."""

    #: The class's name in snake case. Redis holds it, so a class keeps its name.
    kind: ClassVar[str] = ""
    #: Bypasses the session's queue, and is retried until Twilio gives a definite answer.
    is_ending: ClassVar[bool] = False
    #: Which attribute names what the effect acts on.
    target_attribute: ClassVar[str] = "party"

    effect_id: str
    session_id: str
    #: Name of the party concerned; empty if none is.
    party: str = ""

    def __init_subclass__(cls) -> None:
        cls.kind = snake_case(cls.__name__)

    @property
    def target(self) -> str:
        """What the effect acts on; part of its id."""
        target: str = getattr(self, self.target_attribute)
        return target

    @property
    def detail(self) -> str:
        """What distinguishes the effect from others of its kind in the session's log; usually empty."""
        return ""


class CallEffect(Effect, frozen=True, kw_only=True):
    """Base class of effects on one call."""

    target_attribute: ClassVar[str] = "call_sid"

    call_sid: str


class RedirectCall(CallEffect, frozen=True, kw_only=True):
    """Redirect a live call to inline TwiML that joins it to the session's conference. Twilio fetches no document."""

    #: Conference SID once it is known, so that a late leg can't open a second conference; until then, the conference
    #: name.
    conference: str
    #: The conference's name; empty if it equals the session's id.
    conference_name: str = ""
    #: Participant label.
    label: str
    #: Number of the attempt to bring this leg in, from 1. The `<Dial>` action URL carries it.
    attempt: int = 1
    #: `ringback` or `music` for a party that waits and does not start the conference; empty for a party that starts it,
    #: in silence.
    wait_audio: str = ""
    #: SID of the conference that the leg is to leave, if any.
    left_conference: str = ""
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES


class Dial(Effect, frozen=True, kw_only=True):
    """Base class of the two ways to dial a party. Its `effect_id` is the dial's id.

    Its success carries the call SID and Twilio's expected queue time.
    """

    #: `+E.164`, `client:NAME` or `sip:URI`.
    to: Hidden[str]
    #: Seconds to ring.
    timeout_s: int
    #: The caller ID; empty for `TWILIO_NUMBER`.
    caller_id: Hidden[str] = ""
    #: Twilio's CallToken, which allows showing the inbound caller's number. Contains a number.
    call_token: Hidden[str] = ""
    #: Whether a party is waiting for this dial; such dials take precedence in the rate limiter.
    is_urgent: bool = True


class CreateParticipant(Dial, frozen=True, kw_only=True):
    """Dial a party into the conference with `Participants.create`.

    If the outcome is unknown, the worker searches for the label before it retries.
    """

    #: SID of the conference, or its name before it exists.
    conference: str
    label: str
    #: Whether the participants hear it ring.
    early_media: bool
    #: Whether it joins muted and without starting the conference, as a supervisor does.
    supervises: bool = False
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES


class CreateCall(Dial, frozen=True, kw_only=True):
    """Dial a party with `Calls.create` to the gate, which decides whether the call may join the conference.

    The request can't be verified, so it is sent at most once.
    """

    #: DTMF sent after the answer; empty for none.
    digits: str = ""


class FindCall(Effect, frozen=True, kw_only=True):
    """Search Twilio's call list for the call of a gated dial whose outcome is unknown.

    Its success carries the call SID, or none.
    """

    target_attribute: ClassVar[str] = "dial_id"

    #: Id of the dial.
    dial_id: str
    to: Hidden[str]
    #: When the dial was emitted, Unix milliseconds.
    since_ms: int
    #: The caller ID used; empty for `TWILIO_NUMBER`.
    caller_id: Hidden[str] = ""


class UpdateParticipant(CallEffect, frozen=True, kw_only=True):
    """Hold or mute a participant, set `EndConferenceOnExit`, or set whom it coaches. Safe to retry."""

    conference_sid: str
    #: None leaves it unchanged.
    hold: bool | None = None
    #: What the party hears on hold, `ringback` or `music`.
    wait_audio: str = ""
    #: EndConferenceOnExit; None leaves it unchanged.
    end_on_exit: bool | None = None
    #: None leaves it unchanged.
    muted: bool | None = None
    #: Supervisors only: a `SuperviseMode`; empty leaves it unchanged. Sets muting and coaching in one request.
    supervises: str = ""
    #: Supervisors who whisper: SID of the call that hears them.
    coaches: str = ""

    @property
    def detail(self) -> str:
        """The one requested update, a value of `ParticipantUpdate`, for logs; exactly one is ever set."""
        if self.supervises:
            return self.supervises
        if self.hold is not None:
            return "hold" if self.hold else "unhold"
        if self.muted is not None:
            return "mute" if self.muted else "unmute"
        return "set-end-on-exit" if self.end_on_exit else "clear-end-on-exit"


class SayAndHangUp(CallEffect, frozen=True, kw_only=True):
    """Play a sentence to a call, then hang it up. A call that is already over counts as done."""

    is_ending: ClassVar[bool] = True

    #: Key of the sentence, a `Sentence`.
    sentence: str


class Sentence(StrEnum):
    """Keys of the sentences played before a hangup; `telephony/phrases.py` has the words in each language."""

    #: For a customer whose transfer failed for good.
    TRANSFER_FAILED = "transfer-failed"
    #: For a caller whom no one answered.
    NO_ONE_REACHED = "nobody-reached"


class RedirectToUrl(CallEffect, frozen=True, kw_only=True):
    """Redirect the customer's call to your app's TwiML once the others have left. This ends the session."""

    is_ending: ClassVar[bool] = True

    #: URL of the TwiML.
    url: str


class PlayAnnouncement(Effect, frozen=True, kw_only=True):
    """Play audio to the whole conference or to one participant. Never retried: it would be heard twice."""

    conference_sid: str
    #: SID of the participant's call; empty for the whole conference.
    call_sid: str = ""
    #: URL of the audio; empty if Conferral's own document says the command's sentence.
    url: Hidden[str] = ""
    #: Id of the `announce` command.
    command_id: str

    @property
    def target(self) -> str:
        """The call SID, or the conference SID."""
        return self.call_sid or self.conference_sid


class StartRecording(CallEffect, frozen=True, kw_only=True):
    """Record a call in two channels. Verified before a retry. Its success carries the recording SID."""


class ChangeRecording(Effect, frozen=True, kw_only=True):
    """Pause, resume, or stop a recording. Safe to retry."""

    #: SID of the recording; empty for the running one (`Twilio.CURRENT`).
    recording_sid: str = ""
    #: SID of the recorded call; empty for a conference recording.
    call_sid: str = ""
    #: SID of the recorded conference; empty for a call recording.
    conference_sid: str = ""
    #: `paused`, `in-progress`, or `stopped`. Paused time is skipped in the recording (`PauseBehavior=skip`).
    status: str

    @property
    def target(self) -> str:
        """The call SID, or the conference SID."""
        return self.call_sid or self.conference_sid

    @property
    def detail(self) -> str:
        """The requested status."""
        return self.status


class HangUpCall(CallEffect, frozen=True, kw_only=True):
    """End one call, whatever its status. A call that is already over counts as done."""

    is_ending: ClassVar[bool] = True


class EndConference(Effect, frozen=True, kw_only=True):
    """Complete the conference. A conference that is already over counts as done."""

    is_ending: ClassVar[bool] = True
    target_attribute: ClassVar[str] = "conference_sid"

    conference_sid: str


class ReadCalls(Effect, frozen=True, kw_only=True):
    """Read the session's calls and conference from Twilio. The result is a `CallsRead` event."""

    target_attribute: ClassVar[str] = "parent_call_sid"

    #: The call whose `<Dial>` bridges the two and whose children are listed; empty if unknown.
    parent_call_sid: str
    #: Other calls of the session, most important first. The worker reads those that the conference does not show, up to
    #: a limit per read.
    call_sids: tuple[str, ...] = ()
    #: Subset of `call_sids` that is always read, because presence in the conference does not prove an answer.
    unproven_sids: tuple[str, ...] = ()
    #: Whether to search for a live conference of the session by its name, too.
    with_conference: bool
    #: The conference's name; empty if it equals the session's id.
    conference_name: str = ""
    #: SID of the session's conference if known. It selects among conferences of the same name.
    conference_sid: str = ""
    #: The session's version when the read was emitted.
    read_version: int


#: Every kind of effect, for codecs and docs.
EFFECTS: tuple[type[Effect], ...] = (
    RedirectCall, CreateParticipant, CreateCall, FindCall, UpdateParticipant, PlayAnnouncement, StartRecording,
    ChangeRecording, SayAndHangUp, RedirectToUrl, HangUpCall, EndConference, ReadCalls,
)  # fmt: skip
