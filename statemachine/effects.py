"""What shall be done to the world: orders that the worker carries out after they were committed."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes


def effect_id(session_id: str, entry_id: str, index: int, kind: str, target: str) -> str:
    """A name for one effect, the same whenever the same entry is decided again.

    A history that was rewound decides the same ids again, so that what was done already is found instead of done twice.

    Args:
        session_id: The session's id.
        entry_id: Id of the stream entry whose decision ordered it.
        index: Position among the effects of that decision, from 0.
        kind: The effect's kind.
        target: SID it is aimed at, or another word that tells it from its siblings.
    """
    text = "\n".join((session_id, entry_id, str(index), kind, target))
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What every effect carries."""

    kind: ClassVar[str] = ""
    #: Sent beside whatever else is under way for the session, and repeated until Twilio gives a definite answer.
    is_ending: ClassVar[bool] = False

    effect_id: str
    session_id: str
    #: The party concerned, empty when none is.
    party: str = ""

    @property
    def target(self) -> str:
        """What it is aimed at; part of its id."""
        return self.party

    @property
    def detail(self) -> str:
        """A word that tells it from others of its kind, for the session's log; empty for most."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectCall(Effect):
    """Give a live call new TwiML that joins it to the session's conference, inline, so that nothing is fetched."""

    kind: ClassVar[str] = "redirect_call"

    call_sid: str
    #: Conference SID once it is known, so that a late leg can't open a second room; else the conference's name.
    conference: str
    #: The conference's name; empty if it is the session's id.
    conference_name: str = ""
    #: Participant label.
    label: str
    #: Which try to bring this leg in, from 1: its `<Dial>`'s action tells the tries apart.
    attempt: int = 1
    #: What the party hears until somebody else joins, `ringback` or `music`: then it does not start the conference.
    #: Empty for a party that starts it, in silence.
    wait_audio: str = ""
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES

    @property
    def target(self) -> str:
        """The call."""
        return self.call_sid


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial(Effect):
    """What the two ways of dialling somebody have in common. Its `effect_id` is the dial's id.

    Its success carries the call's SID and the time that Twilio expects to queue it.
    """

    #: `+E.164`, `client:NAME` or `sip:URI`.
    to: str = field(repr=False)
    #: Seconds to ring.
    timeout_s: int
    #: The number that is shown; empty for `TWILIO_NUMBER`.
    caller_id: str = field(default="", repr=False)
    #: With which Twilio lets the inbound caller's number be shown. Contains a number.
    call_token: str = field(default="", repr=False)
    #: Whether somebody waits for it: then it goes before dials that nobody waits for.
    is_urgent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateParticipant(Dial):
    """Dial somebody straight into the conference.

    When nobody knows what came of it, it is looked up by its label before it is repeated.
    """

    kind: ClassVar[str] = "create_participant"

    #: SID of the conference, or its name while there is none.
    conference: str
    label: str
    #: Whether those inside hear it ring.
    early_media: bool
    #: Whether it comes in muted, and without starting the conference: a supervisor does.
    supervises: bool = False
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCall(Dial):
    """Dial somebody to our gate, which lets the call into the conference or not.

    It can't be looked up, so it is never sent a second time.
    """

    kind: ClassVar[str] = "create_call"

    #: DTMF sent after the answer; empty for none.
    digits: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindCall(Effect):
    """Look for the call of a gated dial of which nobody knows whether it was placed, in the list of calls.

    Its success carries the call's SID, or none.
    """

    kind: ClassVar[str] = "find_call"

    #: Id of the dial.
    dial_id: str
    to: str = field(repr=False)
    #: When the dial was ordered, Unix milliseconds.
    since_ms: int
    #: The number that was shown; empty for `TWILIO_NUMBER`.
    caller_id: str = field(default="", repr=False)

    @property
    def target(self) -> str:
        """The dial."""
        return self.dial_id


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateParticipant(Effect):
    """Hold or mute a participant, set what its leaving does, or whom it coaches. May be repeated."""

    kind: ClassVar[str] = "update_participant"

    call_sid: str
    conference_sid: str
    #: None leaves it as it is.
    hold: bool | None = None
    #: What is heard on hold, `ringback` or `music`.
    wait_audio: str = ""
    #: EndConferenceOnExit; None leaves it as it is.
    end_on_exit: bool | None = None
    #: None leaves it as it is.
    muted: bool | None = None
    #: Of a supervisor: one of `SuperviseMode`; empty leaves it as it is. Sets muting and coaching in one request.
    supervises: str = ""
    #: Of a supervisor who whispers: the call that hears it.
    coaches: str = ""

    @property
    def detail(self) -> str:
        """What is asked for, in the words of `Ask`: `hold`, `unhold`, `mute`, `set-end-on-exit`, `whisper`..."""
        if self.supervises:
            return self.supervises
        if self.hold is not None:
            return "hold" if self.hold else "unhold"
        if self.muted is not None:
            return "mute" if self.muted else "unmute"
        return "set-end-on-exit" if self.end_on_exit else "clear-end-on-exit"

    @property
    def target(self) -> str:
        """The call."""
        return self.call_sid


