"""Jobs, their results, and how each kind is retried. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conferral.runtime.errors import ConferralError, ProviderError, ProviderGoneError, ProviderRefusedError
from conferral.statemachine import effects
from conferral.statemachine.effects import CreateCall, Effect, PlayAnnouncement, RedirectToVoicemail
from conferral.statemachine.events import CallsRead, EffectFailed, EffectSucceeded, EffectUnknown
from conferral.worker.executor.request_limiter import Priority

#: A longer Retry-After is capped: a wrong header must not keep a caller in a billed conference.
RETRY_AFTER_MAX_S = 60.0
#: Unauthorized and forbidden. Twilio also returns them for a while after credentials change.
AUTH_FAILURE_STATUSES = frozenset({401, 403})
_DOUBLINGS_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How one kind of effect is retried: by deadline, not by count.

    Times are in seconds.
    """

    #: From its turn to giving up; for a read, without the wait for a slot.
    deadline_s: float
    #: Timeout of one request, after which its result is unknown; two and a verification may have to fit the deadline.
    request_timeout_s: float
    #: Before the first request.
    delay_s: float = 0
    #: Minimum timeout, even of the last request: a shorter one would make its result unknown for no reason.
    last_request_s: float = 1.0
    #: Upper bound of the backoff: someone waits for most effects.
    backoff_max_s: float = 2.0
    #: Upper bound of the first backoff: most refusals under load end soon.
    first_backoff_max_s: float = 0.25
    #: Whether to retry refusals that may be temporary: of the credentials, and a proxy's, which have no Twilio code.
    retries_temporary_refusals: bool = False


#: By kind of effect; `HANG_UP_RETRY` for those that end a call or a conference.
RETRIES: Mapping[type[effects.Effect], RetryPolicy] = {
    # The caller hears silence; after `CONFERRAL_CONVERT_TIMEOUT` (5 s), a redirect is useless.
    effects.RedirectCall: RetryPolicy(deadline_s=8, request_timeout_s=4),
    # The caller hears ringback or music; two requests and a verification fit in.
    effects.CreateParticipant: RetryPolicy(deadline_s=10, request_timeout_s=5),
    # Never repeated once it may have been sent, so a request gets as long as Twilio may take.
    effects.CreateCall: RetryPolicy(deadline_s=10, request_timeout_s=10, last_request_s=10),
    # A transfer waits 3 s for a hold (`Policy.hold_timeout_ms`). Safe to repeat, so two short requests.
    effects.UpdateParticipant: RetryPolicy(deadline_s=4, request_timeout_s=2),
    # At most once, like a dial, but other effects of its session wait behind it.
    effects.PlayAnnouncement: RetryPolicy(deadline_s=5, request_timeout_s=5, last_request_s=5),
    effects.RedirectToVoicemail: RetryPolicy(deadline_s=5, request_timeout_s=5, last_request_s=5),
    # No one waits in silence; two requests and a verification fit in.
    effects.StartRecording: RetryPolicy(deadline_s=10, request_timeout_s=5),
    # A consult starts once its recording is paused. Safe to repeat, so two short requests.
    effects.ChangeRecording: RetryPolicy(deadline_s=4, request_timeout_s=2),
    effects.ReadCalls: RetryPolicy(deadline_s=10, request_timeout_s=5),
    effects.FindCall: RetryPolicy(deadline_s=10, request_timeout_s=5),
    # Twilio finishes a recording some seconds after the call, a long one in minutes. No one waits.
    effects.FindMessage: RetryPolicy(deadline_s=3600, request_timeout_s=5, first_backoff_max_s=1, backoff_max_s=30),
    # As above; most callbacks arrive before the first request, which is then not sent.
    effects.FindRecording: RetryPolicy(
        deadline_s=3600, request_timeout_s=5, delay_s=2, first_backoff_max_s=1, backoff_max_s=30
    ),
}
#: A call costs money until it is hung up, and Twilio may be away for minutes.
HANG_UP_RETRY = RetryPolicy(deadline_s=3600, request_timeout_s=10, backoff_max_s=30, retries_temporary_refusals=True)


