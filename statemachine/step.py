"""Result of one step: the changed session, and everything that follows."""

from enum import StrEnum

from conferral.statemachine.effects import Effect
from conferral.statemachine.record import BaseRecord, Hidden
from conferral.statemachine.session import Session
from conferral.statemachine.transfer import Attempt


class Outcome(StrEnum):
    """Outcome of an event."""

    MOVED = "moved"
    #: The event was applied; the state is the same.
    STAYED = "stayed"
    #: The state does not allow the command; the sender gets the reason.
    REFUSED = "refused"
    #: A duplicate, older than what is known, or irrelevant here; the reason says which.
    STALE = "stale"
    #: The event contradicts what is known, or the session is unknown.
    UNEXPECTED = "unexpected"


class CommandStatus(StrEnum):
    """Status of a command."""

    ACCEPTED = "accepted"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"


class CommandReport(BaseRecord, frozen=True):
    """Status report for the sender of a command."""

    command_id: str
    status: CommandStatus
    reason: str = ""


class OutcomeRecord(BaseRecord, frozen=True):
    """Record for other systems: a finished transfer or an ended session."""

    #: The same in every copy, and in no other record, even if a later session has the same id.
    id: str
    #: `transfer` or `session`.
    kind: str
    session_id: str
    #: `completed`, `failed`, `recalled`, or `cancelled`; `ended` for a session.
    result: str
    reason: str = ""
    #: Transfers only, with the destinations as given.
    mode: str = ""
    to: Hidden[str] = ""
    attempts: tuple[Attempt, ...] = ()
    started_at_ms: int = 0
    ended_at_ms: int = 0
    #: Who sent the command for the transfer or the session; empty if unknown.
    by: str = ""


class TimerChange(BaseRecord, frozen=True):
    """A timer that is set or canceled."""

    timer: str
    #: Unix milliseconds; None cancels it.
    due_ms: int | None


class Step(BaseRecord, frozen=True):
    """Result of applying one event to a session."""

    #: Its version is one higher unless the session is unknown.
    session: Session
    outcome: Outcome
    #: Why nothing happened, or why the session ended; or empty.
    reason: str = ""
    effects: tuple[Effect, ...] = ()
    timers: tuple[TimerChange, ...] = ()
    reports: tuple[CommandReport, ...] = ()
    outcome_records: tuple[OutcomeRecord, ...] = ()
    ended_lone_conference: bool = False
