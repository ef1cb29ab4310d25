"""Jobs and their outcomes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conferral.runtime.errors import ConferralError, ProviderError, ProviderGoneError
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import CallsRead, EffectFailed, EffectSucceeded, EffectUnknown
from conferral.worker.executor.retry import RETRY_AFTER_MAX_S

JobOutcome = EffectSucceeded | EffectFailed | EffectUnknown | CallsRead


class JobObsoleteError(ConferralError):
    """The effect left the outbox, or another worker owns it: it must not be sent, and has no outcome here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A committed effect to execute."""

    effect: Effect
    partition: int
    #: When the effect was committed, Unix milliseconds of partition time.
    committed_at_ms: int
    #: Restored from another worker, which may have sent it: verify before sending.
    may_have_been_sent: bool = False
    #: When the command behind the effect was published, Unix milliseconds of partition time.
    command_published_at_ms: int | None = None
    #: For a restored job: the last moment at which the other worker could have sent it, such as the end of its lease,
    #: Unix milliseconds of partition time. None: until just now.
    sent_until_ms: int | None = None
    #: The earliest moment at which it could have been sent, also in a history that Redis lost, for a search of Twilio's
    #: call list, Unix milliseconds. None: not before its commit.
    sent_since_ms: int | None = None
    #: When the outbox marked the effect as possibly sent, Unix milliseconds of partition time; None without a mark.
    #: Only at-most-once effects are marked.
    sent_at_ms: int | None = None
    #: Redis rolled back, so the mark may have been lost.
    mark_may_be_lost: bool = False
    #: If so, for a gated dial that is decided now: from when on a lost history could have placed it, for a search of
    #: Twilio's call list, Unix milliseconds. None: it is not searched for here.
    lost_since_ms: int | None = None
    #: How long a dial waited for its permit, milliseconds: it may no longer be wanted.
    dial_wait_ms: int = 0
    #: For a dial: it waited in its session's queue, so it may no longer be wanted.
    was_queued: bool = False
    #: For a dial: canceled while it waited. It is not sent, only reported.
    is_cancelled: bool = False
    #: Unexpected error that prevents the execution; the job is only reported. Empty otherwise.
    internal_error: str = ""
    #: Called after the first attempt, whatever its result; None if nothing waits for it.
    on_attempted: Callable[[], None] | None = None

    @property
    def first_sent_at_ms(self) -> int:
        """From when on to search Twilio's call list for it: not sent earlier in any history, Unix milliseconds."""
        bounds = (self.committed_at_ms, self.sent_since_ms, self.lost_since_ms)
        return min(bound_ms for bound_ms in bounds if bound_ms is not None)


def succeeded(
    effect: Effect, call_sid: str = "", queue_ms: int = 0, recording_sid: str = "", *, is_confirmed: bool = False
) -> EffectSucceeded:
    """Return a success, with the call or the recording that it made, or with the response's confirmation."""
    return EffectSucceeded(
        **_effect_fields(effect),
        call_sid=call_sid,
        queue_ms=queue_ms,
        recording_sid=recording_sid,
        is_confirmed=is_confirmed,
    )


def failed(effect: Effect, error: ProviderError | None) -> EffectFailed:
    """Return a failure, with Twilio's last answer; without one, nothing was sent."""
    return EffectFailed(
        **_effect_fields(effect),
        http_status=error.http_status if error else 0,
        code=error.code if error else 0,
        gone=isinstance(error, ProviderGoneError),
        retry_after_ms=round(min(error.retry_after_s, RETRY_AFTER_MAX_S) * 1000) if error else 0,
    )


def unknown(effect: Effect) -> EffectUnknown:
    """Return the outcome of an effect whose request may have taken effect."""
    return EffectUnknown(**_effect_fields(effect))


def _effect_fields(effect: Effect) -> dict[str, Any]:
    """Return the fields by which every outcome names its effect."""
    return {
        "session_id": effect.session_id,
        "token": f"{effect.effect_id}:outcome",  # deduplicates an outcome that is written twice
        "effect_id": effect.effect_id,
        "kind": effect.kind,
        "party": effect.party,
        "detail": effect.detail,
    }
