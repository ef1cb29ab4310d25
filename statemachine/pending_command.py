"""A command under way that is no transfer: it is kept until what was asked for has happened, or can't any more."""

from dataclasses import dataclass, field

from conferral.statemachine.transfer import DialOptions


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """One of `add`, `remove`, `hold`, `unhold`, `mute`, `unmute`, `supervise`, `announce` and `record`."""

    command_id: str
    #: The command's name.
    name: str
    #: Name of the party concerned.
    party: str = ""
    #: Whom to dial.
    to: str = field(default="", repr=False)
    options: DialOptions = field(default_factory=DialOptions)
    #: Of `supervise`: one of `SuperviseMode`.
    mode: str = ""
    #: Of `record`: one of `RecordAction`.
    action: str = ""
    #: Of `announce`: what to play, or what to say.
    url: str = field(default="", repr=False)
    say: str = field(default="", repr=False)
    #: It waits until both are in the conference.
    is_queued: bool = False
    #: It waits until Twilio has confirmed that nobody's leaving ends the conference; then somebody is dialled.
    awaits_end_on_exit: bool = False
    #: When it is given up, Unix milliseconds; 0 for never.
    due_ms: int = 0
    #: Of `remove`: nothing was heard of the hang-up for a while, and Twilio was asked.
    calls_were_read: bool = False
    #: Of `announce`: SIDs of the calls to which it is still being played; empty where the conference as a whole hears
    #: it.
    playing_to: tuple[str, ...] = ()
    #: Ids of the effects that have no outcome yet.
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """The newest recording of a session."""

    #: Empty until Twilio has told it; a running one can be named without.
    recording_sid: str = ""
    #: One of `RecordingStatus`, as Twilio has confirmed it; empty before that.
    status: str = ""
    #: Whether it is the conference's, from its start; else the customer's call is recorded, in two channels.
    of_conference: bool = False
    #: What it shall be: `in-progress`, `paused` or `stopped`.
    desired_status: str = ""
    #: What was asked of Twilio and has no outcome yet: `start`, `pause`, `resume`, `stop`, or empty.
    pending_update: str = ""
    #: Id of the effect that asks for it.
    update_effect_id: str = ""
    #: It was paused for a consult, and goes on after it.
    is_paused_for_consult: bool = False
    #: Requests in a row that Twilio refused, or gave no answer to (count).
    failures: int = 0
    #: Where Twilio keeps it.
    url: str = ""
    #: Its length, seconds.
    duration_s: int = 0
