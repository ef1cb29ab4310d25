"""Pending commands (accepted and unfinished, other than transfers), and the session's recording."""

from conferral.statemachine.record import BaseRecord, Hidden
from conferral.statemachine.transfer import DialOptions


class PendingCommand(BaseRecord, frozen=True):
    """One of `add`, `remove`, `hold`, `unhold`, `mute`, `unmute`, `supervise`, `announce` and `record`."""

    command_id: str
    #: The command's name.
    name: str
    #: Name of the party concerned.
    party: str = ""
    #: The destination to dial.
    to: Hidden[str] = ""
    options: DialOptions = DialOptions()
    #: `supervise` only: a `SuperviseMode`.
    mode: str = ""
    #: `record` only: a `RecordAction`.
    action: str = ""
    #: `announce` only: what to play, or what to say.
    url: Hidden[str] = ""
    say: Hidden[str] = ""
    #: Waits until both parties are in the conference.
    is_queued: bool = False
    #: Waits for Twilio to confirm that no party's leaving ends the conference; then the party is dialed.
    awaits_end_on_exit: bool = False
    #: Deadline, Unix milliseconds; 0 for none.
    due_ms: int = 0
    #: `remove` only: the hangup went unconfirmed for a while, and a read of Twilio was emitted.
    calls_were_read: bool = False
    #: `announce` only: SIDs of the calls still playing it; empty if the whole conference hears it.
    playing_to: tuple[str, ...] = ()
    #: Ids of the effects without an outcome.
    effects: tuple[str, ...] = ()


class Recording(BaseRecord, frozen=True):
    """The newest recording of a session."""

    #: Empty until Twilio reports it; a running recording can be addressed without it.
    recording_sid: str = ""
    #: A `RecordingStatus` that Twilio has confirmed; empty before that.
    status: str = ""
    #: Whether the conference is recorded from its start; otherwise the customer's call is, in two channels.
    of_conference: bool = False
    #: Desired status: `in-progress`, `paused`, or `stopped`.
    desired_status: str = ""
    #: The request without an outcome: `start`, `pause`, `resume`, `stop`, or empty.
    pending_update: str = ""
    #: Id of that request's effect.
    update_effect_id: str = ""
    #: Paused for a consult; resumes afterwards.
    is_paused_for_consult: bool = False
    #: Consecutive requests that Twilio refused or did not answer (count).
    failures: int = 0
    #: URL of the recording at Twilio.
    url: str = ""
    #: Duration, seconds.
    duration_s: int = 0
