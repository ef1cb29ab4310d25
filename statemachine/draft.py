"""Draft of a step: the mutable copy on which one event is worked out. Discarded if anything raises."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from conferral.statemachine.effects import Effect, effect_id
from conferral.statemachine.events import Event, TimerExpired
from conferral.statemachine.policy import Policy
from conferral.statemachine.record import replace
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import State
from conferral.statemachine.step import CommandReport, CommandStatus, Outcome, OutcomeRecord
from conferral.statemachine.transfer import TransferState

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class Draft:
    """Draft of one step. A `transitions` machine can move it, too: a model needs only `state`."""

    session: Session
    event: Event
    now_ms: int
    policy: Policy
    state: State = field(init=False)
    effects: list[Effect] = field(init=False, default_factory=list)
    reports: list[CommandReport] = field(init=False, default_factory=list)
    outcome_records: list[OutcomeRecord] = field(init=False, default_factory=list)
    reason: str = field(init=False, default="")
    refusal: str = field(init=False, default="")
    #: Outcome if the state stays: `stayed`, unless an action says otherwise.
    outcome: Outcome = field(init=False, default=Outcome.STAYED)
    ended_lone_conference: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.state = self.session.state

    def change(self, **changes: Any) -> None:
        """Change fields of the session."""
        self.session = replace(self.session, **changes)

    def change_party(self, party: Party, **changes: Any) -> None:
        """Change fields of one party. If that begins or ends a hold, the time since which it is held follows.

        A newly desired hold is not for a parked call unless the change says so.
        """
        if "desired_hold" in changes:
            changes.setdefault("held_for_park", False)
        if changes.get("held", party.held) != party.held:
            changes["held_since_ms"] = self.now_ms if changes["held"] else 0
        self.change(parties={**self.session.parties, party.name: replace(party, **changes)})

    def change_transfer(self, **changes: Any) -> None:
        """Change fields of the newest transfer, which must exist."""
        self.change(transfer=replace(self.transfer, **changes))

    @property
    def transfer(self) -> TransferState:
        """The newest transfer, which must exist."""
        return not_none(self.session.transfer)

    def emit(self, kind: type[Effect], **fields: Any) -> str:
        """Emit an effect and return its id. Deciding the same entry again gives the same id."""
        effect = kind(effect_id="", session_id=self.session.id, **fields)
        new_id = effect_id(self.session.id, self.event.entry_id, len(self.effects), kind.kind, effect.target)
        self.effects.append(replace(effect, effect_id=new_id))
        return new_id

    def set_timer(self, timer: type[TimerExpired], after_ms: int) -> None:
        """Set a timer, replacing one of the same name.

        It is never due in the past: it could have fired at that time before, and would count as a duplicate.
        """
        self.change(timers={**self.session.timers, timer.timer: self.now_ms + max(0, after_ms)})

    def cancel_timers(self, *timers: type[TimerExpired]) -> None:
        """Cancel those of the timers that are set."""
        for timer in timers:
            if timer.timer in self.session.timers:
                left = {name: due for name, due in self.session.timers.items() if name != timer.timer}
                self.change(timers=left)

    def ignore(self, outcome: Outcome, reason: str) -> None:
        """Ignore the event, with an outcome and a reason."""
        self.outcome = outcome
        self.reason = reason

    def report(self, command_id: str, status: CommandStatus, reason: str = "") -> None:
        """Report the status of a command to its sender."""
        self.reports.append(CommandReport(command_id, status, reason))


def not_none(value: _T | None) -> _T:
    """Return a value that can't be None here: a guard of the row has checked it."""
    assert value is not None
    return value
