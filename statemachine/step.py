"""Result of one step: the changed session, effects, timers, command reports, and the event's outcome."""

from enum import StrEnum

from conferral.statemachine.effects import Effect
from conferral.statemachine.record import BaseRecord, Hidden
from conferral.statemachine.session import Session
from conferral.statemachine.transfer import Attempt


class Outcome(StrEnum):
    """Outcome of an event."""

    #: The state changed.
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
    #: Why, in words; empty if there is nothing to add.
    reason: str = ""


class OutcomeRecord(BaseRecord, frozen=True):
    """Record for other systems: a finished transfer or an ended session."""

    #: Marks repetitions: the same in every copy, and used by no other record, even if a later session has the same id.
    id: str
    #: `transfer` or `session`.
    kind: str
    session_id: str
    #: `completed`, `failed`, `recalled`, or `cancelled`; `ended` for a session.
    result: str
    reason: str = ""
    #: Transfers only: the mode, the destinations as given, and the attempts to reach them.
    mode: str = ""
    to: Hidden[str] = ""
    attempts: tuple[Attempt, ...] = ()
    #: Unix milliseconds.
    started_at_ms: int = 0
    ended_at_ms: int = 0
    #: Who gave the command for the transfer, or for the `call` that started the session; empty if unknown.
    by: str = ""


class TimerChange(BaseRecord, frozen=True):
    """A timer that is set or canceled."""

    timer: str
    #: Unix milliseconds; None cancels it.
    due_ms: int | None


class Step(BaseRecord, frozen=True):
    """Result of applying one event to a session."""

    #: The session afterwards. Its version is one higher unless the session is unknown.
    session: Session
    outcome: Outcome
    #: Why nothing happened, or why the session ended; empty if there is nothing to add.
    reason: str = ""
    effects: tuple[Effect, ...] = ()
    timers: tuple[TimerChange, ...] = ()
    reports: tuple[CommandReport, ...] = ()
    outcome_records: tuple[OutcomeRecord, ...] = ()
    #: Whether this step ends a conference in which one participant was left alone.
    ended_lone_conference: bool = False
