"""Transfer of a session: its request, progress, and attempts."""

from typing import Any

from conferral.statemachine.record import BaseRecord, Hidden, replace
from conferral.statemachine.states import TransferMode, TransferStage, TransferStatus

#: Most targets of one transfer. Source: Twilio docs, TwiML `<Dial>`, which has the same limit.
TARGETS_MAX = 10


class DialOptions(BaseRecord, frozen=True):
    """How to dial a party, as the command requests."""

    #: Said to the dialed party before it joins.
    brief: str = ""
    #: Whether the dialed party must press 1.
    confirm: bool = False
    #: 0 for `CONFERRAL_RING_TIMEOUT`.
    timeout_s: int = 0
    #: DTMF sent after the answer.
    digits: str = ""
    #: A number in the account, E.164; empty for the default.
    caller_id: Hidden[str] = ""


class Attempt(BaseRecord, frozen=True):
    """One attempt to reach a party. Times are 0 if not reached yet."""

    party: str
    to: Hidden[str]
    dial_id: str
    started_at_ms: int
    answered_at_ms: int = 0
    ended_at_ms: int = 0
    #: `answered`, or why not: `busy`, `no-answer`, `rejected`, `no-confirmation`, `failed`... Empty before.
    result: str = ""


class TransferState(BaseRecord, frozen=True):
    """The newest transfer of a session, readable when it is over."""

    #: Within the session, from 1.
    number: int
    mode: TransferMode
    #: The destinations as given, comma-separated.
    to: Hidden[str]
    status: TransferStatus = TransferStatus.DIALING
    #: Why it failed or was canceled, comma-separated: the target's reason, then those of the recalls.
    reason: str = ""
    stage: TransferStage = TransferStage.CONVERTING
    #: Reads since the stage has lasted too long (count).
    overdue_reads: int = 0
    options: DialOptions = DialOptions()
    #: Id of the `transfer` command; empty once its outcome was reported.
    command_id: str = ""
    #: Of the `complete`, `cancel`, `swap`, or `merge` in progress, with its name.
    step_command_id: str = ""
    step_name: str = ""
    #: In a swap: the party the agent talks to next.
    swap_to: str = ""
    recalls: int = 0
    fell_back: bool = False
    attempts: tuple[Attempt, ...] = ()
    started_at_ms: int = 0
    #: Who sent the command; empty if unknown.
    by: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the transfer is still in progress."""
        return self.stage is not TransferStage.OVER

    def with_attempt(self, dial_id: str, /, **changes: Any) -> tuple[Attempt, ...]:
        """Return the attempts, with the one of this dial changed."""
        return tuple(replace(one, **changes) if one.dial_id == dial_id else one for one in self.attempts)
