"""Effects: Twilio requests, which the worker executes after the commit."""

import hashlib
from typing import ClassVar

from conferral.statemachine.parts import DEFAULT_ATTRIBUTES, DEFAULT_OPTIONS, ConferenceAttributes, DialOptions
from conferral.statemachine.record import BaseRecord, Hidden, snake_case
from conferral.statemachine.states import END_ON_EXIT_UPDATES, ParticipantUpdate


def effect_id(session_id: str, entry_id: str, index: int, kind: str, target: str) -> str:
    """Return an effect's id: deciding the same entry again gives the same one.

    After a loss, Conferral thus finds what was done, instead of doing it twice. `index` counts the effects of
    a step; `target` is the SID acted on, or another word that distinguishes siblings.
    """
    text = "\n".join((session_id, entry_id, str(index), kind, target))
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


class Effect(BaseRecord, frozen=True, kw_only=True, tag_field="kind", tag=snake_case):
    """Base class of effects; in JSON, their kind is a field."""

    #: Redis holds it, so a class keeps its name.
    kind: ClassVar[str] = ""
    #: Bypasses the session's queue, and is retried until Twilio gives a definite answer.
    is_ending: ClassVar[bool] = False

    effect_id: str
    session_id: str
    #: Empty if none is concerned.
    party: str = ""

    def __init_subclass__(cls) -> None:
        cls.kind = snake_case(cls.__name__)

    @property
    def target(self) -> str:
        """What it acts on, a part of its id: a call, dial, conference, or party."""
        names = ("parent_call_sid", "call_sid", "dial_id", "conference_sid", "recording_sid", "party")
        return next((value for name in names if (value := str(getattr(self, name, "")))), "")

    @property
    def detail(self) -> str:
        """What distinguishes it from others of its kind in the log, if anything."""
        return str(getattr(self, "update", getattr(self, "status", "")))


class CallEffect(Effect, frozen=True, kw_only=True):
    """Base class of effects on one call."""

    call_sid: str


class RedirectCall(CallEffect, frozen=True, kw_only=True):
    """Redirect a live call to inline TwiML that joins the conference."""

    #: Conference SID once known, so that a late leg can't open a second one; until then, the conference name.
    conference: str
    #: Empty if it equals the session's id.
    conference_name: str = ""
    label: str
    #: Number of the attempt to bring this leg in, from 1; the `<Dial>` action URL carries it.
    attempt: int = 1
    #: `ringback` or `music` if it waits; empty if it starts the conference, in silence.
    wait_audio: str = ""
    #: SID of the conference that the leg leaves, if any.
    left_conference: str = ""
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES


class Dial(Effect, frozen=True, kw_only=True):
    """Base class of dials; success carries the call SID and the queue time."""

    #: `+E.164`, `client:NAME` or `sip:URI`.
    to: Hidden[str]
    #: With all defaults, except an empty caller ID, which is `TWILIO_NUMBER`.
    options: DialOptions
    #: Allows showing the inbound caller's number, which it contains.
    call_token: Hidden[str] = ""
    #: Twilio signed the address for a party that called in, so it is dialed as it is.
    is_signed_address: bool = False
    #: Twilio refused it, sent in another way: it was counted within the limits of dials.
    is_redial: bool = False
    #: It offers a caller in a queue: not counted within the limit of the session's dials.
    is_offer: bool = False


class CreateParticipant(Dial, frozen=True, kw_only=True):
    """Dial with `Participants.create`. Verified by label before a retry."""

    #: SID of the conference, or its name before it exists.
    conference: str
    label: str
    #: Whether the participants hear it ring.
    early_media: bool
    #: Joins muted and without starting the conference, as a supervisor does.
    supervises: bool = False
    #: Joins muted, as `add` may say.
    muted: bool = False
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES


class CreateCall(Dial, frozen=True, kw_only=True):
    """Dial to the gate with `Calls.create`. Unverifiable: sent at most once."""


class FindCall(Effect, frozen=True, kw_only=True):
    """Search Twilio for the call of a gated dial of unknown result."""

    dial_id: str
    to: Hidden[str]
    #: When the dial was emitted.
    since_ms: int
    #: Those of the dial.
    options: DialOptions = DEFAULT_OPTIONS


