"""Request limiter: how many requests a worker may have in flight.

All workers share one budget: it is divided by the number of live workers. A 429 takes 30 % of a worker's part; each
round of successes adds one (AIMD; RFC 5681, section 3.1; RFC 9438, section 4.6). The circuit breaker opens while Twilio
is unreachable or refuses the credentials: ordinary requests pause, then one probes. Endings (hang-ups) go first, have
reserved slots, and keep retrying.
"""

import asyncio
import math
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
#: Interval at which waiters past their deadline leave during a pause, seconds.
EXPIRY_POLL_S = 0.25
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
    """Counts of concurrent requests to Twilio."""

    #: For all requests except endings (hang-ups).
    ordinary: int
    #: Reserved for endings, which may also use the ordinary ones.
    endings: int


@dataclass(frozen=True, slots=True)
class _Waiter:
    #: True with a slot, False if the deadline passed first.
    granted: asyncio.Future[bool]
    deadline_s: float


class RequestLimiter:
    """A semaphore with two priorities, whose size follows Twilio's answers."""

    def __init__(
        self,
        budget: RequestSlots,
        *,
        worker_count: Callable[[], int],
        clock: Clock,
        metrics: Metrics,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._budget = budget
        self._worker_count = worker_count
        self._clock = clock
        self._rng = rng
        self._sleep = sleep
        #: In use, and waiting for a slot.
        self._endings = self._ordinaries = 0
        self._waiting_endings: deque[_Waiter] = deque()
        self._waiting_ordinaries: deque[_Waiter] = deque()
        #: Ordinary slots that recent 429s allow, count.
        self._window = math.inf
        #: When the window last shrank, monotonic seconds; answers to earlier requests say nothing new.
        self._reduced_at_s = float("-inf")
        self._reason: BreakerReason | None = None
        self._paused_until_s = float("-inf")
        self._reason_seen_at_s = float("-inf")
        self._failures = 0
        self._unreachable_pause_s = UNREACHABLE_PAUSE_S
        self._pause_task: asyncio.Task[None] | None = None
        metrics.rest_concurrency_limit.set_function(lambda: self.ordinary_slots)
        for reason in BreakerReason:
            metrics.rest_breaker_open.labels(reason.value).set_function(partial(self._is_breaker_open, reason))

    @property
    def in_use(self) -> int:
        """Slots in use, count."""
        return self._endings + self._ordinaries

    @property
    def slots(self) -> int:
        """All slots of this worker, count."""
        return sum(self._share)

    @property
    def ordinary_slots(self) -> int:
        """Slots available to ordinary requests now, count."""
        if self.pause_s > 0:
            return 0
        if self._reason is not None:  # the pause is over: let a single request probe Twilio
            return min(self._share.ordinary, 1 if self.breaker_reason else WINDOW_MIN)
        return int(min(self._share.ordinary, self._window))

    @property
    def _share(self) -> RequestSlots:
        """This worker's part of the budget: at least one slot of each kind."""
        workers = self._worker_count()
        endings = max(min(1, self._budget.endings), self._budget.endings // workers)
        return RequestSlots(max(1, sum(self._budget) // workers - endings), endings)

    @asynccontextmanager
    async def slot(self, *, ending: bool, deadline_s: float = math.inf) -> AsyncIterator[bool]:
        """Hold a slot; yield whether it had to wait. FIFO within a priority.

        During a pause, a waiter past `deadline_s` (monotonic) gets through without a slot.
        """
        granted = asyncio.get_running_loop().create_future()
        (self._waiting_endings if ending else self._waiting_ordinaries).append(_Waiter(granted, deadline_s))
        self._grant()
        has_waited = not granted.done()
        try:
            has_slot = await granted
        except asyncio.CancelledError:
            # The slot may have been granted in the same loop iteration.
            if not granted.cancelled() and granted.result():
                self._release(ending)
            raise
        try:
            yield has_waited
        finally:
            if has_slot:
                self._release(ending)

    def close(self) -> None:
        """Stop waiting for a pause to end."""
        if self._pause_task is not None:
            self._pause_task.cancel()
            self._pause_task = None

    def _release(self, ending: bool) -> None:
        if ending:
            self._endings -= 1
        else:
            self._ordinaries -= 1
        self._grant()

    def _grant(self) -> None:
        """Grant free slots to waiters, endings first."""
        while self.in_use < self.slots and (granted := _pop_waiter(self._waiting_endings)):
            self._endings += 1
            granted.set_result(True)
        while (
            self.in_use < self.slots
            and self._ordinaries < self.ordinary_slots
            and (granted := _pop_waiter(self._waiting_ordinaries))
        ):
            self._ordinaries += 1
            granted.set_result(True)
        # With no slot in use, no release would wake the waiters.
        if self._waiting_ordinaries and self._pause_task is None and self.pause_s > 0:
            self._pause_task = asyncio.get_running_loop().create_task(self._wait_out_pause(), name="pause-of-requests")

    async def _wait_out_pause(self) -> None:
        """Let overdue waiters through until the pause ends; then grant."""
        while self._waiting_ordinaries and (pause_s := self.pause_s) > 0:
            await self._sleep(min(pause_s, EXPIRY_POLL_S))
            now_s = self._clock.monotonic_s()
            for waiter in [waiting for waiting in self._waiting_ordinaries if waiting.deadline_s <= now_s]:
                self._waiting_ordinaries.remove(waiter)
                if not waiter.granted.done():
                    waiter.granted.set_result(False)
        self._pause_task = None
        self._grant()

    # ---- Twilio's answers

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
        elif answer.status != 429 and self._window < self._share.ordinary:
            self._window += 1 / self._window  # adds one per round of answers
        if answer.status == 429:
            self._reduce_window(answer)

    def _is_breaker_open(self, reason: BreakerReason) -> bool:
        return self.breaker_reason is reason

    def _reduce_window(self, answer: RequestResult) -> None:
        """Reduce the window after a 429, once for all requests in flight then."""
        # Only the effect that got a Retry-After waits it out: otherwise, each 429 would delay everything.
        if answer.sent_at_s >= self._reduced_at_s:
            self._reduced_at_s = self._clock.monotonic_s()
            self._window = max(float(WINDOW_MIN), min(self._window, self._share.ordinary) * KEPT_AFTER_429)
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


def _pop_waiter(waiting: deque[_Waiter]) -> asyncio.Future[bool] | None:
    while waiting:
        granted = waiting.popleft().granted
        if not granted.done():
            return granted
    return None
