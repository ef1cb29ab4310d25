"""Effect results (succeeded, failed, unknown) and reads of Twilio."""

from typing import ClassVar

from conferral.statemachine.events.base import Event
from conferral.statemachine.parts import NO_QUEUE, QueueOptions
from conferral.statemachine.reasons import NOT_DIALED
from conferral.statemachine.record import BaseRecord, Hidden
from conferral.statemachine.states import CallStatus

#: The conference is not in progress; usually it has not started. Source: Twilio docs, Errors, 16001 and 16099.
NOT_STARTED = frozenset({16001, 16099})


class EffectResult(Event, frozen=True, kw_only=True):
    """Base class of the three results of an effect."""

    effect_id: str
    #: The effect's kind, such as `redirect_call`.
    kind: str
    #: Empty if none is concerned.
    party: str = ""
    #: What was requested, if the kind does not say it: `hold`, `paused`. For the session's log.
    detail: str = ""
    #: Requests sent (count); None if the first one worked. For the session's log.
    attempts: int | None = None
    #: Verified or retried attempts in order, each with a count: `503 x2`, `429 code 20429 x1`, `unknown x1`.
    failed_attempts: tuple[str, ...] = ()
    #: A request with `Hold=false` has no answer, whatever a later one had: Twilio may carry it out later.
    may_unhold_later: bool = False


class EffectSucceeded(EffectResult, frozen=True, kw_only=True):
    """Twilio did what the effect requested."""

    logged: ClassVar[tuple[str, ...]] = ("kind", "party", "detail", "recording_sid", "was_over")

    #: Dials: SID of the call that was placed or found. Empty for all others, and if a search found none.
    call_sid: str = ""
    #: Dials: time spent in the rate limiter plus Twilio's expected queue time, milliseconds.
    queue_ms: int = 0
    recording_sid: str = ""
    #: Messages and recordings: the length.
    duration_s: int = 0
    #: Recordings that were looked for: as in `RecordingChanged`.
    status: str = ""
    of_conference: bool = False
    url: str = ""
    channels: int = 0
    started_at_ms: int = 0
    code: int = 0
    #: Holds, mutes, and their opposites: the response shows the participant as requested.
    is_confirmed: bool = False
    #: Hangups: Twilio refused it because the call was over (21220, 20404).
    was_over: bool = False


class EffectFailed(EffectResult, frozen=True, kw_only=True):
    """Twilio refused for good: the effect did not happen."""

    logged: ClassVar[tuple[str, ...]] = ("kind", "party", "detail", "http_status", "code", "reason")

    #: HTTP status; 0 without a response.
    http_status: int = 0
    #: Twilio's; 0 if it gave none.
    code: int = 0
    #: Whether the call or conference is over or no longer exists (20404, 21220).
    gone: bool = False
    #: Why it failed if Twilio did not refuse it: `Reason.DIAL_LIMIT`, `Reason.EXPIRED` for an offer that
    #: has ended, or an error in Conferral. Empty otherwise.
    reason: str = ""
    #: Whether its time ran out before Redis allowed a request: it renewed this worker's leases too slowly.
    awaited_redis: bool = False

    @property
    def code_text(self) -> str:
        """Twilio's error code as commands and outcomes state it; may be empty."""
        return str(self.code or "")

    @property
    def reason_text(self) -> str:
        """The reason that the command's result states."""
        if self.reason:
            return self.reason if self.reason in NOT_DIALED else f"an error in Conferral ({self.reason})"
        if self.awaited_redis:
            return "Redis was too slow to allow a request to Twilio in time"
        if not self.http_status:
            return "Twilio could not be reached in time"
        return f"Twilio refused (HTTP {self.http_status}, code {self.code})"


class EffectUnknown(EffectResult, frozen=True):
    """It is unknown whether the effect happened, even after verification."""

    logged: ClassVar[tuple[str, ...]] = ("kind", "party", "detail")
    reason_text: ClassVar[str] = "unknown: Twilio gave no answer"
    code_text: ClassVar[str] = ""


