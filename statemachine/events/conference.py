"""Facts from Twilio about the conference and its participants."""

from typing import ClassVar

from conferral.statemachine.events.base import Event
from conferral.statemachine.record import Hidden
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus


class ConferenceEvent(Event, frozen=True, kw_only=True):
    """Base of conference callbacks. Source: Twilio docs, `<Conference>`."""

    conference_sid: str
    #: JSON of the parameters that this version does not know, for the log.
    other: str = ""


class ConferenceStarted(ConferenceEvent, frozen=True):
    """The conference has started: two participants are in it."""


class ConferenceEnded(ConferenceEvent, frozen=True, kw_only=True):
    """The conference is over; Twilio may reuse its name for another one."""

    logged: ClassVar[tuple[str, ...]] = ("conference_reason",)

    #: ReasonConferenceEnded.
    conference_reason: str = ""
    #: SID of the call whose leaving ended it, if one did.
    call_sid_ending: str = ""


class ParticipantJoined(ConferenceEvent, frozen=True, kw_only=True):
    """A call joined the conference."""

    call_sid: str
    #: Identifies the party while the call SID is unknown.
    label: str = ""
    #: StartConferenceOnEnter: false for a party that waits.
    start_on_enter: bool = True


class ParticipantLeft(ConferenceEvent, frozen=True, kw_only=True):
    """A call left the conference; `call_status` says whether the call is over."""

    logged: ClassVar[tuple[str, ...]] = ("left_reason",)

    call_sid: str
    label: str = ""
    #: ParticipantCallStatus: `in-progress` if the call continued with other TwiML.
    call_status: str = ""
    #: ReasonParticipantLeft.
    left_reason: str = ""

    @property
    def hung_up(self) -> bool:
        """Whether the call itself is over, by its status or the reason."""
        return self.call_status in FINAL_CALL_STATUSES or self.left_reason == "participant_hung_up"

    @property
    def call_continues(self) -> bool:
        """Whether the call is in progress: its `<Dial>` action decides the rest."""
        return self.call_status == CallStatus.IN_PROGRESS


class ParticipantChanged(ConferenceEvent, frozen=True, kw_only=True):
    """A participant was held, muted, or modified; has the current values."""

    logged: ClassVar[tuple[str, ...]] = ("kind", "held", "muted", "end_on_exit")

    call_sid: str
    label: str = ""
    #: StatusCallbackEvent in Twilio's words: `participant-hold`, `participant-modify`...
    kind: str = ""
    held: bool = False
    muted: bool = False
    end_on_exit: bool = False
    #: SID of the call that this one coaches; empty for none.
    coaches: str = ""


class AnnouncementEnded(ConferenceEvent, frozen=True, kw_only=True):
    """An announcement finished or failed."""

    logged: ClassVar[tuple[str, ...]] = ("failed", "reason")

    #: SID of the participant's call that heard it; empty if the whole conference did.
    call_sid: str = ""
    #: Id of the `announce` command whose text it says; empty for other audio.
    command: str = ""
    #: URL of the audio; empty for a text, or if Twilio does not send it.
    url: Hidden[str] = ""
    failed: bool = False
    #: ReasonAnnouncementFailed.
    reason: str = ""


class ConferenceEventIgnored(ConferenceEvent, frozen=True, kw_only=True):
    """A conference event that decides nothing in this version; only logged."""

    logged: ClassVar[tuple[str, ...]] = ("kind",)
    ignored_because: ClassVar[str] = "no row of the table uses it in any state; it is only logged"

    #: StatusCallbackEvent in Twilio's words.
    kind: str
    call_sid: str = ""


class RecordingChanged(Event, frozen=True, kw_only=True):
    """A recording's status callback. Source: Twilio docs, Recordings."""

    logged: ClassVar[tuple[str, ...]] = ("recording_sid", "status", "of_conference", "duration_s")

    recording_sid: str
    #: RecordingStatus in Twilio's words.
    status: str
    #: Whether `RecordingSource` is `Conference`.
    of_conference: bool = False
    #: Empty for a conference.
    call_sid: str = ""
    conference_sid: str = ""
    url: str = ""
    #: 0 before the end.
    duration_s: int = 0
    #: JSON of the parameters that this version does not know, for the log.
    other: str = ""