def backoff_s(failures: int, error: ProviderError, policy: RetryPolicy, rng: random.Random) -> float | None:
    """Return the backoff before the next attempt, seconds; None: don't retry.

    It is uniform from zero to a bound that grows with the `failures` in a row ("full jitter"), or a Retry-After plus
    jitter, so that effects that failed together don't retry together. The caller decides whether an unknown result may
    be repeated.

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter"; Twilio docs, Errors, 20429.
    """
    is_from_proxy = error.http_status > 0 and not error.code
    may_be_temporary = error.http_status in AUTH_FAILURE_STATUSES or is_from_proxy
    if isinstance(error, ProviderRefusedError) and not (may_be_temporary and policy.retries_temporary_refusals):
        return None
    if error.retry_after_s > 0:
        return min(error.retry_after_s, RETRY_AFTER_MAX_S) + rng.uniform(0, policy.first_backoff_max_s)
    # Bounded, because an hour of failures would overflow the power.
    bound_s = policy.first_backoff_max_s * 2.0 ** min(failures - 1, _DOUBLINGS_MAX)
    return rng.uniform(0, min(bound_s, policy.backoff_max_s))


#: Never repeated after a request: a phone would ring, or a caller hear a message, again. All others may be repeated.
AT_MOST_ONCE = (CreateCall, PlayAnnouncement, RedirectToVoicemail)

#: All other kinds change something. Messages and recordings are looked for after the end of their session.
_READS: Mapping[type[effects.Effect], Priority] = {
    effects.ReadCalls: Priority.READ,
    effects.FindCall: Priority.READ,
    effects.FindMessage: Priority.BACKGROUND_READ,
    effects.FindRecording: Priority.BACKGROUND_READ,
}

JobResult = EffectSucceeded | EffectFailed | EffectUnknown | CallsRead


class JobObsoleteError(ConferralError):
    """The effect left the outbox, or is another worker's: don't send it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A committed effect to execute."""

    effect: Effect
    partition: int
    #: Unix milliseconds, as the next one: the workers' time.
    committed_at_ms: int
    command_published_at_ms: int | None = None
    #: Until when another worker may have sent it, or this one before a loss of Redis, monotonic seconds: it is
    #: verified first. None: no one has.
    maybe_sent_until_s: float | None = None
    #: When it was marked as possibly sent, Unix milliseconds of Twilio's time; None: no mark.
    sent_at_ms: int | None = None
    #: Redis may have lost the mark of a request. Then an effect that must not be repeated, or unholds, is not sent: its
    #: result is unknown.
    mark_may_be_lost: bool = False
    #: A read that no one waits for yet.
    is_background: bool = False
    #: The span of its decision; empty without one.
    traceparent: str = ""

    @property
    def priority(self) -> Priority:
        """Which requests go before its own."""
        if self.effect.is_ending:
            return Priority.ENDING
        return Priority.BACKGROUND_READ if self.is_background else _READS.get(type(self.effect), Priority.CHANGE)

    @property
    def keeps_its_place(self) -> bool:
        """Whether its time begins once it has a slot.

        If a read expired before, it would be emitted again, behind all others.
        """
        return isinstance(self.effect, effects.ReadCalls)


def log_fields(effect: Effect) -> dict[str, Any]:
    """Return the fields by which log lines name an effect."""
    return {"effect": effect.kind, "effect_id": effect.effect_id, "session_id": effect.session_id}


def succeeded(effect: Effect, call_sid: str = "", queue_ms: int = 0, **shown: Any) -> EffectSucceeded:
    """Return a success, with the call it made or what the response showed."""
    return EffectSucceeded(**_effect_fields(effect), call_sid=call_sid, queue_ms=queue_ms, **shown)


def failed(effect: Effect, error: ProviderError | None) -> EffectFailed:
    """Return a failure with Twilio's last answer; None if nothing was sent."""
    return EffectFailed(
        **_effect_fields(effect),
        http_status=error.http_status if error else 0,
        code=error.code if error else 0,
        gone=isinstance(error, ProviderGoneError),
    )


def unknown(effect: Effect) -> EffectUnknown:
    """Return the result of a request that may have taken effect."""
    return EffectUnknown(**_effect_fields(effect))


def _effect_fields(effect: Effect) -> dict[str, Any]:
    return {
        "session_id": effect.session_id,
        "token": f"{effect.effect_id}:outcome",  # deduplicates a result that is written twice
        "effect_id": effect.effect_id,
        "kind": effect.kind,
        "party": effect.party,
        "detail": effect.detail,
    }
