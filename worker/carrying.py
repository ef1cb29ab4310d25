"""One order from its turn to its outcome: tries, waits, and the look before a repetition."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import structlog

from runtime.clock import Clock
from runtime.errors import LeaseLostError, OutcomeUnknownError, ProviderError, ProviderGoneError
from runtime.metrics import Metrics
from statemachine.effects import Effect, RedirectCall
from statemachine.events import CallsRead, EffectFailed, EffectSucceeded, EffectUnknown
from telephony.look import RedirectSeen, Verdict, verdict
from worker import retry
from worker.lanes import Lanes
from worker.retry import ExecutorPolicy

log = structlog.get_logger()

Outcome = EffectSucceeded | EffectFailed | EffectUnknown | CallsRead

#: The last request before a deadline gets at least this long: cut shorter, its outcome would be unknown for nothing.
LAST_REQUEST_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An effect that was committed and shall be carried out."""

    effect: Effect
    partition: int
    #: When it was committed, Unix milliseconds by the store's clock.
    ordered_at_ms: int
    #: Taken over from another worker, who may have sent it: it is looked up first.
    maybe_sent: bool = False
    #: Of an ending: its session is over, so what the session has not sent yet is dropped.
    ends_session: bool = True
    #: When the command that led to it was published, Unix milliseconds by the store's clock.
    command_published_at_ms: int | None = None
    #: Of an order taken over: the last moment at which the other worker could have sent it, for instance the end of its
    #: lease, Unix milliseconds by the store's clock. None: until just now.
    sent_until_ms: int | None = None