class CallSeen(BaseRecord, frozen=True):
    """A call as a read shows it."""

    call_sid: str
    status: str
    #: The call whose `<Dial>` made it; empty for the parent itself.
    parent_call_sid: str = ""
    to: Hidden[str] = ""
    #: When it ended, by Twilio's clock, whole Unix seconds; 0 if it has not, or is unknown.
    ended_s: int = 0


class ParticipantSeen(BaseRecord, frozen=True):
    """A participant as a read or a sweep shows it."""

    call_sid: str
    label: str = ""
    held: bool = False
    muted: bool = False
    end_on_exit: bool = False
    #: SID of the call that this one coaches; empty for none.
    coaches: str = ""
    #: Its phone still rings: it is joining, and hears no one yet.
    is_ringing: bool = False
    start_on_enter: bool = True


class CallsRead(Event, frozen=True, kw_only=True):
    """A read of the session's calls and conference through Twilio's REST API."""

    logged: ClassVar[tuple[str, ...]] = ("conference_sid",)

    effect_id: str
    #: The session's version when the read was emitted: facts that changed since are newer.
    read_version: int
    calls: tuple[CallSeen, ...]
    #: Empty if no conference is live.
    conference_sid: str = ""
    participants: tuple[ParticipantSeen, ...] = ()
    #: SIDs beyond the limit of one read; another follows.
    unread: tuple[str, ...] = ()
    #: As in `EffectResult`.
    attempts: int | None = None
    failed_attempts: tuple[str, ...] = ()

    def end_of(self, call_sid: str) -> int:
        """Return when a call ended by Twilio's clock, Unix seconds; 0 if unknown."""
        return next((call.ended_s for call in self.calls if call.call_sid == call_sid), 0)

    def status_of(self, call_sid: str) -> str:
        """Return a call's status, empty if the read does not show the call."""
        # A participant's call was not read itself: it counts as in progress, or ringing.
        if status := next((call.status for call in self.calls if call.call_sid == call_sid), ""):
            return status
        for seen in self.participants:
            if seen.call_sid == call_sid:
                return CallStatus.RINGING if seen.is_ringing else CallStatus.IN_PROGRESS
        return ""


class AccountSwept(Event, frozen=True, kw_only=True):
    """A sweep or a loss suspects a difference from Twilio: a read follows."""

    logged: ClassVar[tuple[str, ...]] = ("finding", "call_sid", "conference_sid")

    #: Such as `call-missing`; `call-live`, for an ended session; or `writes-lost`.
    finding: str
    #: Either the call or the conference concerned; after a loss, neither.
    call_sid: str = ""
    conference_sid: str = ""

    @property
    def is_loss(self) -> bool:
        """Whether Redis may have lost what the session had decided."""
        return not (self.call_sid or self.conference_sid)


class DesksLeft(Event, frozen=True, kw_only=True):
    """No desk of the number was there for a while: no one takes who waits."""


class ParticipantFound(ParticipantSeen, frozen=True):
    """A participant of a recovered conference."""

    #: Of the other end, as Twilio names it: E.164, `client:NAME`, `sip:URI`.
    address: Hidden[str] = ""
    came_in: bool = False
    #: Of a call that came in: our number that was called.
    called: Hidden[str] = ""


class ConferenceFound(Event, frozen=True, kw_only=True):
    """A sweep found a live conference whose session Redis has lost."""

    logged: ClassVar[tuple[str, ...]] = ("conference_sid",)

    conference_sid: str
    participants: tuple[ParticipantFound, ...]
    #: Where the called number's callers go whom no agent takes: see `Policy.fallback`. Empty for `end`.
    fallback: Hidden[tuple[str, ...]] = ()
    queue: QueueOptions = NO_QUEUE
