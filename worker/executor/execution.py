"""Executes one job: attempts, backoff, and verification before a retry."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar

import structlog

from conferral.runtime.errors import (
    LeaseLostError,
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    RequestTimeoutError,
    ResultUnknownError,
    UnfinishedRecordingError,
)
from conferral.statemachine.effects import (
    CallEffect,
    ChangeRecording,
    Dial,
    Effect,
    FindCall,
    FindRecording,
    RedirectCall,
    StartRecording,
    UpdateParticipant,
)
from conferral.statemachine.events import CallsRead, EffectFailed, EffectSucceeded
from conferral.statemachine.reasons import Reason
from conferral.statemachine.states import RecordingStatus
from conferral.storage.partition.partition_store import MarkResult
from conferral.telephony.parameters import PlacedCall, RecordingFound
from conferral.telephony.request_context import send_guard
from conferral.telephony.twilio_api import HangUpResult, TwilioApi
from conferral.worker.core import WorkerCore, no_checkpoint
from conferral.worker.dial_limits import report_dial_limit
from conferral.worker.executor import job
from conferral.worker.executor.job import (
    AT_MOST_ONCE,
    HANG_UP_RETRY,
    RETRIES,
    Job,
    JobResult,
    RetryPolicy,
    failed,
    log_fields,
    succeeded,
    unknown,
)
from conferral.worker.executor.outbox import OutboxWriter
from conferral.worker.executor.request_limiter import RequestLimiter
from conferral.worker.executor.verification import VERIFIABLE, Verdict, Verification, verify
from conferral.worker.held_partitions import HeldPartitions
from conferral.worker.times import to_twilio_time

log = structlog.get_logger()

#: A wait for Redis of at least this long is named as the reason in a result, seconds.
LONG_LEASE_WAIT_S = 1.0
#: Concurrent effects of all workers together, count. A read sends up to two requests: `http_client.CONNECTIONS_MAX`.
CONCURRENT_EFFECTS_MAX = 48
#: Between verifications of an effect whose result is unknown, seconds.
VERIFY_INTERVAL_S = 0.5
#: Kinds of failed attempts in a result, count: an answer may carry any code.
FAILED_ATTEMPT_KINDS_MAX = 6


_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class ExecutionContext:
    """What all executions of a worker share."""

    core: WorkerCore
    twilio: TwilioApi
    #: A `LeaseLostError` from it drops the job.
    outbox: OutboxWriter
    #: Asked before every request, and again once it has a connection.
    held: HeldPartitions[Any]
    #: Twilio's time, Unix milliseconds; raises a `ProviderError` if that is not known yet.
    fetch_twilio_now_ms: Callable[[], Awaitable[int]]
    rng: random.Random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    #: Lets tests end the process at `before_request` and `after_request`.
    checkpoint: Callable[[str, Effect], Awaitable[None]] = no_checkpoint
    requests_max: int = CONCURRENT_EFFECTS_MAX
    retries: Mapping[type[Effect], RetryPolicy] = field(default_factory=lambda: RETRIES)
    limiter: RequestLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.limiter = RequestLimiter(
            self.requests_max,
            partitions=self.core.keys.partitions,
            owned_count=lambda: self.held.owned_count,
            clock=self.core.clock,
            metrics=self.core.metrics,
            rng=self.rng,
        )

    async def in_twilio_time(self, at_ms: int) -> int:
        """Return Twilio's time of a moment in this worker's, Unix milliseconds."""
        twilio_now_ms = await self.fetch_twilio_now_ms()
        return to_twilio_time(at_ms, self.core.store_clock.now_ms(), twilio_now_ms)


class ExecutionState(Enum):
    """Progress of an execution: whether its job can still be dropped."""

    #: Another change of its session comes first.
    QUEUED = "queued"
    #: No request in flight.
    UNSENT = "unsent"
    SENDING = "sending"
    #: A request may have taken effect; it is being verified.
    VERIFYING = "verifying"
    FINISHED = "finished"


class Execution:
    """Executes one job."""

    def __init__(self, job: Job, context: ExecutionContext, *, is_cancelled: bool = False) -> None:
        self.job = job
        self.state = ExecutionState.QUEUED
        self.attempts = 0
        #: The session ended, or no one waits for the dial: no further request is sent.
        self.is_cancelled = is_cancelled
        #: Unexpected error that ends the execution; empty without one.
        self.internal_error = ""
        self.context = context
        #: Whether it must not be repeated once it may have been sent.
        self._is_at_most_once = isinstance(job.effect, AT_MOST_ONCE)
        self._policy = HANG_UP_RETRY if job.effect.is_ending else context.retries[type(job.effect)]
        #: Monotonic seconds; set once it runs.
        self._deadline_s = math.inf
        #: How long it has waited for Redis to allow a request, seconds.
        self._lease_wait_s = 0.0
        self._consecutive_failures = 0
        self._last_error: ProviderError | None = None
        #: Failed attempts by error, counts; the latest error is last.
        self._failed_attempts: dict[str, int] = {}
        #: Whether a request may have taken effect.
        self._may_have_happened = False
        #: Whether Twilio left a request without an answer, and may still act on it.
        self._may_happen_late = False
        #: Whether a request was sent that Twilio did not refuse.
        self._has_been_sent = False
        #: The latest time at which the unverified request could have left, monotonic seconds.
        self._unknown_since_s: float
        #: Twilio's time of the first request, if the outbox has it, or may have it by now; Unix milliseconds.
        self._sent_at_ms = job.sent_at_ms

    @property
    def has_begun(self) -> bool:
        """Whether it has had its turn."""
        return self.state is not ExecutionState.QUEUED

    @property
    def is_unsent(self) -> bool:
        """Whether it has sent nothing that is unanswered."""
        return self.state is ExecutionState.UNSENT or not self.has_begun

    @property
    def is_between_requests(self) -> bool:
        """Whether no request is in flight, and none has succeeded."""
        return self.is_unsent or self.state is ExecutionState.VERIFYING

    @property
    def can_be_handed_over(self) -> bool:
        """Whether the next owner can continue; a mark makes the result unknown."""
        return self.is_between_requests and not self.must_not_be_sent

    async def run(self) -> JobResult:
        """Return the result, with failed attempts, and whether it may unhold late.

        Raise LeaseLostError, or JobObsoleteError if the outbox refuses the mark as sent.
        """
        job, context = self.job, self.context
        self._deadline_s = context.core.clock.monotonic_s() + self._policy.deadline_s
        self.state = ExecutionState.UNSENT
        if self._policy.delay_s:
            await context.sleep(self._policy.delay_s)
        if job.maybe_sent_until_s is not None and not self._is_at_most_once:
            self._mark_unknown(job.maybe_sent_until_s)
        result = await self._attempt_until_result()
        if _unholds(job.effect) and self._may_have_happened and not isinstance(result, CallsRead):
            result = replace(result, may_unhold_later=True)
        # If a single request failed, the result itself says so.
        if self.attempts < 2 and (not self._failed_attempts or isinstance(result, EffectFailed)):
            return result
        failed_attempts = tuple(f"{word} x{count}" for word, count in self._failed_attempts.items())
        return replace(result, attempts=self.attempts, failed_attempts=failed_attempts)

    async def _attempt_until_result(self) -> JobResult:
        """Send, verify, and retry; never repeat what can't be verified."""
        if self.must_not_be_sent:
            self.state = ExecutionState.FINISHED
            return unknown(self.job.effect)
        while True:
            is_verifying = self.state is ExecutionState.VERIFYING
            try:
                result = await (self._verify() if is_verifying else self._send())
            except ProviderError as error:
                result = await self._result_after_error(error, is_verifying=is_verifying)
            if result is not None:
                self.state = ExecutionState.FINISHED
                return result

    async def _send(self) -> JobResult:
        """Send one request, or return why not; raise `ProviderError` on failure."""
        effect, context = self.job.effect, self.context
        # Before taking a slot, so that waiting for Redis does not block other jobs.
        await self._require_lease()
        if self.is_cancelled:  # until it is known to have failed, someone may be on hold: it waits for no slot
            return self._give_up()
        requested_at_s = context.core.clock.monotonic_s()
        deadline_s = math.inf if self.job.keeps_its_place else self._deadline_s
        async with context.limiter.slot(self.job.priority, deadline_s=deadline_s) as has_slot:
            if self.job.keeps_its_place:
                self._deadline_s += context.core.clock.monotonic_s() - requested_at_s
            if not has_slot or self._remaining_s() <= 0:
                return self._give_up()
            await self._require_lease()
            result = await self._check_before_send(effect)
            if result is not None or self._remaining_s() <= 0:  # Redis may have used up the time
                return result or self._give_up()
            if isinstance(effect, FindCall):
                effect = replace(effect, since_ms=await context.in_twilio_time(effect.since_ms))
            await context.checkpoint("before_request", effect)
            self._count_request()
            self.state, self._has_been_sent = ExecutionState.SENDING, True
            try:
                found = await self._request(context.twilio.execute(effect))
            except ProviderError:
                self.state, self._has_been_sent = ExecutionState.UNSENT, False
                raise
            finally:
                await context.checkpoint("after_request", effect)
        if isinstance(found, PlacedCall):
            return await self._succeeded_with_call(found.call_sid, found.queue_ms)
        return _result_of(self.job.effect, found)

    def _count_request(self) -> None:
        core, published_ms = self.context.core, self.job.command_published_at_ms
        self.attempts += 1
        if self.attempts > 1:
            core.metrics.effect_retries.labels(self.job.effect.kind).inc()
        elif published_ms is not None:
            core.metrics.command_to_rest.observe(max(0, core.store_clock.now_ms() - published_ms) / 1000)

    async def _request(self, request: Awaitable[_T]) -> _T:
        """Wait for Twilio's answer; the request leaves only for our partition."""
        timeout_s = min(self._policy.request_timeout_s, max(self._policy.last_request_s, self._remaining_s()))
        try:
            async with asyncio.timeout(timeout_s):
                with send_guard(lambda: self.context.held.may_send(self.job.partition)):
                    return await request
        except TimeoutError:
            raise RequestTimeoutError from None

    async def _check_before_send(self, effect: Effect) -> JobResult | None:
        """Return a result instead of sending, or None; mark what is sent once."""
        outbox = self.context.outbox
        match effect:
            case Dial():
                status = await outbox.dial_status(effect)
                if status.call_sid:
                    return await self._succeeded_with_call(status.call_sid)
                if not status.is_wanted:
                    return self._give_up()
            case CallEffect(is_ending=True):
                if await outbox.has_later_session(effect):
                    log.warning("call_left_alone", **log_fields(effect), party=effect.party, call_sid=effect.call_sid)
                    return succeeded(effect, was_over=True)  # for this session, it is
            case ChangeRecording(status=RecordingStatus.STOPPED):
                pass  # final: a session may forget a recording that it stops
            case RedirectCall() | FindRecording():
                # A leg that has left the conference on purpose would be pulled back; a callback may report a recording.
                if not await outbox.session_awaits(effect):
                    # A failure would undo a later conversion.
                    return succeeded(effect) if isinstance(effect, FindRecording) else unknown(effect)
            case UpdateParticipant(unholds=False) | ChangeRecording() if not self._may_have_happened:
                pass  # an update that is replaced before it is sent does no harm
            case UpdateParticipant() | StartRecording() | ChangeRecording():
                # An unhold that no one waits for may take effect after a later hold, and let a consult be overheard.
                if not await outbox.session_awaits(effect):
                    return self._give_up()
        is_marked = isinstance(effect, Dial) or self._is_at_most_once
        return await self._mark(effect) if is_marked else None

    async def _mark(self, effect: Effect) -> JobResult | None:
        """Mark the effect as sent; return a result if it must not be sent."""
        if self._sent_at_ms is None:
            self._sent_at_ms = await self.context.fetch_twilio_now_ms()
            result = await self.context.outbox.mark_sent(effect, self._sent_at_ms)
            if result is MarkResult.ALREADY_MARKED:
                return unknown(effect)
            if result is MarkResult.OFFER_ENDED:
                return replace(failed(effect, None), reason=Reason.EXPIRED)
            if limit := result.limit:
                report_dial_limit(self.context.core.metrics, limit, **log_fields(effect), party=effect.party)
                return replace(failed(effect, None), reason=Reason.DIAL_LIMIT)
        # Redis may have been slow, and the lease may be another worker's.
        await self._require_lease()
        return None

    async def _require_lease(self) -> None:
        asked_at_s = self.context.core.clock.monotonic_s()
        if not await self.context.held.wait_to_send(self.job.partition):
            raise LeaseLostError
        self._lease_wait_s += self.context.core.clock.monotonic_s() - asked_at_s

    @property
    def must_not_be_sent(self) -> bool:
        """Whether it may have been sent, and can't be verified."""
        if self.job.mark_may_be_lost:
            return self._is_at_most_once or _unholds(self.job.effect)
        return self._is_at_most_once and self._sent_at_ms is not None

    def _mark_unknown(self, since_s: float) -> None:
        """Record that a request, sent by `since_s`, may have taken effect."""
        self._may_have_happened = True
        if isinstance(self.job.effect, VERIFIABLE):
            self.state = ExecutionState.VERIFYING
            self._unknown_since_s = since_s

    async def _verify(self) -> JobResult | None:
        """Return an earlier request's result; None to verify or send again."""
        effect, context = self.job.effect, self.context
        await self._require_lease()  # before taking a slot, as in `_send`
        async with context.limiter.slot(self.job.priority, deadline_s=self._deadline_s) as has_slot:
            if not has_slot or self._remaining_s() <= 0:
                return self._give_up()
            await self._require_lease()
            # Before the request: its answer may be as old as its start.
            elapsed_s = context.core.clock.monotonic_s() - self._unknown_since_s
            found = await self._request(_verify(self.job, context, sent_at_ms=self._sent_at_ms, elapsed_s=elapsed_s))
        match found.verdict:
            case Verdict.HAPPENED if found.recording_sid:
                return succeeded(self.job.effect, recording_sid=found.recording_sid)
            case Verdict.HAPPENED:
                return await self._succeeded_with_call(found.call_sid)
            case Verdict.GONE:
                return failed(self.job.effect, ProviderGoneError())
            case Verdict.NOT_HAPPENED if call_sid := await _find_call(effect, found.possible_calls, context.outbox):
                return await self._succeeded_with_call(call_sid)
            case Verdict.NOT_HAPPENED if self._may_happen_late and isinstance(effect, RedirectCall):
                # Once a second one has worked, the first would take the leg out of the conference.
                return unknown(effect)
            case Verdict.NOT_HAPPENED:
                # No list need show a leg that is alone in a conference.
                self._may_have_happened = isinstance(effect, RedirectCall)
                self.state = ExecutionState.UNSENT
                return None
            case Verdict.WAIT:
                if self._remaining_s() <= VERIFY_INTERVAL_S:
                    return self._give_up()
                await context.sleep(VERIFY_INTERVAL_S)
                return None

    async def _result_after_error(self, error: ProviderError, *, is_verifying: bool) -> JobResult | None:
        """Return the final result; None, after the backoff, to go on."""
        context = self.context
        self._consecutive_failures += 1
        backoff_s = job.backoff_s(self._consecutive_failures, error, self._policy, context.rng)
        if not is_verifying:
            self._last_error = error
            self._may_happen_late |= isinstance(error, RequestTimeoutError)
            if backoff_s is not None:
                _count_failed_attempt(self._failed_attempts, error)
            if isinstance(error, ResultUnknownError):
                if self._is_at_most_once:
                    return unknown(self.job.effect)
                self._mark_unknown(context.core.clock.monotonic_s())
            if self.state is ExecutionState.VERIFYING:
                backoff_s = 0.0  # verify immediately
                self._consecutive_failures = 0
        if backoff_s is None:
            is_unknown = is_verifying or (self._may_have_happened and _may_be_done(self.job.effect, error))
            return unknown(self.job.effect) if is_unknown else failed(self.job.effect, error)
        if backoff_s >= self._remaining_s() or (self.is_cancelled and self.state is ExecutionState.UNSENT):
            return self._give_up()
        _log_retry(self, error, backoff_s)
        if backoff_s:
            await context.sleep(backoff_s)
        return None

    def _remaining_s(self) -> float:
        return self._deadline_s - self.context.core.clock.monotonic_s()

    def fail_internally(self, reason: str) -> JobResult:
        """Return the result after an unexpected error: unknown or failed."""
        self.state, self.internal_error = ExecutionState.FINISHED, reason
        effect = self.job.effect
        is_unknown = self._has_been_sent or self._may_have_happened or self.must_not_be_sent
        result = unknown(effect) if is_unknown else replace(failed(effect, self._last_error), reason=reason)
        return replace(result, attempts=self.attempts, failed_attempts=(reason,))

    def _give_up(self) -> JobResult:
        """Return the result without another request: unknown, or failed."""
        if self._may_have_happened:
            return unknown(self.job.effect)
        awaited_redis = self._last_error is None and self._lease_wait_s >= LONG_LEASE_WAIT_S
        return replace(failed(self.job.effect, self._last_error), awaited_redis=awaited_redis)

    async def _succeeded_with_call(self, call_sid: str, queue_ms: int = 0) -> EffectSucceeded:
        """Return a success; index the call first, for its callbacks."""
        effect = self.job.effect
        if call_sid:
            is_ours = await self.context.outbox.claim_call(effect.session_id, call_sid)
            if isinstance(effect, FindCall) and not is_ours:
                call_sid = ""  # another session dialed the same address
        return succeeded(effect, call_sid, queue_ms)


