"""A transfer: what was asked for, how far it has come, and every attempt to reach somebody."""

from dataclasses import dataclass, field, replace
from typing import Any

from conferral.statemachine.states import TransferMode, TransferStage, TransferStatus

#: Most targets of one transfer. Source: Twilio docs, TwiML `<Dial>`, which rings no more at a time either.
TARGETS_MAX = 10


@dataclass(frozen=True, slots=True)
class DialOptions:
    """How somebody is dialled, as the command asks for it."""

    #: Said to the dialled party before joining; empty for nothing.
    brief: str = ""
    #: Whether the dialled party must press 1.
    confirm: bool = False
    #: Seconds to ring; 0 for `CONFERRAL_RING_TIMEOUT`.
    timeout_s: int = 0
    #: DTMF sent after the answer.
    digits: str = ""
    #: The number in the account that the dialed party sees, E.164; empty for the default.
    caller_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to reach somebody. Times in Unix milliseconds, 0 while it has not come to that."""

    party: str
    to: str = field(repr=False)
    #: Id of the dial, which its party carries too.
    dial_id: str
    started_at_ms: int
    answered_at_ms: int = 0
    ended_at_ms: int = 0
    #: `answered`, or why not: `busy`, `no-answer`, `rejected`, `no-confirmation`, `failed`... Empty while it runs.
    result: str = ""


@dataclass(frozen=True, slots=True)
class TransferState:
    """The newest transfer of a session. It stays readable when it is over."""

    #: Counts the session's transfers from 1.
    number: int
    mode: TransferMode
    #: The destinations as they were named, comma-separated.
    to: str = field(repr=False)
    status: TransferStatus = TransferStatus.DIALING
    #: Why it failed or was cancelled, in words separated by a comma: the target's, then those of the recalls.
    reason: str = ""
    stage: TransferStage = TransferStage.CONVERTING
    options: DialOptions = field(default_factory=DialOptions)
    #: Id of the `transfer` command; empty once its end was told.
    command_id: str = ""
    #: Id of the command whose step is being carried out (`complete`, `cancel`, `swap`, `merge`); empty when none is.
    step_command_id: str = ""
    #: That command's name.
    step_name: str = ""
    #: Name of the party that agent hears next, in a swap.
    swap_to: str = ""
    #: Whether the agent is let go as soon as the conversion is through.
    releases_agent: bool = False
    #: How often the agent was rung again (count).
    recalls: int = 0
    #: Whether the fallback destination was tried.
    fell_back: bool = False
    attempts: tuple[Attempt, ...] = ()
    started_at_ms: int = 0

    @property
    def is_running(self) -> bool:
        """Whether it is not over."""
        return self.stage is not TransferStage.OVER

    def with_attempt(self, dial_id: str, /, **changes: Any) -> tuple[Attempt, ...]:
        """The attempts, with one of them changed."""
        return tuple(replace(one, **changes) if one.dial_id == dial_id else one for one in self.attempts)
