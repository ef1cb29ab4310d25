"""Backoff after a 429 (rate limit), and the circuit breaker for Twilio.

The limit starts at this worker's share of the account's budget. A 429 takes 30 % of it; each round of successes adds
one (RFC 5681, section 3.1; RFC 9438, section 4.6). The breaker opens while Twilio is unreachable or refuses the
credentials: ordinary requests pause, then one probes. Endings (hang-ups) have reserved slots and keep retrying.
"""

import math
import random
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.metrics import Metrics
from conferral.telephony.http_client import RequestResult

log = structlog.get_logger()

#: Consecutive requests without an answer, or with 5xx, that open the breaker, count.
FAILURES_MAX = 10
#: First and maximum pause after the breaker opens, seconds.
UNREACHABLE_PAUSE_S = 1.0
UNREACHABLE_PAUSE_MAX_S = 5.0
#: Pause after Twilio refused the credentials.
CREDENTIALS_PAUSE_S = 5.0
#: How long a failure stays visible, seconds: longer than a sweep interval, shorter than the alert's minute.
BREAKER_REASON_TTL_S = 45.0
#: Lower limit of the window, count: with one, a slow answer would block everything.
WINDOW_MIN = 2
#: What a 429 leaves of the window. Half, as in older TCP, would leave 9 of 13 slots at 2 % of chance 429s.
KEPT_AFTER_429 = 0.7
#: Wrong credentials. Source: Twilio docs, Errors, 20003.
PERMISSION_DENIED_CODE = 20003


class BreakerReason(StrEnum):
    """Why the circuit breaker is open."""

    #: No answer, or 5xx.
    UNREACHABLE = "unreachable"
    #: 401, or a 403 whose code does not name another cause.
    CREDENTIALS = "credentials"


def refuses_credentials(answer: RequestResult) -> bool:
    """Whether an answer means wrong credentials, not one refused destination."""
    return answer.status == 401 or (answer.status == 403 and answer.code in (0, PERMISSION_DENIED_CODE))


class RequestSlots(NamedTuple):
    """Counts of concurrent requests to Twilio: a budget, share, or usage."""

    #: For all requests except endings (hang-ups).
    ordinary: int
    #: Reserved for endings, which may also use the ordinary ones.
    endings: int


class AdaptiveLimit:
    """Limits this worker's concurrent requests; adapts to every answer."""

    def __init__(
        self, *, share: Callable[[], RequestSlots], clock: Clock, metrics: Metrics, rng: random.Random
    ) -> None:
        self._share = share
        self._clock = clock
        self._rng = rng
        #: Ordinary slots that recent 429s allow, count.
        self._window = math.inf
        #: When the window last shrank, monotonic seconds; answers to earlier requests say nothing new.
        self._reduced_at_s = float("-inf")
        self._reason: BreakerReason | None = None
        self._paused_until_s = float("-inf")
        self._reason_seen_at_s = float("-inf")
        self._failures = 0
        self._unreachable_pause_s = UNREACHABLE_PAUSE_S
        metrics.rest_concurrency_limit.set_function(lambda: self.ordinary_slots)
        for reason in BreakerReason:
            metrics.rest_breaker_open.labels(reason.value).set_function(partial(self._is_breaker_open, reason))

    @property
    def slots(self) -> int:
        """All slots of this worker, count."""
        return sum(self._share())

    @property
    def ordinary_slots(self) -> int:
        """Slots available to ordinary requests now, count."""
        if self.pause_s > 0:
            return 0
        if self._reason is not None:  # the pause is over: let a single request probe Twilio
            return min(self._share().ordinary, 1 if self.breaker_reason else WINDOW_MIN)
        return int(min(self._share().ordinary, self._window))

    @property
    def pause_s(self) -> float:
        """How long ordinary requests stay paused, seconds; 0.0 if they may start."""
        return max(0.0, self._paused_until_s - self._clock.monotonic_s())

    @property
    def breaker_reason(self) -> BreakerReason | None:
        """Why the breaker is open; None if closed, or after a while without use."""
        is_known = self._clock.monotonic_s() < self._reason_seen_at_s + BREAKER_REASON_TTL_S
        return self._reason if is_known else None

    @property
    def problem(self) -> str:
        """The breaker's reason as `/readyz` reports it; empty when it is closed."""
        match self.breaker_reason:
            case BreakerReason.CREDENTIALS:
                return f"twilio: credentials refused ({PERMISSION_DENIED_CODE})"
            case BreakerReason.UNREACHABLE:
                return "twilio: no answer"
            case None:
                return ""

    def observe(self, answer: RequestResult) -> None:
        """Update the limit with an answer; status 0 means that none arrived."""
        if answer.status == 0 or answer.status >= 500:
            self._count_failure()
            return
        self._failures = 0
        self._unreachable_pause_s = UNREACHABLE_PAUSE_S
        if refuses_credentials(answer):
            self._open_breaker(BreakerReason.CREDENTIALS, CREDENTIALS_PAUSE_S, answer)
            return
        if self._reason is not None:
            log.info("rest_limit_restored", reason=self._reason.value)
            self._reason = None
            self._paused_until_s = float("-inf")
            self._window = float(WINDOW_MIN)  # a full window would release everything that waited at once
        elif answer.status != 429 and self._window < self._share().ordinary:
            self._window += 1 / self._window  # adds one per round of answers
        if answer.status == 429:
            self._reduce_window(answer)

    def _is_breaker_open(self, reason: BreakerReason) -> bool:
        return self.breaker_reason is reason

    def _reduce_window(self, answer: RequestResult) -> None:
        """Reduce the window after a 429, once for all requests in flight then."""
        now_s = self._clock.monotonic_s()
        # Only the effect that got a Retry-After waits it out: otherwise, each 429 would delay everything.
        if answer.sent_at_s >= self._reduced_at_s:
            self._reduced_at_s = now_s
            self._window = max(float(WINDOW_MIN), min(self._window, self._share().ordinary) * KEPT_AFTER_429)
            log.warning("rest_limit_reduced", count=self.ordinary_slots, wait_s=answer.retry_after_s)

    def _count_failure(self) -> None:
        """Count a failure; open the breaker after several, or in a probe."""
        self._failures += 1
        if self._reason is BreakerReason.UNREACHABLE and self.pause_s == 0:
            self._unreachable_pause_s = min(2 * self._unreachable_pause_s, UNREACHABLE_PAUSE_MAX_S)
        if self._failures >= FAILURES_MAX or self._reason is not None:
            pause_s = self._unreachable_pause_s * self._rng.uniform(0.8, 1.0)
            self._open_breaker(self._reason or BreakerReason.UNREACHABLE, pause_s, None)

    def _open_breaker(self, reason: BreakerReason, pause_s: float, answer: RequestResult | None) -> None:
        """Pause ordinary requests; log a new reason. `answer`: None if none came."""
        self._reason_seen_at_s = self._clock.monotonic_s()
        if self._reason is not reason:
            self._reason = reason
            if answer is not None:
                log.error("credentials_refused", status=answer.status, code=answer.code, wait_s=pause_s)
            else:
                log.error("twilio_unreachable", count=self._failures, wait_s=round(pause_s, 3))
        elif self.pause_s > 0:
            return  # endings keep failing during the pause, and must not extend it
        self._paused_until_s = self._clock.monotonic_s() + pause_s
