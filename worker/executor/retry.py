"""How long an effect waits before it is tried again, and when it is given up. Pure: randomness is handed in."""

import random
from dataclasses import dataclass, field

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
from conferral.telephony.redirect_check import SETTLE_S
from conferral.worker.executor.request_shares import Share

#: The last request before a deadline gets at least this long: cut shorter, its outcome would be unknown for nothing.
LAST_REQUEST_S = 1.0
#: The first wait is drawn from 0 to this: most refusals for load are over after a fraction of a second.
FIRST_WAIT_S = 0.25
#: Upper end of the waits of an effect that somebody is waiting for.
WAIT_MAX_S = 2.0
#: Upper end of the waits of an effect that ends something: Twilio may be away for minutes.
ENDING_WAIT_MAX_S = 30.0
#: A longer Retry-After is taken as this, so that a wrong header can't keep a caller in a billed conference.
RETRY_AFTER_MAX_S = 60.0
#: Credentials that are being changed answer so for a while: 401 and 403.
DENIED_STATUSES = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How one kind of effect is repeated. All times in seconds."""

    #: From its turn until it is given up; of a read, without the time that it waits for a slot.
    deadline_s: float
    #: How long one request may take before its outcome is unknown; below the HTTP client's own time-outs where looking
    #: and repeating must fit into the deadline.
    request_timeout_s: float
    #: What even the last request before the deadline gets.
    last_request_s: float = LAST_REQUEST_S
    wait_max_s: float = WAIT_MAX_S
    first_wait_s: float = FIRST_WAIT_S
    #: Whether 401 and 403 are repeated.
    retries_denied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorPolicy:
    """The bounds of the executor. Times in seconds."""

    #: A person hears silence meanwhile, and `CONFERRAL_CONVERT_TIMEOUT` (5 s) repairs: later, nobody wants it.
    redirect: RetryPolicy = field(default_factory=lambda: RetryPolicy(deadline_s=8, request_timeout_s=4))
    #: Somebody hears ring-back or music meanwhile; two requests and the look between them fit in.
    create_participant: RetryPolicy = field(default_factory=lambda: RetryPolicy(deadline_s=10, request_timeout_s=5))
    #: Never sent again once it may have been, so each request gets the time that Twilio may take.
    create_call: RetryPolicy = field(
        default_factory=lambda: RetryPolicy(deadline_s=10, request_timeout_s=10, last_request_s=10)
    )
    #: A transfer waits 3 s for a hold (`Policy.hold_timeout_ms`). It may be repeated: so two requests, cut short.
    update_participant: RetryPolicy = field(default_factory=lambda: RetryPolicy(deadline_s=4, request_timeout_s=2))
    #: Never sent again once it may have been, like a dial; but others of its session stand behind it in line.
    play_announcement: RetryPolicy = field(
        default_factory=lambda: RetryPolicy(deadline_s=5, request_timeout_s=5, last_request_s=5)
    )
    #: Nobody waits for it in silence; two requests and the look between them fit in.
    start_recording: RetryPolicy = field(default_factory=lambda: RetryPolicy(deadline_s=10, request_timeout_s=5))
    #: A consult begins when its recording is paused. It may be repeated: so two requests, cut short.
    change_recording: RetryPolicy = field(default_factory=lambda: RetryPolicy(deadline_s=4, request_timeout_s=2))
    #: Of looks at calls, and of the search for one.
    read: RetryPolicy = field(default_factory=lambda: RetryPolicy(deadline_s=10, request_timeout_s=5))
    #: A call that is not hung up costs money until it is, so this is tried for an hour.
    ending: RetryPolicy = field(
        default_factory=lambda: RetryPolicy(
            deadline_s=3600, request_timeout_s=10, wait_max_s=ENDING_WAIT_MAX_S, retries_denied=True
        )
    )
    #: Effects of all workers that talk to Twilio at the same time, however many workers there are. A read sends up to
    #: three requests at once, so that together they stay below what an account may have under way; see
    #: `telephony.client.REQUESTS_MAX`.
    requests_max: int = 32
    #: How many of them are kept for endings, so that hung requests never keep a caller in a conference.
    reserved_for_endings: int = 8
    #: Between two looks at an effect whose outcome is unknown.
    verify_interval_s: float = 0.5
    #: See `telephony.look.SETTLE_S`.
    settle_s: float = SETTLE_S

    def __post_init__(self) -> None:
        if not 0 <= self.reserved_for_endings < self.requests_max:
            raise ValueError(self.reserved_for_endings)

    @property
    def budget(self) -> Share:
        """What all workers share."""
        return Share(self.requests_max - self.reserved_for_endings, self.reserved_for_endings)

    def for_effect(self, effect: Effect) -> RetryPolicy:
        """The policy of an effect's kind."""
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
    """Waiting time before an effect is tried again.

    The wait is drawn evenly from zero to a growing end ("full jitter"), so that what failed together does not come back
    together. A Retry-After is waited out, with a little jitter on top for the same reason.

    Args:
        attempt: Tries that have failed so far, from 1 (count).
        error: Why the last one failed. Whether an unknown outcome may be repeated at all is not decided here.
        policy: Bounds and growth.
        rng: Where the jitter comes from.

    Returns:
        Seconds; None when repeating is of no use.

    Raises:
        ValueError: attempt is less than 1.

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter"; Twilio docs, Errors, 20429.
    """
    if attempt < 1:
        raise ValueError(attempt)
    denied = error.http_status in DENIED_STATUSES and policy.retries_denied
    if isinstance(error, ProviderRefusedError) and not denied:
        return None
    if error.retry_after_s > 0:
        return min(error.retry_after_s, RETRY_AFTER_MAX_S) + rng.uniform(0, policy.first_wait_s)
    # The exponent is bounded, because an hour of tries would make the number too large to compute with.
    end_s = policy.first_wait_s * 2.0 ** min(attempt - 1, _DOUBLINGS_MAX)
    return rng.uniform(0, min(end_s, policy.wait_max_s))


_DOUBLINGS_MAX = 16
