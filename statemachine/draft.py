"""Draft of a step: the mutable copy on which one event is worked out. Discarded if anything raises."""

from typing import Any

from conferral.statemachine.effects import Effect, effect_id
from conferral.statemachine.events import Event, TimerExpired
from conferral.statemachine.policy import Policy
from conferral.statemachine.record import replace
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import State
from conferral.statemachine.step import CommandReport, CommandStatus, Outcome, OutcomeRecord
from conferral.statemachine.transfer import TransferState


class Draft:
    """Draft of one step. A `transitions` machine can move it, too: a model needs only `state`."""

    __slots__ = (
        "effects",
        "ended_lone_conference",
        "event",
        "now_ms",
        "outcome",
        "outcome_records",
        "policy",
        "reason",
        "refusal",
        "reports",
        "session",
        "state",
    )  # fmt: skip

    def __init__(self, session: Session, event: Event, now_ms: int, policy: Policy) -> None:
        self.state: State = session.state
        self.session = session
        self.event = event
        self.now_ms = now_ms
        self.policy = policy
        self.effects: list[Effect] = []
        self.reports: list[CommandReport] = []
        self.outcome_records: list[OutcomeRecord] = []
        self.reason = ""
        self.refusal = ""
        #: Outcome if the state stays: `stayed`, unless an action says otherwise.
        self.outcome = Outcome.STAYED
        self.ended_lone_conference = False

    def change(self, **changes: Any) -> None:
        """Change fields of the session."""
        self.session = replace(self.session, **changes)

    def change_party(self, party: Party, **changes: Any) -> None:
        """Change fields of one party."""
        if changes.get("held", party.held) != party.held:
            changes["held_since_ms"] = self.now_ms if changes["held"] else 0
        self.change(parties={**self.session.parties, party.name: replace(party, **changes)})

    def change_transfer(self, **changes: Any) -> None:
        """Change fields of the newest transfer, which must exist."""
        assert self.session.transfer is not None
        self.change(transfer=replace(self.session.transfer, **changes))

    @property
    def transfer(self) -> TransferState:
        """The newest transfer, which must exist."""
        assert self.session.transfer is not None
        return self.session.transfer

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
