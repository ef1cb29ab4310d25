"""Orders, their outcomes, and what carrying one out needs of Twilio and of Redis."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from conferral.runtime.errors import ConferralError
from conferral.statemachine.effects import Dial, Effect
from conferral.statemachine.events import CallsRead, EffectFailed, EffectSucceeded, EffectUnknown
from conferral.storage.partition.dial_claims import DialStatus
from conferral.telephony.parameters.dial import PlacedCall
from conferral.telephony.parameters.recording import StartedRecording
from conferral.worker.executor.verification import Verifier

JobOutcome = EffectSucceeded | EffectFailed | EffectUnknown | CallsRead


class JobObsoleteError(ConferralError):
    """The order is not in the outbox any more, or is another worker's: it must not be sent, and has no outcome here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An effect that was committed and shall be carried out."""

    effect: Effect
    partition: int
    #: When it was committed, Unix milliseconds by the store's clock.
    committed_at_ms: int
    #: Taken over from another worker, who may have sent it: it is looked up first.
    may_have_been_sent: bool = False
    #: Of an ending: its session is over, so what the session has not sent yet is dropped.
    ends_session: bool = True
    #: When the command that led to it was published, Unix milliseconds by the store's clock.
    command_published_at_ms: int | None = None
    #: Of an order taken over: the last moment at which the other worker could have sent it, for instance the end of its
    #: lease, Unix milliseconds by the store's clock. None: until just now.
    sent_until_ms: int | None = None
    #: Of an order that may have been decided before, in a history that Redis has forgotten: the first moment at which
    #: it could have been sent then, Unix milliseconds by the store's clock. None: not before it was committed.
    sent_since_ms: int | None = None
    #: Marked in the outbox as one that may have been sent, Unix milliseconds by the store's clock; None while it is
    #: not. Only what is never repeated is marked.
    sent_at_ms: int | None = None
    #: Redis's history was rewound, so such a mark may have been lost with it.
    mark_may_be_lost: bool = False
    #: How long it has waited for its turn to dial, milliseconds: it may not be wanted any more.
    dial_wait_ms: int = 0
    #: Of a dial: it has stood in its session's line behind another order, so it may not be wanted any more either.
    was_queued: bool = False
    #: Of a dial: taken back while it waited. It is not sent, only reported.
    is_cancelled: bool = False
    #: Why it is not carried out at all, only reported: an error of our own. Empty for every other order.
    internal_error: str = ""
    #: Called when it was tried once, whatever came of it; None where nothing waits for that.
    on_attempted: Callable[[], None] | None = None


class TwilioPort(Verifier, Protocol):
    """What is asked of Twilio; `telephony.calls.Calls` in earnest."""

    async def perform(self, effect: Effect) -> CallsRead | PlacedCall | StartedRecording | None:
        """Carries an effect out, in one try; raises `ProviderError`."""
        ...


class OutboxPort(Protocol):
    """What is written down and looked up in Redis about an order.

    Each repeats by itself while Redis is away, and raises `LeaseLostError` when the partition is not ours any more.
    """

    async def finish(self, effect: Effect, outcome: JobOutcome) -> Effect | None:
        """Writes an outcome down.

        Returns:
            What has to be carried out because nobody waits for the outcome any more; None when nothing has.
        """
        ...

    async def mark_sent(self, effect: Effect) -> bool:
        """Marks an order before it is sent; False when it was marked before, so that it may have been sent.

        Raises:
            JobObsoleteError: it must not be sent.
        """
        ...

    async def claim_call(self, session_id: str, call_sid: str) -> bool:
        """Notes whose call it is, if nobody has; False when it is another session's."""
        ...

    async def dial_status(self, effect: Dial) -> DialStatus:
        """What the session knows of a dial by now."""
        ...
