"""Retry policy: backoff and deadlines per kind of effect. Pure; the caller passes the random generator."""

import random
from dataclasses import dataclass

from conferral.runtime.errors import ProviderError, ProviderRefusedError
from conferral.statemachine.effects import (
    ChangeRecording,
    CreateCall,
    CreateParticipant,
    Effect,
    FindCall,
    PlayAnnouncement,
    ReadCalls,
    RedirectCall,
    StartRecording,
    UpdateParticipant,
)
from conferral.worker.executor.adaptive_limit import RequestSlots

#: A longer Retry-After is capped at this, seconds, so a wrong header can't keep a caller in a billed conference.
RETRY_AFTER_MAX_S = 60.0
#: 401 and 403, which Twilio also returns for a while after credentials change.
DENIED_STATUSES = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How one kind of effect is retried. All times in seconds."""

    #: From getting its turn to giving up; for a read, without the time it waits for a slot.
    deadline_s: float
    #: Timeout of one request, after which its outcome is unknown. Below the HTTP client's own timeouts where a request,
    #: verification, and retry must fit into the deadline.
    request_timeout_s: float
    #: Minimum timeout, even for the last request before the deadline: cut shorter, its outcome would be unknown for no
    #: reason.
    last_request_s: float = 1.0
    #: Upper bound of the backoff: someone waits for most effects.
    wait_max_s: float = 2.0
    #: Upper bound of the first backoff: most load-related refusals are over after a fraction of a second.
    first_wait_s: float = 0.25
    #: Whether to retry after 401 and 403.
    retries_denied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorPolicy:
    """The executor's limits. Times in seconds."""

    #: The caller hears silence meanwhile, and `CONFERRAL_CONVERT_TIMEOUT` (5 s) repairs: later, the redirect is
    #: useless.
    redirect: RetryPolicy = RetryPolicy(deadline_s=8, request_timeout_s=4)
    #: The caller hears ringback or music meanwhile; two requests and the verification between them fit in.
    create_participant: RetryPolicy = RetryPolicy(deadline_s=10, request_timeout_s=5)
    #: At most once: never repeated once it may have been sent, so each request gets as long as Twilio may take.
    create_call: RetryPolicy = RetryPolicy(deadline_s=10, request_timeout_s=10, last_request_s=10)
    #: A transfer waits 3 s for a hold (`Policy.hold_timeout_ms`). Safe to repeat, so two short requests.
    update_participant: RetryPolicy = RetryPolicy(deadline_s=4, request_timeout_s=2)
    #: At most once, like a dial, but other effects of its session wait behind it.
    play_announcement: RetryPolicy = RetryPolicy(deadline_s=5, request_timeout_s=5, last_request_s=5)
    #: No one waits for it in silence; two requests and the verification between them fit in.
    start_recording: RetryPolicy = RetryPolicy(deadline_s=10, request_timeout_s=5)
    #: A consult starts once its recording is paused. Safe to repeat, so two short requests.
    change_recording: RetryPolicy = RetryPolicy(deadline_s=4, request_timeout_s=2)
    #: For reads of calls, and for finding a call.
    read: RetryPolicy = RetryPolicy(deadline_s=10, request_timeout_s=5)
    #: A call costs money until it is hung up, so this is retried for an hour. Twilio may be away for minutes.
    ending: RetryPolicy = RetryPolicy(deadline_s=3600, request_timeout_s=10, wait_max_s=30, retries_denied=True)
    #: Concurrent effects of all workers together, however many workers there are. A read sends up to two requests at
    #: once, so that together they stay below what an account may have in flight; see
    #: `telephony.http_client.REQUESTS_MAX`.
    requests_max: int = 48
    #: How many of them are reserved for endings, so hung requests never keep a caller in a conference.
    reserved_for_endings: int = 8
    #: Interval between two verifications of an effect whose outcome is unknown.
    verify_interval_s: float = 0.5
    #: How long Twilio may take from the request until the participant is listed. A call runs its new TwiML within about
    #: two thirds of a second, and a list may briefly miss a new conference.
    settle_s: float = 2.0

    @property
    def budget(self) -> RequestSlots:
        """The budget that all workers share."""
        return RequestSlots(self.requests_max - self.reserved_for_endings, self.reserved_for_endings)

    def for_effect(self, effect: Effect) -> RetryPolicy:
        """Return the retry policy for an effect."""
        if effect.is_ending:
            return self.ending
        match effect:
            case RedirectCall():
                return self.redirect
            case CreateParticipant():
                return self.create_participant
            case CreateCall():
                return self.create_call
            case UpdateParticipant():
                return self.update_participant
            case PlayAnnouncement():
                return self.play_announcement
            case StartRecording():
                return self.start_recording
            case ChangeRecording():
                return self.change_recording
            case ReadCalls() | FindCall():
                return self.read
        raise TypeError(effect.kind)


def backoff_s(attempt: int, error: ProviderError, policy: RetryPolicy, rng: random.Random) -> float | None:
    """Return the backoff before the next attempt.

    The wait is drawn uniformly from zero to a growing bound ("full jitter"), so that effects that failed together do
    not retry together. A Retry-After is waited out, plus a little jitter for the same reason.

    Args:
        attempt: Failed attempts so far, from 1 (count).
        error: Why the last attempt failed. Whether an unknown outcome may be repeated is not decided here.

    Returns:
        Seconds; None if a retry is useless.

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter"; Twilio docs, Errors, 20429.
    """
    is_denial_to_retry = error.http_status in DENIED_STATUSES and policy.retries_denied
    if isinstance(error, ProviderRefusedError) and not is_denial_to_retry:
        return None
    if error.retry_after_s > 0:
        return min(error.retry_after_s, RETRY_AFTER_MAX_S) + rng.uniform(0, policy.first_wait_s)
    # The exponent is bounded: an hour of attempts would overflow the power.
    bound_s = policy.first_wait_s * 2.0 ** min(attempt - 1, _DOUBLINGS_MAX)
    return rng.uniform(0, min(bound_s, policy.wait_max_s))


_DOUBLINGS_MAX = 16
