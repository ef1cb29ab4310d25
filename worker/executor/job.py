"""Jobs and their outcomes."""

from dataclasses import dataclass
from typing import Any

from conferral.runtime.errors import ConferralError, ProviderError, ProviderGoneError
from conferral.statemachine.effects import CreateCall, Effect, PlayAnnouncement
from conferral.statemachine.events import CallsRead, EffectFailed, EffectSucceeded, EffectUnknown
from conferral.worker.executor.retry import RETRY_AFTER_MAX_S

#: Never repeated after a request: a phone would ring, or a caller hear a message, again. All others may be repeated.
AT_MOST_ONCE = (CreateCall, PlayAnnouncement)

JobOutcome = EffectSucceeded | EffectFailed | EffectUnknown | CallsRead


class JobObsoleteError(ConferralError):
    """The effect left the outbox, or is another worker's: don't send it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A committed effect to execute; times are Unix ms of this worker's clock."""

    effect: Effect
    partition: int
    committed_at_ms: int
    #: Restored from another worker, which may have sent it: verify first.
    may_have_been_sent: bool = False
    command_published_at_ms: int | None = None
    #: When another worker may last have sent it, Unix milliseconds; None: now.
    sent_until_ms: int | None = None
    #: The earliest that any history could have sent it, Unix milliseconds; None: its commit. For searches of calls.
    sent_since_ms: int | None = None
    #: When it was marked as possibly sent, Unix milliseconds of Twilio's time; None: no mark.
    sent_at_ms: int | None = None
    #: Redis rolled back, so the mark may have been lost.
    mark_may_be_lost: bool = False
    #: Unexpected error because of which the job is only reported; or empty.
    internal_error: str = ""

    @property
    def first_sent_at_ms(self) -> int:
        """When it could first have been sent, for searches of Twilio's calls."""
        return self.committed_at_ms if self.sent_since_ms is None else min(self.committed_at_ms, self.sent_since_ms)


def log_fields(effect: Effect) -> dict[str, Any]:
    """Return the fields by which log lines name an effect."""
    return {"effect": effect.kind, "effect_id": effect.effect_id, "session_id": effect.session_id}


def succeeded(
    effect: Effect,
    call_sid: str = "",
    queue_ms: int = 0,
    recording_sid: str = "",
    *,
    is_confirmed: bool = False,
    was_over: bool = False,
) -> EffectSucceeded:
    """Return a success, with what it made or what the response showed."""
    return EffectSucceeded(
        **_effect_fields(effect),
        call_sid=call_sid,
        queue_ms=queue_ms,
        recording_sid=recording_sid,
        is_confirmed=is_confirmed,
        was_over=was_over,
    )


def failed(effect: Effect, error: ProviderError | None) -> EffectFailed:
    """Return a failure with Twilio's last answer; None if nothing was sent."""
    return EffectFailed(
        **_effect_fields(effect),
        http_status=error.http_status if error else 0,
        code=error.code if error else 0,
        gone=isinstance(error, ProviderGoneError),
        retry_after_ms=round(min(error.retry_after_s, RETRY_AFTER_MAX_S) * 1000) if error else 0,
    )


def unknown(effect: Effect) -> EffectUnknown:
    """Return the outcome of a request that may have taken effect."""
    return EffectUnknown(**_effect_fields(effect))


def _effect_fields(effect: Effect) -> dict[str, Any]:
    return {
        "session_id": effect.session_id,
        "token": f"{effect.effect_id}:outcome",  # deduplicates an outcome that is written twice
        "effect_id": effect.effect_id,
        "kind": effect.kind,
        "party": effect.party,
        "detail": effect.detail,
    }