async def _verify(job: Job, context: ExecutionContext, *, sent_at_ms: int | None, elapsed_s: float) -> Verification:
    """Ask Twilio whether a request took effect: ours, or a lost one."""
    if sent_at_ms is None and isinstance(job.effect, Dial):
        sent_at_ms = await context.in_twilio_time(job.committed_at_ms)
    return await verify(job.effect, context.twilio, elapsed_s=elapsed_s, search_from_ms=sent_at_ms or 0)


def _unholds(effect: Effect) -> bool:
    """Whether it takes a party off hold; late, a consult would be overheard."""
    return isinstance(effect, UpdateParticipant) and effect.unholds


def _log_retry(execution: Execution, error: ProviderError, wait_s: float) -> None:
    """Log that an effect is repeated, unless nothing is wrong."""
    effect = execution.job.effect
    if isinstance(error, UnfinishedRecordingError):
        return
    log.warning(
        "effect_retried",
        **log_fields(effect),
        party=effect.party,
        attempt=execution.attempts,
        wait_s=round(wait_s, 3),
        error_type=type(error).__name__,
        status=error.http_status,
        code=error.code,
    )


def _result_of(effect: Effect, result: object) -> JobResult:
    """Return the result for what a request returned or a verification found."""
    match result:
        case RecordingFound():
            return succeeded(effect, **asdict(result))
        case HangUpResult():
            return succeeded(effect, was_over=result.was_over)
        case CallsRead():
            return result
        case _:
            return succeeded(effect, is_confirmed=bool(result))


