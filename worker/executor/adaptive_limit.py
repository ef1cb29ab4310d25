"""How many requests may be at Twilio at the same time: this worker's share, fewer after a 429.

While Twilio is away or refuses our credentials it is none for a moment.

Fewer means half, and one more for each round that went well, as TCP does it (additive increase, multiplicative
decrease; source: RFC 5681, section 3.1). After a moment without requests a single one tries how it stands; the others
follow when it was answered. None of that holds for endings: they have slots of their own, and are tried on and on.
"""

import random
from collections.abc import Callable
from enum import StrEnum
from functools import partial

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.metrics import Metrics
from conferral.telephony.http_client import RequestResult
from conferral.worker.executor.request_shares import Share

log = structlog.get_logger()

#: Requests in a row without an answer, or answered by 5xx, after which Twilio counts as away, count.
FAILURES_MAX = 10
#: How long nothing ordinary is sent then: the first time, and at most when single tries fail too, seconds.
UNREACHABLE_PAUSE_S = 1.0
UNREACHABLE_PAUSE_MAX_S = 5.0
#: How long nothing ordinary is sent after credentials were refused, seconds.
CREDENTIALS_PAUSE_S = 5.0
#: How long a failed request says that Twilio is away, seconds: longer than a pause, a request, and a sweep's interval,
#: and shorter than the minute after which the alert fires.
BREAKER_REASON_TTL_S = 45.0
#: Ordinary requests of a worker at most, whatever its share (count): where the window begins.
WINDOW_MAX = 1_000
#: What is sent at the same time at least however often Twilio is busy, count: with one, a slow answer holds up all.
WINDOW_MIN = 2
#: Twilio's code for wrong credentials. Source: Twilio docs, Errors, 20003.
_PERMISSION_DENIED = 20003


class BreakerReason(StrEnum):
    """Why nothing ordinary is sent, or a single request at a time."""

    #: Nobody answers, or with 5xx.
    UNREACHABLE = "unreachable"
    #: 401, or 403 where the code does not say that something else is meant.
    CREDENTIALS = "credentials"


def refuses_credentials(answer: RequestResult) -> bool:
    """Whether an answer says that our credentials are wrong; a 403 of another code may be about one destination."""
    return answer.status == 401 or (answer.status == 403 and answer.code in (0, _PERMISSION_DENIED))


