"""The sheet on which one decision is worked out. Thrown away when anything goes wrong."""

from collections.abc import Mapping
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any

from conferral.statemachine.effects import Effect, effect_id
from conferral.statemachine.events import Event
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import State
from conferral.statemachine.step import CommandReport, CommandStatus, Outcome, OutcomeRecord
from conferral.statemachine.transfer import TransferState

_NAMES = tuple(field.name for field in fields(Session))
_INDEXES = {name: place for place, name in enumerate(_NAMES)}
_values_of = attrgetter(*_NAMES)


def with_changes(session: Session, changes: Mapping[str, Any]) -> Session:
    """As `dataclasses.replace`, in half the time: a session is changed several times for each event."""
    values = list(_values_of(session))
    for name, value in changes.items():
        values[_INDEXES[name]] = value
    return Session(*values)


class Draft:
    """Also the light model that the state machine moves: all it needs for that is `state`."""

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
        #: How the event is taken when the state stays: `stayed`, unless an action says otherwise.
        self.outcome = Outcome.STAYED
        self.ended_lone_conference = False

    def change(self, **changes: Any) -> None:
        """Changes fields of the session."""
        self.session = with_changes(self.session, changes)

    def change_party(self, party: Party, **changes: Any) -> None:
        """Changes fields of one party."""
        if changes.get("held", party.held) != party.held:
            changes["held_since_ms"] = self.now_ms if changes["held"] else 0
        self.change(parties={**self.session.parties, party.name: replace(party, **changes)})

    def change_transfer(self, **changes: Any) -> None:
        """Changes fields of the newest transfer; there has to be one."""
        assert self.session.transfer is not None
        self.change(transfer=replace(self.session.transfer, **changes))

    @property
    def transfer(self) -> TransferState:
        """The newest transfer; there has to be one."""
        assert self.session.transfer is not None
        return self.session.transfer

    def emit(self, kind: type[Effect], **fields: Any) -> str:
        """Orders an effect and returns its id, which follows from the entry: decided again, it is the same."""
        effect = kind(effect_id="", session_id=self.session.id, **fields)
        new_id = effect_id(self.session.id, self.event.entry_id, len(self.effects), kind.kind, effect.target)
        self.effects.append(replace(effect, effect_id=new_id))
        return new_id

    def set_timer(self, timer: str, after_ms: int) -> None:
        """Sets a timer, in place of the one of that name if there is one."""
        self.change(timers={**self.session.timers, timer: self.now_ms + after_ms})

    def cancel_timer(self, timer: str) -> None:
        """Cancels a timer; one that is not set is no matter."""
        if timer in self.session.timers:
            self.change(timers={name: due for name, due in self.session.timers.items() if name != timer})

    def ignore(self, outcome: Outcome, reason: str) -> None:
        """The event changes nothing, for a reason."""
        self.outcome = outcome
        self.reason = reason

    def report(self, command_id: str, status: CommandStatus, reason: str = "") -> None:
        """Tells whoever gave a command."""
        self.reports.append(CommandReport(command_id, status, reason))
