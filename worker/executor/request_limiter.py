"""Limits of requests: how many a worker may have in flight.

All workers share one budget, by the partitions that each owns. Only the request that got a 429 waits for it. The
circuit breaker opens while Twilio is unreachable or refuses the credentials: ordinary requests pause, then one probes.
Endings (hang-ups) go first, have a slot of their own, and keep retrying. Changes go before reads, and reads that
someone waits for before the others.
"""

import asyncio
import math
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import IntEnum, StrEnum
from functools import partial

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.metrics import Metrics
from conferral.telephony.http_client import RequestResult

log = structlog.get_logger()

#: Consecutive requests without an answer, or with 5xx, that open the breaker, count.
FAILURES_MAX = 10
#: Pause before the next probe, seconds: while Twilio is unreachable (80% to 100% of it), and while it refuses.
UNREACHABLE_PAUSE_S = 2.0
CREDENTIALS_PAUSE_S = 5.0
#: How long a failure stays visible, seconds: longer than a sweep interval, shorter than the alert's minute.
BREAKER_REASON_TTL_S = 45.0
#: Wrong credentials. Source: Twilio docs, Errors, 20003.
PERMISSION_DENIED_CODE = 20003


class Priority(IntEnum):
    """Which request goes first."""

    #: A hang-up: its call costs money until then.
    ENDING = 0
    CHANGE = 1
    #: A read that someone waits for: a session's own, or the search for a dial.
    READ = 2
    #: One that no one waits for: after a loss of Redis, each live session makes one.
    BACKGROUND_READ = 3


#: How long a request lets later ones of earlier priorities go first, seconds. However many come, none that someone
#: waits for waits forever.
PATIENCE_S = {
    Priority.ENDING: -math.inf,
    Priority.CHANGE: 0.0,
    Priority.READ: 0.5,
    Priority.BACKGROUND_READ: math.inf,
}
#: What of the ordinary slots this priority and later ones may have, at least one: the answers of reads may be slow. So
#: a change finds a slot although every read hangs, and so does a read that someone waits for.
SHARES = {Priority.READ: 0.75, Priority.BACKGROUND_READ: 0.5}


class BreakerReason(StrEnum):
    """Why the circuit breaker is open."""

    #: No answer, or 5xx.
    UNREACHABLE = "unreachable"
    #: 401, or a 403 whose code does not name another cause.
    CREDENTIALS = "credentials"


#: How `/readyz` says it.
PROBLEMS = {
    BreakerReason.CREDENTIALS: f"twilio: credentials refused ({PERMISSION_DENIED_CODE})",
    BreakerReason.UNREACHABLE: "twilio: no answer",
}


def refuses_credentials(answer: RequestResult) -> bool:
    """Whether an answer means wrong credentials, not one refused destination."""
    return answer.status == 401 or (answer.status == 403 and answer.code in (0, PERMISSION_DENIED_CODE))


#: Requests in order of arrival: until when each is patient, monotonic seconds, and its slot.
_Queue = deque[tuple[float, asyncio.Future[None]]]


def _drop_canceled(queue: _Queue) -> _Queue:
    """Drop canceled requests from the head of a queue; return it."""
    while queue and queue[0][1].done():
        queue.popleft()
    return queue


