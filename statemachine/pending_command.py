"""Pending commands, other than transfers, and the session's recording."""

from conferral.statemachine.record import BaseRecord, Hidden
from conferral.statemachine.transfer import DialOptions


class PendingCommand(BaseRecord, frozen=True):
    """A command, other than a transfer's, that is accepted and unfinished."""

    command_id: str
    name: str
    party: str = ""
    to: Hidden[str] = ""
    options: DialOptions = DialOptions()
    #: A `SuperviseMode`, for `supervise` only.
    mode: str = ""
    #: A `RecordAction`, for `record` only.
    action: str = ""
    url: Hidden[str] = ""
    say: Hidden[str] = ""
    #: Waits until both parties are in the conference.
    is_queued: bool = False
    #: The party is dialed once Twilio confirms that no one's leaving ends the conference.
    awaits_end_on_exit: bool = False
    #: Deadline, Unix milliseconds; 0 for none.
    due_ms: int = 0
    #: `remove` only: the hangup went unconfirmed for a while, and a read was emitted.
    calls_were_read: bool = False
    #: `announce` only: SIDs of the calls still playing it; empty if the whole conference hears it.
    playing_to: tuple[str, ...] = ()
    #: Ids of the effects without an outcome.
    effects: tuple[str, ...] = ()


class Recording(BaseRecord, frozen=True):
    """The newest recording of a session."""

    #: Empty until Twilio reports it; a running recording can be addressed without it.
    sid: str = ""
    #: A `RecordingStatus` that Twilio has confirmed; empty before that.
    status: str = ""
    #: Records the conference from its start; otherwise the customer's call, in two channels.
    of_conference: bool = False
    #: `in-progress`, `paused`, or `stopped`.
    desired_status: str = ""
    #: The request without an outcome (`start`, `pause`, `resume`, `stop`), and its effect's id.
    pending_update: str = ""
    update_effect_id: str = ""
    #: Resumes afterward.
    is_paused_for_consult: bool = False
    #: Consecutive requests that Twilio refused or did not answer (count).
    failures: int = 0
    url: str = ""
    duration_s: int = 0