@dataclass(frozen=True, slots=True, kw_only=True)
class SayAndHangUp(Effect):
    """Take a call to a sentence and then hang it up. A call that is over already counts as done."""

    kind: ClassVar[str] = "say_and_hang_up"
    is_ending: ClassVar[bool] = True

    call_sid: str
    #: A word that names the sentence: one of `Sentence`.
    sentence: str

    @property
    def target(self) -> str:
        """The call."""
        return self.call_sid


class Sentence(StrEnum):
    """What is said to somebody before letting go; the words in each language are elsewhere."""

    #: To a customer whose transfer has failed for good.
    TRANSFER_FAILED = "transfer-failed"
    #: To somebody who has called, and whom nobody has answered.
    NO_ONE_REACHED = "nobody-reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectToUrl(Effect):
    """Take the customer's call to TwiML of somebody else, when the others have left. The session is over with it."""

    kind: ClassVar[str] = "redirect_to_url"
    is_ending: ClassVar[bool] = True

    call_sid: str
    #: Where the TwiML is.
    url: str

    @property
    def target(self) -> str:
        """The call."""
        return self.call_sid


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayAnnouncement(Effect):
    """Play something to the whole conference, or to one of its participants. Not to be repeated: it would be heard
    twice.
    """

    kind: ClassVar[str] = "play_announcement"

    conference_sid: str
    #: The participant; empty for the whole conference.
    call_sid: str = ""
    #: What to play; empty where our own document says the sentence of the command.
    url: str = field(default="", repr=False)
    #: Id of the `announce` command.
    command_id: str

    @property
    def target(self) -> str:
        """The call, or the conference."""
        return self.call_sid or self.conference_sid


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRecording(Effect):
    """Record a call in two channels. Looked up before it is repeated. Its success carries the recording's SID."""

    kind: ClassVar[str] = "start_recording"

    call_sid: str

    @property
    def target(self) -> str:
        """The call."""
        return self.call_sid


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRecording(Effect):
    """Pause a recording, let it go on, or stop it. May be repeated."""

    kind: ClassVar[str] = "change_recording"

    #: Empty for the one that runs (`Twilio.CURRENT`).
    recording_sid: str = ""
    #: The call that is recorded; empty where it is a conference.
    call_sid: str = ""
    #: The conference that is recorded; empty where it is a call.
    conference_sid: str = ""
    #: `paused`, `in-progress` or `stopped`. A pause leaves nothing in the recording (`PauseBehavior=skip`).
    status: str

    @property
    def target(self) -> str:
        """The call or the conference."""
        return self.call_sid or self.conference_sid

    @property
    def detail(self) -> str:
        """What it shall be."""
        return self.status


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUpCall(Effect):
    """End one call, in whatever state it is. A call that is over already counts as done."""

    kind: ClassVar[str] = "hang_up_call"
    is_ending: ClassVar[bool] = True

    call_sid: str

    @property
    def target(self) -> str:
        """The call."""
        return self.call_sid


@dataclass(frozen=True, slots=True, kw_only=True)
class EndConference(Effect):
    """Complete the conference. One that is over already counts as done."""

    kind: ClassVar[str] = "end_conference"
    is_ending: ClassVar[bool] = True

    conference_sid: str

    @property
    def target(self) -> str:
        """The conference."""
        return self.conference_sid


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCalls(Effect):
    """Look at the session's calls, and at its conference; the answer is a `CallsRead` event."""

    kind: ClassVar[str] = "read_calls"

    #: The call whose `<Dial>` bridged the two and whose children are listed; empty when it is not known.
    parent_call_sid: str
    #: Other calls of the session. Those whom the conference does not show are read, only so many at a time, the first
    #: ones first.
    call_sids: tuple[str, ...] = ()
    #: Of those, the calls that are read in any case: to be shown in the conference does not prove their answer.
    unproven_sids: tuple[str, ...] = ()
    #: Whether a live conference of the session is looked for too, by its name.
    with_conference: bool
    #: That name; empty if it is the session's id.
    conference_name: str = ""
    #: SID of the session's conference as far as it is known: of the conferences with its name, this one is ours.
    conference_sid: str = ""
    #: The session's version when the read was ordered.
    read_version: int

    @property
    def target(self) -> str:
        """The parent call."""
        return self.parent_call_sid


#: Every kind of effect, for codecs and docs.
EFFECTS: tuple[type[Effect], ...] = (
    RedirectCall, CreateParticipant, CreateCall, FindCall, UpdateParticipant, PlayAnnouncement, StartRecording,
    ChangeRecording, SayAndHangUp, RedirectToUrl, HangUpCall, EndConference, ReadCalls,
)  # fmt: skip