class RequestLimiter:
    """A worker's slots for requests; `observe` must get every answer."""

    def __init__(
        self,
        requests_max: int,
        *,
        partitions: int,
        owned_count: Callable[[], int],
        clock: Clock,
        metrics: Metrics,
        rng: random.Random,
    ) -> None:
        """Create it; `requests_max` is the budget of all workers, in slots.

        This worker gets a part of it: as many of all slots as `owned_count` is of all `partitions`.
        """
        self._requests_max, self._partitions = requests_max, partitions
        self._owned_count = owned_count
        self._clock = clock
        self._rng = rng
        #: Slots in use by priority, counts.
        self._in_use: Counter[Priority] = Counter()
        self._waiting: dict[Priority, _Queue] = {one: deque() for one in Priority}
        #: None while the breaker is closed.
        self._breaker_reason: BreakerReason | None = None
        self._paused_until_s = self._breaker_reason_seen_at_s = float("-inf")
        self._consecutive_failures = 0
        self._end_of_pause: asyncio.TimerHandle | None = None
        self._waits = {one: metrics.rest_slot_wait.labels(one.name.lower().replace("_", "-")) for one in Priority}
        metrics.rest_concurrency_limit.set_function(lambda: self.ordinary_slots)
        for reason in BreakerReason:
            metrics.rest_breaker_open.labels(reason.value).set_function(partial(self._is_open_for, reason))

    @property
    def slots(self) -> int:
        """All slots of this worker, count: one is for endings alone."""
        return max(2, self._requests_max * self._owned_count() // self._partitions)

    @property
    def ordinary_slots(self) -> int:
        """Slots available to ordinary requests now, count."""
        if self.pause_s > 0:
            return 0
        # After a pause, a single request probes Twilio.
        return 1 if self._breaker_reason is not None else self.slots - 1

    @property
    def in_use(self) -> int:
        """Slots in use, count."""
        return self._in_use.total()

    @asynccontextmanager
    async def slot(self, priority: Priority, *, deadline_s: float = math.inf) -> AsyncIterator[bool]:
        """Wait for a slot, and hold it; FIFO within a priority.

        Yield False without one: `deadline_s` (monotonic) has passed.
        """
        granted, asked_at_s = asyncio.get_running_loop().create_future(), self._clock.monotonic_s()
        self._waiting[priority].append((asked_at_s + PATIENCE_S[priority], granted))
        self._grant()
        try:
            if not granted.done():
                timeout_s = None if deadline_s == math.inf else deadline_s - asked_at_s
                with suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await granted
            self._waits[priority].observe(self._clock.monotonic_s() - asked_at_s)
            yield not granted.cancelled()
        finally:
            # It may have been granted in the iteration of the loop that ended the wait.
            if granted.done() and not granted.cancelled():
                self._in_use[priority] -= 1
                self._grant()

    def close(self) -> None:
        """Stop waiting for a pause to end."""
        if self._end_of_pause is not None:
            self._end_of_pause.cancel()

    def _grant(self) -> None:
        """Grant free slots, each to the request whose patience ends first."""
        while found := [one for one in Priority if _drop_canceled(self._waiting[one]) and self._has_slot(one)]:
            priority = min(found, key=lambda one: self._waiting[one][0][0])
            _, granted = self._waiting[priority].popleft()
            granted.set_result(None)
            self._in_use[priority] += 1
        # With no slot in use, no release would wake the waiters.
        if any(self._waiting.values()) and (pause_s := self.pause_s) > 0:
            self.close()
            self._end_of_pause = asyncio.get_running_loop().call_later(pause_s, self._grant)

    def _has_slot(self, priority: Priority) -> bool:
        """Whether a slot is free for a request of this priority."""
        if priority is Priority.ENDING:
            return self.in_use < self.slots
        most = self.ordinary_slots
        if self.in_use >= self.slots or self.in_use - self._in_use[Priority.ENDING] >= most:
            return False
        return all(
            sum(self._in_use[one] for one in Priority if one >= limited) < max(1, int(share * most))
            for limited, share in SHARES.items()
            if priority >= limited
        )

    # ---- Twilio's answers

    @property
    def pause_s(self) -> float:
        """How long ordinary requests stay paused, seconds; 0.0 if they may start."""
        return max(0.0, self._paused_until_s - self._clock.monotonic_s())

    @property
    def breaker_reason(self) -> BreakerReason | None:
        """Why the breaker is open; None if closed, or after a while without use."""
        is_known = self._clock.monotonic_s() < self._breaker_reason_seen_at_s + BREAKER_REASON_TTL_S
        return self._breaker_reason if is_known else None

    @property
    def problem(self) -> str:
        """The breaker's reason as `/readyz` reports it; empty when it is closed."""
        return PROBLEMS[reason] if (reason := self.breaker_reason) else ""

    def observe(self, answer: RequestResult) -> None:
        """Update the limit with an answer; status 0 means that none arrived."""
        is_failure = answer.status == 0 or answer.status >= 500
        self._consecutive_failures = self._consecutive_failures + 1 if is_failure else 0
        if refuses_credentials(answer):
            self._open_breaker(BreakerReason.CREDENTIALS, CREDENTIALS_PAUSE_S, answer)
        elif is_failure:
            if self._consecutive_failures >= FAILURES_MAX or self._breaker_reason is not None:
                pause_s = UNREACHABLE_PAUSE_S * self._rng.uniform(0.8, 1.0)
                self._open_breaker(self._breaker_reason or BreakerReason.UNREACHABLE, pause_s, answer)
        elif self._breaker_reason is not None:
            log.info("rest_limit_restored", reason=self._breaker_reason.value)
            self._breaker_reason, self._paused_until_s = None, float("-inf")

    def _is_open_for(self, reason: BreakerReason) -> bool:
        return self.breaker_reason is reason

    def _open_breaker(self, reason: BreakerReason, new_pause_s: float, answer: RequestResult) -> None:
        """Pause ordinary requests; log a new reason."""
        self._breaker_reason_seen_at_s = self._clock.monotonic_s()
        if self._breaker_reason is reason and self.pause_s > 0:
            return  # endings keep failing during the pause, and must not extend it
        if self._breaker_reason is not reason and reason is BreakerReason.CREDENTIALS:
            log.error("credentials_refused", status=answer.status, code=answer.code, wait_s=new_pause_s)
        elif self._breaker_reason is not reason:
            log.error("twilio_unreachable", count=self._consecutive_failures, wait_s=round(new_pause_s, 3))
        self._breaker_reason = reason
        self._paused_until_s = self._clock.monotonic_s() + new_pause_s
