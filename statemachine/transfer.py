"""Transfer of a session: the request, its progress, and every attempt to reach a target."""

from typing import Any

from conferral.statemachine.record import BaseRecord, Hidden, replace
from conferral.statemachine.states import TransferMode, TransferStage, TransferStatus

#: Most targets of one transfer. Source: Twilio docs, TwiML `<Dial>`, which has the same limit.
TARGETS_MAX = 10


class DialOptions(BaseRecord, frozen=True):
    """How to dial a party, as the command requests."""

    #: Said to the dialed party before it joins; empty for nothing.
    brief: str = ""
    #: Whether the dialed party must press 1.
    confirm: bool = False
    #: Seconds to ring; 0 for `CONFERRAL_RING_TIMEOUT`.
    timeout_s: int = 0
    #: DTMF sent after the answer.
    digits: str = ""
    #: The caller ID, a number in the account, E.164; empty for the default.
    caller_id: Hidden[str] = ""


class Attempt(BaseRecord, frozen=True):
    """One attempt to reach a party. Times are Unix milliseconds, 0 if not reached yet."""

    party: str
    to: Hidden[str]
    #: Id of the dial; the party carries it too.
    dial_id: str
    started_at_ms: int
    answered_at_ms: int = 0
    ended_at_ms: int = 0
    #: `answered`, or why not: `busy`, `no-answer`, `rejected`, `no-confirmation`, `failed`... Empty while in progress.
    result: str = ""


class TransferState(BaseRecord, frozen=True):
    """The newest transfer of a session. It stays readable when it is over."""

    #: Number of this transfer within the session, from 1.
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
    #: Id of the `complete`, `cancel`, `swap`, or `merge` command in progress; empty if none is.
    step_command_id: str = ""
    #: Name of that command.
    step_name: str = ""
    #: In a swap: name of the party the agent talks to next.
    swap_to: str = ""
    #: Whether to release the agent as soon as the conversion is done.
    releases_agent: bool = False
    #: How often Conferral has called the agent back (count).
    recalls: int = 0
    #: Whether the fallback destination was dialed.
    fell_back: bool = False
    attempts: tuple[Attempt, ...] = ()
    started_at_ms: int = 0
    #: Who gave the command; empty if it did not say, or without a command.
    by: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the transfer is still in progress."""
        return self.stage is not TransferStage.OVER

    def with_attempt(self, dial_id: str, /, **changes: Any) -> tuple[Attempt, ...]:
        """Return the attempts, with the one of this dial changed."""
        return tuple(replace(one, **changes) if one.dial_id == dial_id else one for one in self.attempts)
