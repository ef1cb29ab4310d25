"""What a decision says: the changed session, effects, timers, news for others, and how the event was taken."""

from dataclasses import dataclass, field
from enum import StrEnum

from conferral.statemachine.effects import Effect
from conferral.statemachine.session import Session
from conferral.statemachine.transfer import Attempt


class Outcome(StrEnum):
    """How an event was taken."""

    #: The state changed.
    MOVED = "moved"
    #: Taken; the state is the same.
    STAYED = "stayed"
    #: A command that the state does not allow; whoever asked is told why.
    REFUSED = "refused"
    #: A repetition, or older than what is known, or nothing that matters here: the reason says which.
    STALE = "stale"
    #: It contradicts what is known, or nobody knows the session.
    UNEXPECTED = "unexpected"


class CommandStatus(StrEnum):
    """How far a command has come."""

    ACCEPTED = "accepted"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CommandReport:
    """News for whoever gave a command."""

    command_id: str
    status: CommandStatus
    #: Why, in words; empty when there is nothing to add.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """For other systems: a transfer that is finished, or a session that has ended."""

    #: The same whenever it is decided again.
    id: str
    #: `transfer` or `session`.
    kind: str
    session_id: str
    #: `completed`, `failed`, `recalled`, `cancelled`; of a session `ended`.
    result: str
    reason: str = ""
    #: Of a transfer: its mode, its destinations as named, and whom it tried to reach.
    mode: str = ""
    to: str = field(default="", repr=False)
    attempts: tuple[Attempt, ...] = ()
    #: Unix milliseconds.
    started_at_ms: int = 0
    ended_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class TimerChange:
    """A timer that is set anew, or cancelled."""

    timer: str
    #: Unix milliseconds; None cancels it.
    due_ms: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """One decision, whole."""

    #: The session afterwards; its version is one higher when the event was taken by a session that exists.
    session: Session
    outcome: Outcome
    #: Why nothing happened, or why the session ended; empty when there is nothing to add.
    reason: str = ""
    effects: tuple[Effect, ...] = ()
    timers: tuple[TimerChange, ...] = ()
    reports: tuple[CommandReport, ...] = ()
    outcome_records: tuple[OutcomeRecord, ...] = ()
    #: Whether this step lets a lone participant go.
    ended_lone_conference: bool = False
