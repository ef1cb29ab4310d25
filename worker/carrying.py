"""One order from its turn to its outcome: tries, waits, and the look before a repetition."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.errors import (
    LeaseLostError,
    OutcomeUnknownError,
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
)
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import ChangeRecording, Dial, Effect, FindCall, ReadCalls
from conferral.statemachine.events import CallsRead, EffectFailed, EffectSucceeded, EffectUnknown
from conferral.telephony.client import sent_only_while
from conferral.telephony.dialling import Dialled
from conferral.telephony.look import Verdict
from conferral.telephony.recordings import Recorded
from conferral.worker import retry
from conferral.worker.lanes import Lanes
from conferral.worker.looking import CAN_BE_LOOKED_UP, NEVER_REPEATED, look
from conferral.worker.orders import Order, Outcome, Provider, Records
from conferral.worker.retry import ExecutorPolicy

log = structlog.get_logger()

#: Kinds of setbacks that an outcome tells (count): whatever answers there may make codes up.
SETBACKS_MAX = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What carrying needs from the outside; the same for all orders of a worker."""

    provider: Provider
    records: Records
    may_send: Callable[[int], Awaitable[bool]]
    is_ours: Callable[[int], bool]
    lanes: Lanes
    clock: Clock
    now_ms: Callable[[int], int]
    metrics: Metrics
    policy: ExecutorPolicy
    rng: random.Random
    sleep: Callable[[float], Awaitable[None]]
    checkpoint: Callable[[str, Effect], Awaitable[None]]


class Stage(Enum):
    """How far an order is; decides whether it can still be left undone."""

    #: Not at Twilio: waiting for its turn, or for the end of a wait after a definite no.
    UNSENT = "unsent"
    #: Its request is under way.
    SENDING = "sending"
    #: It may have happened and is being looked up.
    DOUBTED = "doubted"
    #: Its outcome is known.
    SETTLED = "settled"


