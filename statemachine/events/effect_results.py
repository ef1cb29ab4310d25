"""What came of effects: done, refused, unknown, or what a look at Twilio showed."""

from dataclasses import dataclass, field
from typing import ClassVar

from conferral.statemachine.events.base import Event
from conferral.statemachine.states import CallStatus

#: Twilio's codes for what needs a conference in progress, where as a rule it has not started.
#: Source: Twilio docs, Errors, 16001 and 16099.
NOT_STARTED = frozenset({16001, 16099})


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectOutcome(Event):
    """What the three outcomes of an effect have in common."""

    effect_id: str
    #: The effect's kind, for instance `redirect_call`.
    kind: str
    #: The party concerned, empty when none is.
    party: str = ""
    #: What was asked for, where the kind does not say it: `hold`, `paused`. For the session's log.
    detail: str = ""
    #: Requests that were sent for it (count); None where nothing went wrong on the way. For the session's log.
    attempts: int | None = None
    #: What had to be looked up or repeated, the last one last, each with how often: `503 x2`, `429 code 20429 x1`,
    #: `no-answer x1`.
    failed_attempts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectSucceeded(EffectOutcome):
    """Twilio did what was asked."""

    name: ClassVar[str] = "effect_succeeded"

    #: Of a dial: the call that was placed, or found. Empty for everything else, and where a search found none.
    call_sid: str = ""
    #: Of a dial: how long it has waited for its turn and how long Twilio expects to keep it waiting, milliseconds.
    queue_ms: int = 0
    #: Of a recording's start: the recording.
    recording_sid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectFailed(EffectOutcome):
    """Twilio refused, for good: what was asked has not happened."""

    name: ClassVar[str] = "effect_failed"

    #: HTTP status, 0 when there was no answer.
    http_status: int = 0
    #: Twilio's error code, 0 when it named none.
    code: int = 0
    #: The call or conference no longer exists or is over (20404, 21220).
    gone: bool = False
    #: Why it failed where Twilio did not refuse it: an error of our own. Empty otherwise.
    reason: str = ""

    @property
    def before_start(self) -> bool:
        """Whether Twilio refused it because the conference is not in progress."""
        return self.code in NOT_STARTED

    @property
    def reason_text(self) -> str:
        """The reason for the command's outcome: our own error, or Twilio's refusal with its numbers."""
        if self.reason:
            return f"an error in Conferral ({self.reason})"
        return f"Twilio refused (HTTP {self.http_status}, code {self.code})"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectUnknown(EffectOutcome):
    """Nobody can say whether it happened: time ran out, and looking did not help."""

    name: ClassVar[str] = "effect_unknown"


@dataclass(frozen=True, slots=True)
class CallSeen:
    """One call as a read found it."""

    call_sid: str
    #: Status in Twilio's words.
    status: str
    #: SID of the call whose `<Dial>` made it, empty for the parent itself.
    parent_call_sid: str = ""
    #: Whom it was placed to, as Twilio names it.
    to: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ParticipantSeen:
    """One participant as a read found it."""

    call_sid: str
    label: str = ""
    held: bool = False
    muted: bool = False
    #: EndConferenceOnExit.
    end_on_exit: bool = False
    #: SID of the call that this one coaches, empty for none.
    coaches: str = ""
    #: Whether its phone still rings: it is on the way in, and hears nobody yet.
    is_ringing: bool = False
    #: StartConferenceOnEnter.
    start_on_enter: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsRead(Event):
    """The session's calls and its conference as Twilio's REST API showed them."""

    name: ClassVar[str] = "calls_read"

    effect_id: str
    #: The session's version from before the first read: facts that changed since are newer than this picture.
    read_version: int
    calls: tuple[CallSeen, ...]
    #: The live conference of the session, empty when there is none or none was asked for.
    conference_sid: str = ""
    participants: tuple[ParticipantSeen, ...] = ()
    #: SIDs that were to be read and are in neither: one read fetches only so many calls. Another read follows.
    unread: tuple[str, ...] = ()
    #: As in `EffectOutcome`.
    attempts: int | None = None
    failed_attempts: tuple[str, ...] = ()

    def status_of(self, call_sid: str) -> str:
        """A call's status, empty when the read did not show the call.

        A participant's call is in progress, or still rings: it was not read by itself.
        """
        if status := next((call.status for call in self.calls if call.call_sid == call_sid), ""):
            return status
        seen = next((seen for seen in self.participants if seen.call_sid == call_sid), None)
        if seen is None:
            return ""
        return CallStatus.RINGING if seen.is_ringing else CallStatus.IN_PROGRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSwept(Event):
    """The account's live calls and conferences were compared with the live sessions, and this one differs.

    Only a suspicion, since lists may lag: a look at Twilio follows.
    """

    name: ClassVar[str] = "account_swept"

    #: What differs: `call-missing`, `conference-missing`, or of an ended session `call-live`, `conference-live`.
    finding: str
    #: The call that it is about, empty where it is a conference.
    call_sid: str = ""
    #: The conference that it is about, empty where it is a call.
    conference_sid: str = ""


@dataclass(frozen=True, slots=True)
class ParticipantFound:
    """One participant of a conference that was found."""

    call_sid: str
    label: str = ""
    #: Who is at the other end, as Twilio names it: E.164, `client:NAME`, `sip:URI`.
    address: str = field(default="", repr=False)
    #: Whether the call came in, else it was placed.
    came_in: bool = False
    #: Whether its phone still rings.
    is_ringing: bool = False
    #: StartConferenceOnEnter.
    start_on_enter: bool = True
    held: bool = False
    muted: bool = False
    #: EndConferenceOnExit.
    end_on_exit: bool = False
    #: SID of the call that this one coaches, empty for none.
    coaches: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceFound(Event):
    """A live conference is ours, and nothing is known of its session: Redis has lost it. Whoever is in it goes on."""

    name: ClassVar[str] = "conference_found"

    conference_sid: str
    participants: tuple[ParticipantFound, ...]
