"""Step: its draft, which the actions change, and what follows from it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from conferral.statemachine.effects import Effect, effect_id
from conferral.statemachine.events import Command, Event, TimerExpired
from conferral.statemachine.parts import Attempt, TransferState
from conferral.statemachine.policy import Policy
from conferral.statemachine.presence import UNKNOWN_PRESENCE, Presence
from conferral.statemachine.record import BaseRecord, Hidden, replace
from conferral.statemachine.session import LOST, Party, Session
from conferral.statemachine.states import INTERNAL_MODES, PartyStatus, State, TransferMode

_T = TypeVar("_T")


class DecisionKind(StrEnum):
    """What was decided about an event."""

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
    #: Twilio's error code, if Twilio refused what the command needed; empty without one.
    code: str = ""


class Conclusion(BaseRecord, frozen=True):
    """Record for other systems: a finished transfer or an ended session.

    `encode_outcome` writes it to the outcomes stream, field by field; `outcome_data` reads it for all others.
    """

    #: The same in every copy, and in no other record, even if a later session has the same id.
    id: str
    #: An `OutcomeKind`.
    kind: str
    session_id: str
    #: `completed`, `failed`, `recalled`, or `cancelled`; `ended` for a session; `recorded` for a message; of a
    #: recording, its last `RecordingStatus`.
    result: str
    reason: str = ""
    #: Twilio's error code, if it explains the reason; empty without one.
    code: str = ""
    #: Transfers only, with the destinations as given.
    mode: str = ""
    to: Hidden[tuple[str, ...]] = ()
    #: What took the customer in the end, if not the target or an agent: a place of the fallback. Empty otherwise.
    landed_on: Hidden[str] = ""
    #: Transfers: everyone who was rung. Sessions: for the call itself, and for its fallback.
    attempts: tuple[Attempt, ...] = ()
    started_at_ms: int = 0
    ended_at_ms: int = 0
    #: Who sent the command for the transfer or the session; empty if unknown.
    by: str = ""
    #: Messages and recordings only.
    recording_sid: str = ""
    duration_s: int = 0
    #: Recordings only: of a `call` or a `conference`; channels (count); Twilio's address of the media.
    source: str = ""
    channels: int = 0
    url: str = ""
    #: Sessions only: the SIDs of their recordings, as far as they are known.
    recordings: tuple[str, ...] = ()
    #: Your reference, as the session had it then.
    ref: str = ""
    #: The customer's address, and our number that was called or that the customer sees.
    customer: Hidden[str] = ""
    our_number: Hidden[str] = ""
    direction: str = ""
    #: Of a transfer, within the session.
    number: int = 0
    #: Sessions only: whether the call came outside the number's hours.
    closed: bool = False


class TimerChange(BaseRecord, frozen=True):
    """A timer that is set or canceled."""

    timer: str
    #: Unix milliseconds; None cancels it.
    due_ms: int | None


class Step(BaseRecord, frozen=True):
    """Result of applying one event to a session."""

    #: Its version is one higher unless the session is unknown.
    session: Session
    kind: DecisionKind
    #: Why nothing happened, or why the session ended; or empty.
    reason: str = ""
    effects: tuple[Effect, ...] = ()
    timers: tuple[TimerChange, ...] = ()
    reports: tuple[CommandReport, ...] = ()
    conclusions: tuple[Conclusion, ...] = ()


@dataclass(slots=True, eq=False)
class Draft:
    """Draft of one step. For `transitions`, a model: it has a `state`."""

    session: Session
    event: Event
    now_ms: int
    policy: Policy
    presence: Presence = UNKNOWN_PRESENCE
    effects: list[Effect] = field(default_factory=list)
    reports: list[CommandReport] = field(default_factory=list)
    conclusions: list[Conclusion] = field(default_factory=list)
    reason: str = ""
    refusal: str = ""
    #: If the state stays: `stayed`, unless an action says otherwise.
    kind: DecisionKind = DecisionKind.STAYED

    @property
    def state(self) -> State:
        """The session's state."""
        return self.session.state

    @state.setter
    def state(self, state: State) -> None:
        self.change(state=state)

    def change(self, **changes: Any) -> None:
        """Change fields of the session."""
        self.session = replace(self.session, **changes)

    def change_party(self, party: Party, **changes: Any) -> None:
        """Change fields of a party, which the object given only names.

        The object may be outdated: an earlier action of this step may have changed the party.
        """
        party = self.session.parties[party.name]
        if changes.get("status") is PartyStatus.CONNECTED:
            self._note_attempt_succeeded(party)
        parties = {**self.session.parties, party.name: self._since(party, replace(party, **changes))}
        self.session = replace(self.session, parties=parties)

    def note_new_parties(self) -> None:
        """Note since when those are there who have just been added."""
        if any(not party.status_since_ms for party in self.session.parties.values()):
            parties = {
                name: party
                if party.status_since_ms
                else replace(party, status_since_ms=self.now_ms, since_ms=self.now_ms)
                for name, party in self.session.parties.items()
            }
            self.session = replace(self.session, parties=parties)

    def _since(self, before: Party, party: Party) -> Party:
        """Return a changed party with the time since when it is as it is."""
        is_new, is_held = party.status != before.status, party.held and not party.is_gone
        if not is_new and is_held == before.held:
            return party
        status_since_ms = self.now_ms if is_new else party.status_since_ms
        since_ms = status_since_ms if not is_held else party.since_ms if before.held else self.now_ms
        # The next hold will not be from before a loss.
        hold_found = party.hold_found and is_held
        return replace(party, status_since_ms=status_since_ms, since_ms=since_ms, hold_found=hold_found)

    def pending_until_ms(self, command: type[Command]) -> int:
        """Return by when Twilio must confirm a command."""
        return self.now_ms + (self.policy.command_timeout_ms or 1_000 * command.pending_s)

    def begin_transfer(self, mode: TransferMode, **fields: Any) -> None:
        """Make a new transfer the newest."""
        session = self.session
        number = session.transfer.number + 1 if session.transfer is not None else 1
        earlier = session.public_transfer if mode in INTERNAL_MODES else None
        self.change(transfer=TransferState(number, mode, started_at_ms=self.now_ms, **fields), earlier_transfer=earlier)

    def change_transfer(self, **changes: Any) -> None:
        """Change fields of the newest transfer, which must exist."""
        self.change(transfer=replace(self.transfer, **changes))

    def add_attempt(self, party: Party) -> None:
        """Record that a transfer, the call's fallback, or a loss rings a party."""
        attempts, transfer, dial_id = self.session.attempts, self.session.running_transfer, self.session.dial_of(party)
        attempt = Attempt(party.name, party.address, dial_id, self.now_ms, label=party.label)
        is_of_transfer = self.session.internal_transfer is None and party.rung_again_because != LOST
        if transfer is not None and is_of_transfer:
            self.change_transfer(attempts=(*transfer.attempts, attempt))
        # An earlier event may have added it.
        elif party.address and not any(one.dial_id == dial_id for one in attempts):
            self.change(attempts=(*attempts, attempt))

    def change_attempt(self, dial_id: str, /, **changes: Any) -> None:
        """Change fields of a dial's attempt, if it has one."""

        def changed(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
            return tuple(replace(one, **changes) if one.dial_id == dial_id else one for one in attempts)

        if self.session.transfer is not None:
            self.change_transfer(attempts=changed(self.session.transfer.attempts))
        self.change(attempts=changed(self.session.attempts))

    def _note_attempt_succeeded(self, party: Party) -> None:
        """Record the success of an attempt that is of no transfer."""
        dial_id = self.session.dial_of(party)
        for attempt in self.session.attempts:
            if attempt.dial_id == dial_id and not attempt.result:
                answered_at_ms = attempt.answered_at_ms or self.at_ms
                self.change_attempt(dial_id, answered_at_ms=answered_at_ms, result="answered")

    @property
    def at_ms(self) -> int:
        """When the event happened, Unix milliseconds."""
        return self.event.happened_at_ms(self.now_ms)

    @property
    def transfer(self) -> TransferState:
        """The newest transfer, which must exist."""
        return not_none(self.session.transfer)

    def emit(self, kind: type[Effect], **fields: Any) -> str:
        """Emit an effect and return its id, which is the same if decided again."""
        effect = kind(effect_id="", session_id=self.session.id, **fields)
        new_id = effect_id(self.session.id, self.event.entry_id, len(self.effects), kind.kind, effect.target)
        self.effects.append(replace(effect, effect_id=new_id))
        return new_id

    def set_timer(self, timer: type[TimerExpired], after_ms: int) -> None:
        """Set a timer, replacing one of the same name. Never due in the past."""
        self.change(timers={**self.session.timers, timer.timer: self.now_ms + max(0, after_ms)})

    def cancel_timers(self, *timers: type[TimerExpired]) -> None:
        """Cancel those of the timers that are set."""
        for timer in timers:
            if timer.timer in self.session.timers:
                self.change(timers={name: due for name, due in self.session.timers.items() if name != timer.timer})

    def ignore(self, kind: DecisionKind, reason: str) -> None:
        """Ignore the event, for a reason."""
        self.kind = kind
        self.reason = reason

    def report(self, command_id: str, status: CommandStatus, reason: str = "", code: str = "") -> None:
        """Report the status of a command to its sender."""
        self.reports.append(CommandReport(command_id, status, reason, code))


def not_none(value: _T | None) -> _T:
    """Return a value that can't be None here: the row's guard has checked it."""
    assert value is not None
    return value