class Carrying:
    """Carries one order out."""

    def __init__(self, order: Order, tools: Tools) -> None:
        self.order = order
        self.stage = Stage.UNSENT
        #: Requests sent so far (count).
        self.attempts = 0
        #: Set when the session ends meanwhile: it is never sent (again).
        self.withdrawn = False
        #: The error of our own that ended it, empty for none.
        self.fault = ""
        self._tools = tools
        self._policy = tools.policy.of(order.effect)
        self._deadline_s = tools.clock.monotonic_s() + self._policy.deadline_s
        self._troubles = 0
        self._last_error: ProviderError | None = None
        #: What requests came to that were not the last word, and how often; the last one stands last.
        self._setbacks: dict[str, int] = {}
        #: Whether any request so far may have been carried out.
        self._maybe_done = False
        #: Whether a request has left whose answer is not known yet.
        self._has_left = False
        #: Since when it is in doubt: the last moment at which it could have been sent, monotonic seconds.
        self._doubted_since_s = 0.0
        #: Whether the outbox says that it may have been sent.
        self._is_marked = order.sent_at_ms is not None
        if order.maybe_sent and not self._is_never_repeated:
            past_ms = tools.now_ms(order.partition) - order.sent_until_ms if order.sent_until_ms is not None else 0
            self._doubt(tools.clock.monotonic_s() - max(0, past_ms) / 1000)

    async def outcome(self) -> Outcome:
        """Tries until there is an outcome.

        Raises:
            LeaseLostError: another worker owns the partition by now and finds the order in the outbox.
            NobodyWaitsError: the session has ended before it was sent.
        """
        if self.order.fault:
            return self.failed_by(self.order.fault)
        outcome = await self._settled()
        # A single request that failed is told by the outcome itself.
        if self.attempts < 2 and (not self._setbacks or isinstance(outcome, EffectFailed)):
            return outcome
        setbacks = tuple(f"{word} x{count}" for word, count in self._setbacks.items())
        return replace(outcome, attempts=self.attempts, setbacks=setbacks)

    async def _settled(self) -> Outcome:
        if self._is_never_repeated and (self._is_marked or self.order.mark_may_be_lost):
            self.stage = Stage.SETTLED
            return self._unknown()
        while True:
            looking = self.stage is Stage.DOUBTED
            try:
                settled = await (self._look() if looking else self._send())
            except ProviderError as error:
                settled = await self._after(error, looking=looking)
            if self.order.on_tried is not None:
                self.order.on_tried()
            if settled is not None:
                self.stage = Stage.SETTLED
                return settled

    # ---- sending --------------------------------------------------------------------------------------------------

    async def _send(self) -> Outcome | None:
        effect, tools = self.order.effect, self._tools
        if not tools.is_ours(self.order.partition):
            # Outside of any slot: whoever waits for Redis takes none from those who need not.
            await self._insist_on_lease()
        is_read = isinstance(effect, ReadCalls)
        # A read keeps its place until it is sent: given up, it would only come back, behind all others.
        until_s = math.inf if is_read else self._deadline_s
        asked_at_s = tools.clock.monotonic_s()
        async with tools.lanes.slot(ending=effect.is_ending, look=is_read, until_s=until_s) as has_waited:
            if is_read:
                self._deadline_s += tools.clock.monotonic_s() - asked_at_s
            if self.withdrawn or self._left_s() <= 0:
                return self._out_of_time()
            await self._insist_on_lease()
            settled = await self._before_sending(effect, has_waited=has_waited)
            if settled is None and self._left_s() <= 0:
                settled = self._out_of_time()  # Redis may have been waited for
            if settled is not None:
                return settled
            await tools.checkpoint("before_request", effect)
            self._count_request()
            self.stage = Stage.SENDING
            error: ProviderError | None = None
            found: CallsRead | Dialled | Recorded | None = None
            try:
                async with asyncio.timeout(self._request_timeout_s()):
                    with sent_only_while(self._may_leave):
                        found = await tools.provider.perform(effect)
            except TimeoutError:
                error = OutcomeUnknownError()
            except ProviderError as raised:
                error = raised
        await tools.checkpoint("after_request", effect)
        if error is not None:
            self.stage, self._has_left = Stage.UNSENT, False
            raise error
        match found:
            case Dialled():
                return await self._learned(found.call_sid, found.queue_ms)
            case Recorded():
                return self._succeeded(recording_sid=found.recording_sid)
            case _:
                return found or self._succeeded()

    async def _before_sending(self, effect: Effect, *, has_waited: bool) -> Outcome | None:
        """What Redis is asked right before: whether a dial is still wanted, and the mark of what is never repeated."""
        if isinstance(effect, Dial):
            settled = await self._before_dialling(effect, has_waited=has_waited)
            if settled is not None:
                return settled
        if self._is_never_repeated and not self._is_marked:
            self._is_marked = await self._tools.records.mark_sent(effect)
            if not self._is_marked:
                return self._unknown()
        if isinstance(effect, Dial) or self._is_never_repeated:
            # Redis may have taken its time, and somebody else the lease.
            await self._insist_on_lease()
        return None

    async def _before_dialling(self, effect: Dial, *, has_waited: bool) -> Outcome | None:
        order = self.order
        has_waited = has_waited or order.has_waited or order.is_withdrawn or order.waited_ms > 0
        if order.maybe_sent or has_waited or self.attempts:
            standing = await self._tools.records.standing_of(effect)
            if standing.call_sid:
                return await self._learned(standing.call_sid)
            if order.is_withdrawn or not standing.is_wanted:
                return self._out_of_time()
        return None

    def _may_leave(self) -> bool:
        """Asked by the HTTP client when a request is about to leave."""
        may_leave = self._tools.is_ours(self.order.partition)
        self._has_left = self._has_left or may_leave
        return may_leave

    async def _insist_on_lease(self) -> None:
        if not await self._tools.may_send(self.order.partition):
            raise LeaseLostError

    def _count_request(self) -> None:
        tools, published_ms = self._tools, self.order.command_published_at_ms
        self.attempts += 1
        if self.attempts > 1:
            tools.metrics.effect_retries.labels(self.order.effect.kind).inc()
        elif published_ms is not None:
            tools.metrics.command_to_rest.observe(max(0, tools.now_ms(self.order.partition) - published_ms) / 1000)

    # ---- looking --------------------------------------------------------------------------------------------------

    @property
    def _is_never_repeated(self) -> bool:
        """Whether it can neither be looked up nor be repeated once it may have been sent."""
        return isinstance(self.order.effect, NEVER_REPEATED)

    def _doubt(self, since_s: float) -> None:
        """What can be looked up is, before it is sent again; everything else may simply be repeated."""
        self._maybe_done = True
        if isinstance(self.order.effect, CAN_BE_LOOKED_UP):
            self.stage = Stage.DOUBTED
            self._doubted_since_s = since_s

    async def _look(self) -> Outcome | None:
        effect, tools = self.order.effect, self._tools
        async with tools.lanes.slot(ending=False, until_s=self._deadline_s):
            if self._left_s() <= 0:
                return self._out_of_time()
            await self._insist_on_lease()
            # Measured before the look: what it sees may be as old as its beginning.
            since_s = tools.clock.monotonic_s() - self._doubted_since_s
            try:
                async with asyncio.timeout(self._request_timeout_s()):
                    since_ms, ordered_at_ms = self.order.sent_since_ms, self.order.ordered_at_ms
                    ordered_at_ms = ordered_at_ms if since_ms is None else min(since_ms, ordered_at_ms)
                    found = await look(effect, tools.provider, since_s, tools.policy.settle_s, ordered_at_ms)
            except TimeoutError:
                raise OutcomeUnknownError from None
        match found.verdict:
            case Verdict.HAPPENED if found.recording_sid:
                return self._succeeded(recording_sid=found.recording_sid)
            case Verdict.HAPPENED:
                return await self._learned(found.call_sid)
            case Verdict.GONE:
                return self._failed(ProviderGoneError())
            case Verdict.NOT_HAPPENED if call_sid := await self._gone_call(effect, found.gone_calls):
                return await self._learned(call_sid)
            case Verdict.NOT_HAPPENED:
                self._maybe_done = False
                self.stage = Stage.UNSENT
                return None
            case Verdict.WAIT:
                if tools.policy.look_interval_s > self._left_s():
                    return self._out_of_time()
                await tools.sleep(tools.policy.look_interval_s)
                return None

    async def _gone_call(self, effect: Effect, gone_calls: tuple[str, ...]) -> str:
        """Which of these calls, that are over, came of this dial: one that is nobody's and that the session misses."""
        if not gone_calls or not isinstance(effect, Dial):
            return ""
        records = self._tools.records
        standing = await records.standing_of(effect)
        if standing.call_sid:
            return standing.call_sid
        for call_sid in gone_calls:
            if call_sid not in standing.known_calls and await records.claim_call(effect.session_id, call_sid):
                return call_sid
        return ""

    # ---- trouble --------------------------------------------------------------------------------------------------

    async def _after(self, error: ProviderError, *, looking: bool) -> Outcome | None:
        """What comes after an error: an outcome, or None when it is time for the next try."""
        tools = self._tools
        self._troubles += 1
        wait_s = retry.wait_s(self._troubles, error, self._policy, tools.rng)
        if not looking:
            self._last_error = error
            if wait_s is not None:
                self._note_setback(error)
            if isinstance(error, OutcomeUnknownError):
                if self._is_never_repeated:
                    return self._unknown()
                self._doubt(tools.clock.monotonic_s())
            if self.stage is Stage.DOUBTED:
                wait_s = 0.0  # the first look comes at once
                self._troubles = 0
        if wait_s is None:
            is_unclear = looking or self._may_be_refused_for_having_happened(error)
            return self._unknown() if is_unclear else self._failed(error)
        if wait_s > self._left_s() or (self.withdrawn and self.stage is Stage.UNSENT):
            return self._out_of_time()
        log.warning(
            "effect_retried",
            effect=self.order.effect.kind,
            effect_id=self.order.effect.effect_id,
            session_id=self.order.effect.session_id,
            party=self.order.effect.party,
            attempt=self.attempts,
            wait_s=round(wait_s, 3),
            error_type=type(error).__name__,
            status=error.http_status,
            code=error.code,
        )
        if wait_s > 0:
            await tools.sleep(wait_s)
        return None

    def _note_setback(self, error: ProviderError) -> None:
        code = f" code {error.code}" if error.code else ""
        word = f"{error.http_status}{code}" if error.http_status else "no-answer"
        # Put anew, so that the last one stands last; of so many kinds the oldest is let go.
        self._setbacks[word] = self._setbacks.pop(word, 0) + 1
        if len(self._setbacks) > SETBACKS_MAX:
            del self._setbacks[next(iter(self._setbacks))]

    def _may_be_refused_for_having_happened(self, error: ProviderError) -> bool:
        """Whether a refusal may mean that an earlier request was carried out: what is paused can't be paused."""
        is_refused = isinstance(error, ProviderRefusedError) and not isinstance(error, ProviderGoneError)
        return is_refused and self._maybe_done and isinstance(self.order.effect, ChangeRecording)

    def _left_s(self) -> float:
        return self._deadline_s - self._tools.clock.monotonic_s()

    def _request_timeout_s(self) -> float:
        whole_s = self._policy.request_timeout_s
        return min(whole_s, max(self._policy.last_request_s, self._left_s()))

    # ---- outcomes -------------------------------------------------------------------------------------------------

    def failed_by(self, fault: str) -> Outcome:
        """The outcome after an error of our own: unknown if a request may have taken effect, else failed."""
        self.stage = Stage.SETTLED
        self.fault = fault
        may_have_happened = self._has_left or self._maybe_done or self._is_marked or self.order.mark_may_be_lost
        outcome = self._unknown() if may_have_happened else replace(self._failed(self._last_error), reason=fault)
        return replace(outcome, attempts=self.attempts, setbacks=(fault,))

    def _out_of_time(self) -> Outcome:
        """It won't be tried again: unknown when a request may have been carried out, else it certainly was not."""
        return self._unknown() if self._maybe_done else self._failed(self._last_error)

    async def _learned(self, call_sid: str, queue_ms: int = 0) -> EffectSucceeded:
        """A success that tells a call: its callbacks have to find the session, so the index learns it first.

        A queue is a queue: what the dial has waited for its turn here counts as what it waits for at Twilio.
        """
        effect = self.order.effect
        if call_sid:
            is_ours = await self._tools.records.claim_call(effect.session_id, call_sid)
            if isinstance(effect, FindCall) and not is_ours:
                call_sid = ""  # somebody else dialled the same address
        return self._succeeded(call_sid, queue_ms + self.order.waited_ms)

    def _succeeded(self, call_sid: str = "", queue_ms: int = 0, recording_sid: str = "") -> EffectSucceeded:
        effect = self.order.effect
        return EffectSucceeded(
            session_id=effect.session_id,
            token=_token(effect),
            effect_id=effect.effect_id,
            kind=effect.kind,
            party=effect.party,
            asked=effect.detail,
            call_sid=call_sid,
            queue_ms=queue_ms,
            recording_sid=recording_sid,
        )

    def _failed(self, error: ProviderError | None) -> EffectFailed:
        effect = self.order.effect
        return EffectFailed(
            session_id=effect.session_id,
            token=_token(effect),
            effect_id=effect.effect_id,
            kind=effect.kind,
            party=effect.party,
            asked=effect.detail,
            http_status=error.http_status if error else 0,
            code=error.code if error else 0,
            gone=isinstance(error, ProviderGoneError),
        )

    def _unknown(self) -> EffectUnknown:
        effect = self.order.effect
        return EffectUnknown(
            session_id=effect.session_id,
            token=_token(effect),
            effect_id=effect.effect_id,
            kind=effect.kind,
            party=effect.party,
            asked=effect.detail,
        )


def _token(effect: Effect) -> str:
    """Names the outcome, so that one that is written twice is decided once."""
    return f"{effect.effect_id}:outcome"
