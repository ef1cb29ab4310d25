"""Effect outcomes (succeeded, failed, unknown), and what reads of Twilio show."""

from typing import ClassVar

from msgspec.structs import asdict

from conferral.statemachine.events.base import Event
from conferral.statemachine.record import BaseRecord, Hidden
from conferral.statemachine.states import CallStatus

#: Twilio's error codes for requests that need a conference in progress; usually the conference has not started.
#: Source: Twilio docs, Errors, 16001 and 16099.
NOT_STARTED = frozenset({16001, 16099})


class EffectOutcome(Event, frozen=True, kw_only=True):
    """Base class of the three outcomes of an effect."""

    effect_id: str
    #: The effect's kind, such as `redirect_call`.
    kind: str
    #: Name of the party concerned; empty if none is.
    party: str = ""
    #: What was requested, if the kind does not say it: `hold`, `paused`. For the session's log.
    detail: str = ""
    #: Requests sent (count); None if the first one worked. For the session's log.
    attempts: int | None = None
    #: Verified or retried attempts in order, each with a count: `503 x2`, `429 code 20429 x1`, `no-answer x1`.
    failed_attempts: tuple[str, ...] = ()


class EffectSucceeded(EffectOutcome, frozen=True, kw_only=True):
    """Twilio did what the effect requested."""

    logged: ClassVar[tuple[str, ...]] = ("kind", "party", "detail", "recording_sid")

    #: Dials: SID of the call that was placed or found. Empty for all others, and if a search found none.
    call_sid: str = ""
    #: Dials: time spent in the rate limiter plus Twilio's expected queue time, milliseconds.
    queue_ms: int = 0
    #: Recording starts: SID of the recording.
    recording_sid: str = ""
    #: Holds, mutes, and their opposites: the response shows the participant as requested.
    is_confirmed: bool = False


class EffectFailed(EffectOutcome, frozen=True, kw_only=True):
    """Twilio refused for good: the effect did not happen."""

    logged: ClassVar[tuple[str, ...]] = ("kind", "party", "detail", "http_status", "code")

    #: HTTP status; 0 without a response.
    http_status: int = 0
    #: Twilio's error code; 0 if it gave none.
    code: int = 0
    #: Whether the call or conference is over or no longer exists (20404, 21220).
    gone: bool = False
    #: How long Twilio asked to wait before the next request (429), milliseconds; 0 if it did not say.
    retry_after_ms: int = 0
    #: Why it failed if Twilio did not refuse it: an error in Conferral. Empty otherwise.
    reason: str = ""

    @property
    def refused_before_start(self) -> bool:
        """Whether Twilio refused it because the conference is not in progress."""
        return self.code in NOT_STARTED

    @property
    def reason_text(self) -> str:
        """Reason for the command's outcome: Conferral's own error, no response, or Twilio's refusal with its status."""
        if self.reason:
            return f"an error in Conferral ({self.reason})"
        if not self.http_status:
            return "Twilio could not be reached in time"
        return f"Twilio refused (HTTP {self.http_status}, code {self.code})"


class EffectUnknown(EffectOutcome, frozen=True):
    """It is unknown whether the effect happened: its deadline passed, and verification showed nothing."""

    logged: ClassVar[tuple[str, ...]] = ("kind", "party", "detail")
    reason_text: ClassVar[str] = "unknown: Twilio gave no answer"


class CallSeen(BaseRecord, frozen=True):
    """A call as a read shows it."""

    call_sid: str
    #: Status in Twilio's words.
    status: str
    #: SID of the call whose `<Dial>` made it; empty for the parent itself.
    parent_call_sid: str = ""
    #: Destination of the call, as Twilio names it.
    to: Hidden[str] = ""


class ParticipantSeen(BaseRecord, frozen=True):
    """A participant as a read or a sweep shows it."""

    call_sid: str
    label: str = ""
    held: bool = False
    muted: bool = False
    #: EndConferenceOnExit.
    end_on_exit: bool = False
    #: SID of the call that this one coaches; empty for none.
    coaches: str = ""
    #: Whether its phone still rings: it is joining, and hears no one yet.
    is_ringing: bool = False
    #: StartConferenceOnEnter.
    start_on_enter: bool = True


class CallsRead(Event, frozen=True, kw_only=True):
    """A read of the session's calls and conference through Twilio's REST API."""

    logged: ClassVar[tuple[str, ...]] = ("conference_sid",)

    effect_id: str
    #: The session's version when the read was emitted: facts that changed since are newer than the read.
    read_version: int
    calls: tuple[CallSeen, ...]
    #: The session's live conference; empty if there is none or it was not read.
    conference_sid: str = ""
    participants: tuple[ParticipantSeen, ...] = ()
    #: SIDs requested but not read, because one read fetches a limited number of calls. Another read follows.
    unread: tuple[str, ...] = ()
    #: As in `EffectOutcome`.
    attempts: int | None = None
    failed_attempts: tuple[str, ...] = ()

    def status_of(self, call_sid: str) -> str:
        """Return a call's status, empty if the read does not show the call.

        The call of a participant counts as in progress or ringing: it was not read itself.
        """
        if status := next((call.status for call in self.calls if call.call_sid == call_sid), ""):
            return status
        seen = next((seen for seen in self.participants if seen.call_sid == call_sid), None)
        if seen is None:
            return ""
        return CallStatus.RINGING if seen.is_ringing else CallStatus.IN_PROGRESS


class AccountSwept(Event, frozen=True, kw_only=True):
    """The account's live calls and conferences may differ from this session: the sweep or a rollback says so.

    Only a suspicion, since Twilio's lists may lag: a read follows.
    """

    logged: ClassVar[tuple[str, ...]] = ("finding", "call_sid", "conference_sid")

    #: A difference of the sweep, such as `call-missing` or, for an ended session, `call-live`; or `rolled-back`.
    finding: str
    #: SID of the call concerned; empty for a conference.
    call_sid: str = ""
    #: SID of the conference concerned; empty for a call.
    conference_sid: str = ""


class ParticipantFound(ParticipantSeen, frozen=True):
    """A participant of a recovered conference."""

    #: Address of the other end, as Twilio names it: E.164, `client:NAME`, `sip:URI`.
    address: Hidden[str] = ""
    #: Whether the call is inbound.
    came_in: bool = False

    @classmethod
    def of(cls, seen: ParticipantSeen, address: str, *, came_in: bool) -> "ParticipantFound":
        """Return a participant with what is known of its call."""
        return cls(**asdict(seen), address=address, came_in=came_in)


class ConferenceFound(Event, frozen=True, kw_only=True):
    """A sweep found a live conference of Conferral's whose session Redis has lost. Its participants keep talking."""

    logged: ClassVar[tuple[str, ...]] = ("conference_sid",)

    conference_sid: str
    participants: tuple[ParticipantFound, ...]
