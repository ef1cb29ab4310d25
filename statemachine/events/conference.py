"""Facts from Twilio: the conference, and who takes part in it."""

from dataclasses import dataclass, field
from typing import ClassVar

from conferral.statemachine.events.base import Event
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceEvent(Event):
    """What the conference callbacks have in common. Source: Twilio docs, TwiML `<Conference>`, statusCallbackEvent."""

    conference_sid: str
    #: JSON of the parameters that this version does not know, for the log.
    other: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceStarted(ConferenceEvent):
    """Two are in. A bonus only: joins are what counts."""

    name: ClassVar[str] = "conference_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceEnded(ConferenceEvent):
    """The conference is over; its name may be used again by another one."""

    name: ClassVar[str] = "conference_ended"

    #: ReasonConferenceEnded in Twilio's words.
    conference_reason: str = ""
    #: The call whose leaving ended it, when it was one.
    call_sid_ending: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantJoined(ConferenceEvent):
    """A call is in the conference."""

    name: ClassVar[str] = "participant_joined"

    call_sid: str
    #: Participant label; tells the party when the call's SID is not known yet.
    label: str = ""
    #: StartConferenceOnEnter: false for somebody who waits.
    start_on_enter: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantLeft(ConferenceEvent):
    """A call is no longer in the conference; whether it is over stands in `call_status`."""

    name: ClassVar[str] = "participant_left"

    call_sid: str
    label: str = ""
    #: ParticipantCallStatus: `in-progress` when the call went on to other TwiML.
    call_status: str = ""
    #: ReasonParticipantLeft in Twilio's words.
    left_reason: str = ""

    @property
    def hung_up(self) -> bool:
        """Whether the call itself is over, by its status or by the reason."""
        return self.call_status in FINAL_CALL_STATUSES or self.left_reason == "participant_hung_up"

    @property
    def goes_on(self) -> bool:
        """Whether the call was in progress: the action of its `<Dial>` decides what becomes of it."""
        return self.call_status == CallStatus.IN_PROGRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantChanged(ConferenceEvent):
    """A participant was held, unheld, muted, unmuted or given other flags; carries how it is now."""

    name: ClassVar[str] = "participant_changed"

    call_sid: str
    label: str = ""
    #: StatusCallbackEvent in Twilio's words: `participant-hold`, `participant-modify`...
    kind: str = ""
    held: bool = False
    muted: bool = False
    #: EndConferenceOnExit.
    end_on_exit: bool = False
    #: SID of the call that this one coaches, empty for none.
    coaches: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncementEnded(ConferenceEvent):
    """An announcement was played to its end, or could not be."""

    name: ClassVar[str] = "announcement_ended"

    #: The participant to whom it was played; empty where the whole conference heard it.
    call_sid: str = ""
    #: Id of the `announce` command whose sentence it was; empty where it was none of ours.
    command: str = ""
    #: What was played; empty for a sentence of ours, or where Twilio does not say.
    url: str = field(default="", repr=False)
    failed: bool = False
    #: ReasonAnnouncementFailed in Twilio's words.
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceEventIgnored(ConferenceEvent):
    """A conference event that decides nothing in this version: kept for the log, whatever its name."""

    name: ClassVar[str] = "conference_event_ignored"
    ignored_because: ClassVar[str] = "no row of the table asks for it in any state: it only stands in the session's log"

    #: StatusCallbackEvent in Twilio's words.
    kind: str
    call_sid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingChanged(Event):
    """A recording's status callback. Source: Twilio docs, Recordings resource, `RecordingStatusCallback`."""

    name: ClassVar[str] = "recording_changed"

    recording_sid: str
    #: RecordingStatus in Twilio's words.
    status: str
    #: Whether the conference was recorded (`RecordingSource` is `Conference`), else a call.
    of_conference: bool = False
    #: The call that is recorded, empty for a conference.
    call_sid: str = ""
    conference_sid: str = ""
    #: Where Twilio keeps it.
    url: str = ""
    #: RecordingDuration, seconds; 0 before its end.
    duration_s: int = 0
    #: JSON of the parameters that this version does not know, for the log.
    other: str = ""