def _may_be_done(effect: Effect, error: ProviderError) -> bool:
    """Whether a refusal may follow success: a recording can pause only once.

    A redirect may have moved its leg before Twilio refused to repeat it.
    """
    is_refused = isinstance(error, ProviderRefusedError) and not isinstance(error, ProviderGoneError)
    return is_refused and isinstance(effect, ChangeRecording | RedirectCall)


async def _find_call(effect: Effect, possible_calls: Collection[str], outbox: OutboxWriter) -> str:
    """Return the call that this dial placed, if no other session has it."""
    if not possible_calls or not isinstance(effect, Dial):
        return ""
    status = await outbox.dial_status(effect)
    if status.call_sid:
        return status.call_sid
    for call_sid in possible_calls:
        if call_sid not in status.known_calls and await outbox.claim_call(effect.session_id, call_sid):
            return call_sid
    return ""


def _count_failed_attempt(counts: dict[str, int], error: ProviderError) -> None:
    code = f" code {error.code}" if error.code else ""
    word = f"{error.http_status}{code}" if error.http_status else "unknown"
    # Reinsert, so the latest error is last; drop the oldest beyond the maximum.
    counts[word] = counts.pop(word, 0) + 1
    if len(counts) > FAILED_ATTEMPT_KINDS_MAX:
        del counts[next(iter(counts))]