class UpdateParticipant(CallEffect, frozen=True, kw_only=True):
    """Hold or mute, set `EndConferenceOnExit`, or coach. Safe to retry."""

    conference_sid: str
    #: A `ParticipantUpdate`.
    update: str
    #: On hold: `ringback` or `music`.
    wait_audio: str = ""
    #: In `whisper`: SID of the call that hears the supervisor.
    coaches: str = ""
    #: `Hold` is left out: the party is about to be held. Twilio may then ignore the flag.
    keeps_hold: bool = False

    @property
    def unholds(self) -> bool:
        """Whether it contains `Hold=false`, and would undo a later hold."""
        is_flag = self.update in END_ON_EXIT_UPDATES and not self.keeps_hold
        return is_flag or self.update == ParticipantUpdate.UNHOLD


class RedirectToVoicemail(CallEffect, frozen=True, kw_only=True):
    """Move a call to the voicemail. Never retried: the greeting would restart."""


class FindMessage(CallEffect, frozen=True, kw_only=True):
    """Search Twilio for the message that a call left in the voicemail."""


class SayAndHangUp(CallEffect, frozen=True, kw_only=True):
    """Say that no one was reached, then hang up; done if the call is over."""

    is_ending: ClassVar[bool] = True


class RedirectToUrl(CallEffect, frozen=True, kw_only=True):
    """Redirect the customer to your app's TwiML, which ends the session."""

    is_ending: ClassVar[bool] = True

    url: str


class PlayAnnouncement(Effect, frozen=True, kw_only=True):
    """Play audio to all or one. Never retried: it would be heard twice."""

    conference_sid: str
    #: Empty for the whole conference.
    call_sid: str = ""
    #: Empty if Conferral's own document says the command's sentence, or plays its digits.
    url: Hidden[str] = ""
    command_id: str


class StartRecording(CallEffect, frozen=True, kw_only=True):
    """Record a call in two channels. Verified before a retry."""

    #: Id of the recording configuration that decides instead; empty for none.
    configuration: str = ""


class FindRecording(Effect, frozen=True, kw_only=True):
    """Search Twilio for a recording that ends, by the one SID that is known."""

    recording_sid: str = ""
    #: Of the call or the conference that was recorded.
    call_sid: str = ""
    conference_sid: str = ""


class ChangeRecording(Effect, frozen=True, kw_only=True):
    """Pause, resume, or stop a recording. Safe to retry."""

    #: Empty for the running one (`Twilio.CURRENT`).
    recording_sid: str = ""
    #: A call's recording has this, a conference's the next.
    call_sid: str = ""
    conference_sid: str = ""
    #: `paused` (which skips the time: `PauseBehavior=skip`), `in-progress`, or `stopped`.
    status: str


class HangUpCall(CallEffect, frozen=True, kw_only=True):
    """End one call, whatever its status; done if it is over."""

    is_ending: ClassVar[bool] = True


class EndConference(Effect, frozen=True, kw_only=True):
    """Complete the conference; done if it is over."""

    is_ending: ClassVar[bool] = True

    conference_sid: str


class ReadCalls(Effect, frozen=True, kw_only=True):
    """Read the session's calls and conference from Twilio into a `CallsRead`."""

    #: The call whose `<Dial>` made the bridge and whose children are listed; empty if unknown.
    parent_call_sid: str
    #: Other calls, most important first. The worker reads some of those that the conference does not show.
    call_sids: tuple[str, ...] = ()
    #: Those of `call_sids` that are always read: presence in the conference proves no answer, and shows no address.
    unproven_sids: tuple[str, ...] = ()
    #: Empty if it equals the session's id.
    conference_name: str = ""
    #: If known; selects among conferences of the same name.
    conference_sid: str = ""
    #: The session's version when it was emitted.
    read_version: int
    #: No one waits for it: only a loss of Redis made it due.
    is_background: bool = False


EFFECTS: tuple[type[Effect], ...] = (
    RedirectCall, CreateParticipant, CreateCall, FindCall, UpdateParticipant, PlayAnnouncement,
    StartRecording, ChangeRecording, FindRecording, RedirectToVoicemail, FindMessage, SayAndHangUp, RedirectToUrl,
    HangUpCall, EndConference, ReadCalls,
)  # fmt: skip