class Provider(Protocol):
    """What is asked of Twilio; `telephony.calls.Calls` in earnest."""

    async def perform(self, effect: Effect) -> CallsRead | None:
        """Carries an effect out, in one try; raises `ProviderError`."""
        ...

    async def look_for(self, effect: RedirectCall) -> RedirectSeen:
        """Looks whether a redirect has happened; raises `ProviderError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What carrying needs from the outside; the same for all orders of a worker."""

    provider: Provider
    may_send: Callable[[int], Awaitable[bool]]
    lanes: Lanes
    clock: Clock
    now_ms: Callable[[], int]
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
        self._tools = tools
        self._policy = tools.policy.of(order.effect)
        self._deadline_s = tools.clock.monotonic_s() + self._policy.deadline_s
        self._troubles = 0
        self._last_error: ProviderError | None = None
        #: Whether any request so far may have been carried out.
        self._maybe_done = order.maybe_sent
        #: Since when a redirect is in doubt: the last moment at which it could have been sent, monotonic seconds.
        self._doubted_since_s = 0.0
        if order.maybe_sent:
            past_ms = tools.now_ms() - order.sent_until_ms if order.sent_until_ms is not None else 0
            self._doubt(tools.clock.monotonic_s() - max(0, past_ms) / 1000)

    async def outcome(self) -> Outcome:
        """Tries until there is an outcome.

        Raises:
            LeaseLostError: another worker owns the partition by now and finds the order in the outbox.
        """
        while True:
            looking = self.stage is Stage.DOUBTED
            try:
                settled = await (self._look() if looking else self._send())
            except ProviderError as error:
                settled = await self._after(error, looking=looking)
            if settled is not None:
                self.stage = Stage.SETTLED
                return settled

    # ---- sending --------------------------------------------------------------------------------------------------

    async def _send(self) -> Outcome | None:
        effect, tools = self.order.effect, self._tools
        async with tools.lanes.slot(ending=effect.is_ending):
            if self.withdrawn or self._left_s() <= 0:
                return self._out_of_time()
            await self._insist_on_lease()
            await tools.checkpoint("before_request", effect)
            self._count_request()
            self.stage = Stage.SENDING
            error: ProviderError | None = None
            found: CallsRead | None = None
            try:
                async with asyncio.timeout(self._request_timeout_s()):
                    found = await tools.provider.perform(effect)
            except TimeoutError:
                error = OutcomeUnknownError()
            except ProviderError as raised:
                error = raised
        await tools.checkpoint("after_request", effect)
        if error is not None:
            self.stage = Stage.UNSENT
            raise error
        return found if found is not None else self._succeeded()

    async def _insist_on_lease(self) -> None:
        if not await self._tools.may_send(self.order.partition):
            raise LeaseLostError

    def _count_request(self) -> None:
        tools, published_ms = self._tools, self.order.command_published_at_ms
        self.attempts += 1
        if self.attempts > 1:
            tools.metrics.effect_retries.labels(self.order.effect.kind).inc()
        elif published_ms is not None:
            tools.metrics.command_to_rest.observe(max(0, tools.now_ms() - published_ms) / 1000)

    # ---- looking --------------------------------------------------------------------------------------------------

    def _doubt(self, since_s: float) -> None:
        """A redirect is looked up before it is sent again; everything else may simply be repeated."""
        self._maybe_done = True
        if isinstance(self.order.effect, RedirectCall):
            self.stage = Stage.DOUBTED
            self._doubted_since_s = since_s

    async def _look(self) -> Outcome | None:
        effect, tools = self.order.effect, self._tools
        assert isinstance(effect, RedirectCall)  # only redirects are doubted
        async with tools.lanes.slot(ending=False):
            await self._insist_on_lease()
            # Measured before the look: what it sees may be as old as its beginning.
            since_s = tools.clock.monotonic_s() - self._doubted_since_s
            try:
                async with asyncio.timeout(self._request_timeout_s()):
                    seen = await tools.provider.look_for(effect)
            except TimeoutError:
                raise OutcomeUnknownError from None
        match verdict(seen, since_s, tools.policy.settle_s):
            case Verdict.HAPPENED:
                return self._succeeded()
            case Verdict.GONE:
                return self._failed(ProviderGoneError())
            case Verdict.NOT_HAPPENED:
                self._maybe_done = False
                self.stage = Stage.UNSENT
                return None
            case Verdict.WAIT:
                if tools.policy.look_interval_s > self._left_s():
                    return self._out_of_time()
                await tools.sleep(tools.policy.look_interval_s)
                return None

    # ---- trouble --------------------------------------------------------------------------------------------------

    async def _after(self, error: ProviderError, *, looking: bool) -> Outcome | None:
        """What comes after an error: an outcome, or None when it is time for the next try."""
        tools = self._tools
        self._troubles += 1
        wait_s = retry.wait_s(self._troubles, error, self._policy, tools.rng)
        if not looking:
            self._last_error = error
            if isinstance(error, OutcomeUnknownError):
                self._doubt(tools.clock.monotonic_s())
            if self.stage is Stage.DOUBTED:
                wait_s = 0.0  # the first look comes at once
                self._troubles = 0
        if wait_s is None:
            return self._unknown() if looking else self._failed(error)
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

    def _left_s(self) -> float:
        return self._deadline_s - self._tools.clock.monotonic_s()

    def _request_timeout_s(self) -> float:
        whole_s = self._policy.request_timeout_s
        return min(whole_s, max(LAST_REQUEST_S, self._left_s()))

    # ---- outcomes -------------------------------------------------------------------------------------------------

    def _out_of_time(self) -> Outcome:
        """It won't be tried again: unknown when a request may have been carried out, else it certainly was not."""
        return self._unknown() if self._maybe_done else self._failed(self._last_error)

    def _succeeded(self) -> EffectSucceeded:
        effect = self.order.effect
        return EffectSucceeded(
            session_id=effect.session_id,
            token=_token(effect),
            effect_id=effect.effect_id,
            kind=effect.kind,
            party=effect.party,
        )

    def _failed(self, error: ProviderError | None) -> EffectFailed:
        effect = self.order.effect
        return EffectFailed(
            session_id=effect.session_id,
            token=_token(effect),
            effect_id=effect.effect_id,
            kind=effect.kind,
            party=effect.party,
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
        )


def _token(effect: Effect) -> str:
    """Names the outcome, so that one that is written twice is decided once."""
    return f"{effect.effect_id}:outcome"