class AdaptiveLimit:
    """What this worker may have under way at Twilio; learns from every answer."""

    def __init__(
        self,
        *,
        share: Callable[[], Share],
        clock: Clock,
        metrics: Metrics,
        rng: random.Random,
    ) -> None:
        """Sets the bounds.

        Args:
            share: What this worker may have under way at most, now.
            clock: For pauses.
            metrics: Where it is shown.
            rng: For jitter.
        """
        self._share = share
        self._clock = clock
        self._rng = rng
        #: Ordinary slots as 429s allow.
        self._window = float(WINDOW_MAX)
        #: When it was halved last: answers to requests from before say nothing new. Monotonic seconds.
        self._halved_at_s = float("-inf")
        self._reason: BreakerReason | None = None
        self._paused_until_s = float("-inf")
        #: When the last answer came that says so.
        self._reason_seen_at_s = float("-inf")
        self._failures = 0
        self._unreachable_pause_s = UNREACHABLE_PAUSE_S
        metrics.rest_concurrency_limit.set_function(lambda: self.ordinary_slots)
        for reason in BreakerReason:
            metrics.rest_breaker_open.labels(reason.value).set_function(partial(self._is_breaker_open, reason))

    def __repr__(self) -> str:
        reason = self.breaker_reason or "open"
        return f"<Allowance {self.ordinary_slots} of {self.slots} {reason} pause={self.pause_s:.1f}>"

    @property
    def slots(self) -> int:
        """What this worker may have under way, endings included (count)."""
        return sum(self._share())

    @property
    def ordinary_slots(self) -> int:
        """How many of them others than endings may take now (count)."""
        if self.pause_s > 0:
            return 0
        if self._reason is not None:
            return min(self._ceiling, 1 if self.breaker_reason else WINDOW_MIN)
        return min(self._ceiling, int(self._window))

    @property
    def pause_s(self) -> float:
        """For how long nothing ordinary is begun, seconds; 0.0 when it may be."""
        return max(0.0, self._paused_until_s - self._clock.monotonic_s())

    @property
    def breaker_reason(self) -> BreakerReason | None:
        """Why little or nothing ordinary is sent; None when all is well, or Twilio only asked for less.

        A worker that has sent nothing for a while no longer knows that Twilio is away.
        """
        is_known = self._clock.monotonic_s() < self._reason_seen_at_s + BREAKER_REASON_TTL_S
        return self._reason if is_known else None

    @property
    def problem(self) -> str:
        """The same for `/readyz`, empty when all is well."""
        match self.breaker_reason:
            case BreakerReason.CREDENTIALS:
                return f"twilio: credentials refused ({_PERMISSION_DENIED})"
            case BreakerReason.UNREACHABLE:
                return "twilio: no answer"
            case None:
                return ""

    def observe(self, answer: RequestResult) -> None:
        """Learns from the answer to a request, or from none."""
        if answer.status == 0 or answer.status >= 500:
            self._count_failure()
            return
        self._failures = 0
        self._unreachable_pause_s = UNREACHABLE_PAUSE_S
        if refuses_credentials(answer):
            self._open_breaker(BreakerReason.CREDENTIALS, CREDENTIALS_PAUSE_S, answer)
            return
        if self._reason is not None:
            self._close_breaker()
        elif answer.status != 429 and self._window < self._ceiling:
            self._window += 1 / self._window
        if answer.status == 429:
            self._decrease(answer)

    def _is_breaker_open(self, reason: BreakerReason) -> bool:
        return self.breaker_reason is reason

    @property
    def _ceiling(self) -> int:
        return self._share().ordinary

    def _decrease(self, answer: RequestResult) -> None:
        now_s = self._clock.monotonic_s()
        # What was under way together is refused together: that is one sign, not many. A Retry-After is waited out by
        # the effect that met it; if all waited, each 429 of a busy minute would cost everybody that time.
        if answer.sent_at_s >= self._halved_at_s:
            self._halved_at_s = now_s
            self._window = max(float(WINDOW_MIN), min(self._window, self._ceiling) / 2)
            log.warning("rest_limit_reduced", count=self.ordinary_slots, wait_s=answer.retry_after_s)

    def _count_failure(self) -> None:
        self._failures += 1
        if self._reason is BreakerReason.UNREACHABLE and self.pause_s == 0:
            self._unreachable_pause_s = min(2 * self._unreachable_pause_s, UNREACHABLE_PAUSE_MAX_S)
        if self._failures >= FAILURES_MAX or self._reason is not None:
            pause_s = self._unreachable_pause_s * self._rng.uniform(0.8, 1.0)
            self._open_breaker(self._reason or BreakerReason.UNREACHABLE, pause_s, None)

    def _open_breaker(self, reason: BreakerReason, pause_s: float, answer: RequestResult | None) -> None:
        self._reason_seen_at_s = self._clock.monotonic_s()
        if self._reason is not reason:
            self._reason = reason
            if answer is not None:
                log.error("credentials_refused", status=answer.status, code=answer.code, wait_s=pause_s)
            else:
                log.error("twilio_unreachable", count=self._failures, wait_s=round(pause_s, 3))
        elif self.pause_s > 0:
            return  # endings are tried meanwhile; that they fail too does not make it longer
        self._paused_until_s = self._clock.monotonic_s() + pause_s

    def _close_breaker(self) -> None:
        assert self._reason is not None
        log.info("rest_limit_restored", reason=self._reason.value)
        self._reason = None
        self._paused_until_s = float("-inf")
        # All that has waited would come at once.
        self._window = float(WINDOW_MIN)
