"""Delivery of outcomes over HTTP: in order, and retried.

One worker at a time sends the stream. The queue in Redis says what is due, so that a successor continues. An outcome
may be sent again, never lost: it leaves the queue after the receiver's answer.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from conferral.outcomes.delivery import ReceiverResponse
from conferral.outcomes.outcome import outcome_message
from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.error_boundary import retry_unreachable
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.log import LogRateLimit, log_unreachable
from conferral.runtime.metrics import Metrics
from conferral.storage.connection.client import Entries, as_store_errors
from conferral.storage.outcome_queue import OutcomeQueue, QueuedOutcome

log = structlog.get_logger()

#: Concurrent requests.
CONCURRENT_REQUESTS_MAX = 16
#: Between two checks of what is due again, seconds. New outcomes don't wait for it.
POLL_S = 0.5
#: After so many failures, an outcome is sent again after so long; in the end hourly for three days. Seconds.
RETRY_DELAYS_S = (5.0, 30.0, 120.0, 600.0, 3600.0, *[3600.0] * 72)
#: A delay is up to this much longer, at random: receivers recover better from requests that are spread.
JITTER = 0.2
RETRY_AFTER_MAX_S = 3600.0
#: How long a stop waits for answers, seconds. An outcome without one is sent again.
STOP_S = 0.5
#: Pause while Redis is unreachable, seconds.
REDIS_PAUSE_S = 0.2
LOG_EVERY_S = 60.0

#: Sends one outcome, given its id and body; `OutcomeDelivery.post`.
Post = Callable[[str, str], Awaitable[ReceiverResponse]]
#: Returns the stream's entries after an id; waits a while for one.
ReadStream = Callable[[str], Awaitable[Entries]]


class OutcomeSender:
    """Sends outcomes while this worker owns the task."""

    def __init__(
        self,
        queue: OutcomeQueue,
        read_stream: ReadStream,
        post: Post,
        *,
        clock: Clock,
        store_clock: StoreClock,
        metrics: Metrics,
        rng: random.Random,
        owns_outcomes: Callable[[], bool],
    ) -> None:
        self._queue = queue
        self._read_stream = read_stream
        self._post = post
        self._clock = clock
        #: Returns the time that all workers share.
        self._now_ms = store_clock.now_ms
        self._metrics = metrics
        self._rng = rng
        self._owns_outcomes = owns_outcomes
        self._log_limit = LogRateLimit(clock.monotonic_s)
        #: The requests under way, by session.
        self._sending: dict[str, asyncio.Task[None]] = {}
        #: Waits for new outcomes.
        self._reading: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Send outcomes until the process stops."""
        has_begun = False
        stopping = asyncio.ensure_future(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    if not has_begun:
                        await self._queue.begin()  # even if another worker sends: from now on, all are sent
                        await self._queue.resume()  # the restart that a 410 waits for
                        has_begun = True
                    if self._owns_outcomes():
                        await self._send_due()
                    else:
                        self._set_gauges()
                except StoreError as error:
                    log_unreachable(error, task="outcomes")
                await wait_at_most(self._wake, POLL_S)
            if self._sending:
                await asyncio.wait(self._sending.values(), timeout=STOP_S)
        finally:
            left = [stopping, *filter(None, [self._reading]), *self._sending.values()]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _send_due(self) -> None:
        """Send what is due, and see to it that new outcomes are queued."""
        state = await self._queue.read_state()
        self._set_gauges(state.waiting, state.undelivered, is_stopped=bool(state.stopped_at_ms))
        if state.stopped_at_ms:
            return
        if not state.position:
            await self._queue.begin()  # Redis was emptied
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._queue_new(state.position))
        if state.waiting and (free := CONCURRENT_REQUESTS_MAX - len(self._sending)):
            for head in await self._queue.due(self._now_ms(), free, besides={*self._sending}):
                self._sending[head.session] = asyncio.create_task(self._send(head))

    async def _queue_new(self, after: str) -> None:
        """Wait for entries of the stream, and queue them."""
        with contain(ItemKind.TASK, self._metrics, task="outcomes"):
            try:
                with as_store_errors():
                    entries = await self._read_stream(after)
                if entries:
                    await self._queue.take(entries, after, self._now_ms())
            except StoreError as error:
                log_unreachable(error, task="outcomes")
            else:
                self._wake.set()

    def _set_gauges(self, waiting: int = 0, undelivered: int = 0, *, is_stopped: bool = False) -> None:
        self._metrics.outcomes_waiting.set(waiting)
        self._metrics.outcomes_undelivered.set(undelivered)
        self._metrics.outcomes_stopped.set(is_stopped)

    # ---- one outcome

    async def _send(self, head: QueuedOutcome) -> None:
        """Send the first outcome of a session's queue, and store the result."""
        try:
            answer = ReceiverResponse("malformed", reason="it can't be sent; the log has the error")
            with contain(ItemKind.TASK, self._metrics, task="outcomes", entry_id=head.entry_id):
                if head.fields:
                    started_s = self._clock.monotonic_s()
                    answer = await self._post(*outcome_message(head.entry_id, head.fields))
                    duration_s = self._clock.monotonic_s() - started_s
                    self._metrics.outcome_requests.labels(answer.result).observe(duration_s)
            with contain(ItemKind.TASK, self._metrics, task="outcomes", entry_id=head.entry_id):
                await retry_unreachable(
                    self._result_write(head, answer),
                    REDIS_PAUSE_S,
                    errors=StoreError,
                    on_error=lambda error: log_unreachable(error, task="outcomes"),
                )
        finally:
            del self._sending[head.session]
            self._wake.set()

    def _result_write(self, head: QueuedOutcome, answer: ReceiverResponse) -> Callable[[], Awaitable[None]]:
        """Log an answer; return the writes to Redis for it, which may be repeated."""
        queue, failures = self._queue, head.failures + 1
        if not head.fields:
            if count := self._log_limit.count("trimmed", LOG_EVERY_S):
                log.error("outcomes_trimmed", entry_id=head.entry_id, count=count)
            return lambda: queue.settle(head, self._now_ms())
        if answer.result == "delivered":
            return lambda: self._store_success(head)
        if answer.result == "gone":
            log.error("outcomes_stopped", status=answer.status, entry_id=head.entry_id)
            return lambda: queue.stop(self._now_ms())
        if count := self._log_limit.count(answer.reason, LOG_EVERY_S):
            log.warning("outcome_refused", reason=answer.reason, status=answer.status, attempt=failures, count=count)
        if failures > len(RETRY_DELAYS_S):
            log.error("outcome_abandoned", entry_id=head.entry_id, reason=answer.reason, attempt=failures)
            return lambda: self._store_failure(answer, queue.give_up(head, self._now_ms()))
        delay_s = RETRY_DELAYS_S[failures - 1] * self._rng.uniform(1, 1 + JITTER)
        delay_s = max(delay_s, min(answer.retry_after_s, RETRY_AFTER_MAX_S))
        return lambda: self._store_failure(answer, queue.delay(head, failures, self._now_ms() + round(1000 * delay_s)))

    async def _store_success(self, head: QueuedOutcome) -> None:
        await self._queue.settle(head, self._now_ms())
        await self._queue.note_success()

    async def _store_failure(self, answer: ReceiverResponse, write: Awaitable[None]) -> None:
        await write
        await self._queue.note_failure(self._now_ms(), answer.reason)
