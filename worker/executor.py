"""Carries effects out: in order within a session, side by side between sessions, endings before everything else.

Looks at the world change nothing there and may come back in any order, so they stand in no line.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from conferral.runtime.boundary import Unexpected
from conferral.runtime.clock import Clock
from conferral.runtime.containment import Where, contain
from conferral.runtime.errors import LeaseLostError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import Dial, Effect, FindCall, ReadCalls
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.statemachine.session import Session
from conferral.worker.allowance import Allowance
from conferral.worker.carrying import Carrying, Stage, Tools
from conferral.worker.lanes import Lanes
from conferral.worker.orders import NobodyWaitsError, Order, Outcome, Provider, Records
from conferral.worker.request_shares import Share
from conferral.worker.retry import ExecutorPolicy, RetryPolicy
from conferral.worker.waiting_reads import WaitingReads

__all__ = ["Executor", "ExecutorPolicy", "Order", "Outcome", "Provider", "Records", "RetryPolicy"]

log = structlog.get_logger()

_Task = asyncio.Task[None]


def is_dial_wanted(session: Session, dial_id: str) -> bool:
    """Whether somebody waits for that dial: its party has not left and is not to leave."""
    parties = session.parties.values()
    return any(party.dial_id == dial_id and not (party.is_gone or party.is_leaving) for party in parties)


async def pass_by(_point: str, _detail: object) -> None:
    """A checkpoint where nothing happens."""


@dataclass(slots=True)
class _Line:
    """The orders of one session that are carried out one after the other."""

    task: _Task
    waiting: deque[Order] = field(default_factory=deque)


class Executor:
    """Carries committed effects out and reports what came of them.

    What is not reported stays in the outbox, where a successor finds it: so nothing is lost when an order is dropped
    here, be it that the lease is gone or the process stops.

    Attributes:
        performed: Orders done, or found to concern what is gone (count).
        given_up: Orders refused by Twilio, out of time, or of unknown outcome (count).
        retried: Requests beyond the first of an order (count).
        dropped: Orders left without an outcome (count).
        allowance: How much may be under way; has to be told of every answer of Twilio's.
    """

    def __init__(
        self,
        *,
        calls: Provider,
        records: Records,
        may_send: Callable[[int], Awaitable[bool]],
        clock: Clock,
        now_ms: Callable[[int], int],
        metrics: Metrics,
        policy: ExecutorPolicy,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        checkpoint: Callable[[str, Effect], Awaitable[None]] = pass_by,
        turn: Callable[[Dial], Awaitable[None]] | None = None,
        share: Callable[[], Share] | None = None,
        is_ours: Callable[[int], bool] = lambda _partition: True,
    ) -> None:
        """Binds what is needed.

        Args:
            calls: Asks Twilio.
            records: Is given each outcome, once for each order that has one, and what else has to be written down.
                A `LeaseLostError` from it drops the order.
            may_send: Whether this worker owns the partition; asked right before every request.
            clock: For deadlines.
            now_ms: The time of a partition, Unix milliseconds.
            metrics: Where is counted.
            policy: Bounds.
            rng: For jitter.
            sleep: How time is waited out.
            checkpoint: Called at `before_request` and `after_request`, for tests that end the process there.
            turn: Returns when a dial may be sent; None where the pace is left to Twilio's own queue.
            share: What this worker may have under way at Twilio, now; None: all that the policy allows.
            is_ours: Whether nobody else can have the partition now, as far as is known here; asked once more when a
                request has its connection.
        """
        self.performed = self.given_up = self.retried = self.dropped = 0
        self._records, self._metrics, self._now_ms = records, metrics, now_ms
        self.allowance = Allowance(
            share=share or (lambda: policy.budget),
            clock=clock,
            metrics=metrics,
            rng=rng,
        )
        self._tools = Tools(
            provider=calls,
            records=records,
            may_send=may_send,
            is_ours=is_ours,
            lanes=Lanes(self.allowance, clock, sleep=sleep),
            clock=clock,
            now_ms=now_ms,
            metrics=metrics,
            policy=policy,
            rng=rng,
            sleep=sleep,
            checkpoint=checkpoint,
        )
        # The loop holds tasks weakly: these are the references that keep them.
        self._running: dict[_Task, Carrying] = {}
        self._lines: dict[str, _Line] = {}
        #: By session, what runs beside its line and is of no use any more when the session ends.
        self._asides: dict[str, set[_Task]] = {}
        self._turn = turn
        #: Dials that wait for their turn. They stand in no line yet, so that nothing waits behind them.
        self._turns: dict[asyncio.Task[Order], Order] = {}
        self._reads = WaitingReads(policy.requests_max)
        self._stopped = False

    def __repr__(self) -> str:
        return (
            f"<Executor in_flight={self.in_flight} waiting={self.waiting} performed={self.performed} "
            f"given_up={self.given_up} retried={self.retried} dropped={self.dropped}>"
        )

    @property
    def lanes(self) -> Lanes:
        """Who talks to Twilio, and who waits for it."""
        return self._tools.lanes

    @property
    def in_flight(self) -> int:
        """Orders being carried out: those whose request is under way, and those between two tries (count)."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Orders behind another one of their session, and dials and reads whose turn has not come (count)."""
        return len(self._turns) + len(self._reads) + sum(len(line.waiting) for line in self._lines.values())

    @property
    def busy_partitions(self) -> set[int]:
        """Partitions with an order that has no outcome yet, those aside whose turn to dial has not come."""
        orders = [carrying.order for carrying in self._running.values()]
        orders += [order for line in self._lines.values() for order in line.waiting]
        return {order.partition for order in orders}

    def submit(self, order: Order) -> None:
        """Takes an order on; returns at once. After `drain` has begun it is left to the successor.

        An ending effect starts beside whatever is in flight. When its session is over, what that has not sent yet is
        dropped; a stray leg of a live session is hung up without touching the rest.
        """
        effect = order.effect
        if self._stopped:
            self.dropped += 1
        elif effect.is_ending:
            if order.ends_session:
                self.withdraw(effect.session_id)
            self._start(order)
        elif isinstance(effect, ReadCalls):
            self.dropped += self._reads.add(order)
            self._start_reads()
        elif isinstance(effect, FindCall):
            self._start_aside(order)
        elif self._turn is not None and isinstance(effect, Dial) and order.sent_at_ms is None:
            self._await_turn(self._turn, effect, order)
        else:
            self._stand_in_line(order)

    def withdraw(self, session_id: str) -> None:
        """The session has ended: what it has not sent yet is of no use any more. Endings are carried out all the same.

        What is under way goes on, and is not repeated.
        """
        self._drop_turns(lambda order: order.effect.session_id == session_id)
        self.dropped += self._reads.drop(session_id)
        tasks = list(self._asides.get(session_id, ()))
        if line := self._lines.get(session_id):
            self.dropped += len(line.waiting)
            line.waiting.clear()
            tasks.append(line.task)
        for task in tasks:
            carrying = self._running[task]
            carrying.withdrawn = True
            if carrying.stage is Stage.UNSENT:
                task.cancel()

    def review_dials(self, sessions: Mapping[str, Session]) -> None:
        """Sessions have changed: their dials that wait here and that nobody wants any more are taken back.

        Each is reported as failed, at once: somebody may be on hold until the session knows that nobody is dialled.
        """

        def is_unwanted(order: Order) -> bool:
            effect = order.effect
            session = sessions.get(effect.session_id) if isinstance(effect, Dial) else None
            return session is not None and not is_dial_wanted(session, effect.effect_id)

        unwanted = []
        for task in [task for task, order in self._turns.items() if is_unwanted(order)]:
            unwanted.append(self._turns.pop(task))
            task.cancel()
        for session_id in sessions:
            line = self._lines.get(session_id)
            if line is not None and line.waiting:
                unwanted += filter(is_unwanted, line.waiting)
                line.waiting = deque(order for order in line.waiting if not is_unwanted(order))
        for order in unwanted:
            self._start_aside(replace(order, is_withdrawn=True))

    def drop_partition(self, partition: int) -> None:
        """Forgets the orders of a partition whose lease is gone, but for requests under way."""
        self._drop_turns(lambda order: order.partition == partition)
        self.dropped += self._reads.drop_all(lambda order: order.partition == partition)
        for line in self._lines.values():
            kept = deque(order for order in line.waiting if order.partition != partition)
            self.dropped += len(line.waiting) - len(kept)
            line.waiting = kept
        for task, carrying in self._running.items():
            if carrying.order.partition == partition and carrying.stage in (Stage.UNSENT, Stage.DOUBTED):
                task.cancel()

    async def drain_partition(self, partition: int, timeout_s: float) -> None:
        """Leaves a partition that gets no more orders to its next holder: waits for what is under way, drops the rest.

        Args:
            partition: Which.
            timeout_s: How long at most, seconds of the loop's clock.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while True:
            # Also what has come back to be sent again.
            self.drop_partition(partition)
            running = [task for task, carrying in self._running.items() if carrying.order.partition == partition]
            left_s = until_s - loop.time()
            if not running or left_s <= 0:
                break
            await asyncio.wait(running, timeout=min(left_s, 0.05), return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def drain(self, timeout_s: float) -> None:
        """Waits until everything begun has its outcome, then leaves the rest to the successor.

        Args:
            timeout_s: How long at most, seconds of the loop's clock.
        """
        self._stopped = True
        # The successor asks for a turn of its own.
        self.dropped += self._reads.drop_all(lambda _order: True)
        turns = self._drop_turns(lambda _order: True)
        if turns:
            await asyncio.wait(turns)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while self._running and (left_s := until_s - loop.time()) > 0:
            await asyncio.wait(self._running, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        self.dropped += self.waiting
        for line in self._lines.values():
            line.waiting.clear()
        rest = list(self._running)
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest)
        self._tools.lanes.close()

    # ---- scheduling -----------------------------------------------------------------------------------------------

    def _start(self, order: Order) -> _Task:
        carrying = Carrying(order, self._tools)
        task = asyncio.get_running_loop().create_task(self._carry(carrying), name=f"effect-{order.effect.effect_id}")
        self._running[task] = carrying
        task.add_done_callback(self._on_done)
        return task

    def _start_aside(self, order: Order) -> _Task:
        task = self._start(order)
        self._asides.setdefault(order.effect.session_id, set()).add(task)
        return task

    def _start_reads(self) -> None:
        while order := self._reads.next_order():
            self._reads.started.add(self._start_aside(order))

    def _stand_in_line(self, order: Order) -> None:
        session_id = order.effect.session_id
        if line := self._lines.get(session_id):
            line.waiting.append(order)
        else:
            self._lines[session_id] = _Line(self._start(order))

    def _await_turn(self, turn: Callable[[Dial], Awaitable[None]], dial: Dial, order: Order) -> None:
        clock = self._tools.clock
        since_s = clock.monotonic_s()

        async def wait() -> Order:
            with self._boundary_of(order, LeaseLostError) as boundary:
                if order.maybe_sent:
                    standing = await self._records.standing_of(dial)
                    if standing.call_sid or not standing.is_wanted:
                        return replace(order, is_withdrawn=True)
                await turn(dial)
            if boundary.unexpected is not None:
                return replace(order, fault=boundary.unexpected.reason)
            return replace(order, waited_ms=round((clock.monotonic_s() - since_s) * 1000))

        task = asyncio.get_running_loop().create_task(wait(), name=f"turn-{dial.effect_id}")
        self._turns[task] = order
        task.add_done_callback(self._on_turn)

    def _on_turn(self, task: asyncio.Task[Order]) -> None:
        # An order may have been dropped in the very moment in which its turn came.
        is_awaited = self._turns.pop(task, None) is not None
        if task.cancelled() or isinstance(task.exception(), LeaseLostError):
            self.dropped += is_awaited
        elif error := task.exception():
            self._show_fault(task, error)
        elif is_awaited:
            order = task.result()
            (self._start_aside if order.is_withdrawn or order.fault else self._stand_in_line)(order)

    def _drop_turns(self, concerns: Callable[[Order], bool]) -> list[asyncio.Task[Order]]:
        tasks = [task for task, order in self._turns.items() if concerns(order)]
        for task in tasks:
            del self._turns[task]
            self.dropped += 1
            task.cancel()
        return tasks

    def _show_fault(self, task: asyncio.Task[Any], error: BaseException) -> None:
        """Show an error that ends a process to the loop's handler. The order stays in the outbox."""
        self.dropped += 1
        context = {"message": "carrying out an effect failed", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)

    def _on_done(self, task: _Task) -> None:
        order = self._running.pop(task).order
        if order.on_tried is not None:
            order.on_tried()
        if task.cancelled():
            self.dropped += 1
        elif error := task.exception():
            self._show_fault(task, error)
        self._reads.started.discard(task)
        self._start_reads()
        session_id = order.effect.session_id
        if (asides := self._asides.get(session_id)) is not None:
            asides.discard(task)
            if not asides:
                del self._asides[session_id]
        line = self._lines.get(session_id)
        if line is None or line.task is not task:
            return
        if line.waiting:
            line.task = self._start(replace(line.waiting.popleft(), has_waited=True))
        else:
            del self._lines[session_id]

    async def _carry(self, carrying: Carrying) -> None:
        order, control = carrying.order, (LeaseLostError, NobodyWaitsError)
        try:
            with self._boundary_of(order, *control) as boundary:
                outcome = await carrying.outcome()
            if boundary.unexpected is not None:
                outcome = carrying.failed_by(boundary.unexpected.reason)
            self._report(carrying, outcome)
            with self._boundary_of(order, *control) as boundary:
                more = await self._records.finish(order.effect, outcome)
                if more is not None:
                    self._start(self._beside(order, more))
            if boundary.unexpected is not None:
                await self._finish_anyway(carrying, boundary.unexpected)
        except control:
            self.dropped += 1
        finally:
            self.retried += max(0, carrying.attempts - 1)

    async def _finish_anyway(self, carrying: Carrying, unexpected: Unexpected) -> None:
        """The outcome can't be written: writes the plainest one. What can't be written either stays in the outbox."""
        order = carrying.order
        with self._boundary_of(order, LeaseLostError, NobodyWaitsError) as boundary:
            await self._records.finish(order.effect, carrying.failed_by(unexpected.reason))
        self.dropped += boundary.unexpected is not None

    def _boundary_of(self, order: Order, *passing: type[BaseException]) -> contain:
        effect = order.effect
        return contain(
            Where.EFFECT,
            self._metrics,
            passing=passing,
            effect=effect.kind,
            effect_id=effect.effect_id,
            session_id=effect.session_id,
            partition=order.partition,
        )

    def _beside(self, order: Order, effect: Effect) -> Order:
        return Order(
            effect=effect, partition=order.partition, ordered_at_ms=self._now_ms(order.partition), ends_session=False
        )

    def _report(self, carrying: Carrying, outcome: Outcome) -> None:
        effect = carrying.order.effect
        word = "unknown" if isinstance(outcome, EffectUnknown) else "succeeded"
        status = code = 0
        if isinstance(outcome, EffectFailed):
            word, status, code = "failed", outcome.http_status, outcome.code
        done = word == "succeeded" or (isinstance(outcome, EffectFailed) and outcome.gone)
        if done:
            self.performed += 1
        else:
            self.given_up += 1
        self._metrics.effects.labels(effect.kind, word).inc()
        line = {
            "effect": effect.kind,
            "effect_id": effect.effect_id,
            "session_id": effect.session_id,
            "party": effect.party,
            "attempt": carrying.attempts,
            # From the commit, as whoever waits for it feels it.
            "duration_ms": max(0, self._now_ms(carrying.order.partition) - carrying.order.ordered_at_ms),
            "outcome": word,
            "status": status,
            "code": code,
        }
        if carrying.fault:
            line["reason"] = carrying.fault
        if done:
            log.info("effect_performed", **line)
        else:
            log.error("effect_given_up", **line)
