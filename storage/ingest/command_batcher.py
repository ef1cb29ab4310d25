"""Command batcher: one pipeline per iteration of the event loop.

Every callback takes this path, which carries more of them than individual awaited writes. After a
broken connection, commands are retried within their deadline, so they must be safe to repeat.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import msgspec

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.connection.client import Client, is_transient, run_all, store_errors, to_store_error
from conferral.storage.connection.cluster import ClusterClient
from conferral.storage.connection.pipelining import PipeliningConnection

DEADLINE_S = 2.0
#: Pause before an operation is retried after a broken connection, seconds.
RETRY_AFTER_S = 0.05
#: Operations per pipeline, count: bounds its duration.
PIPELINE_MAX = 500
#: Operations that may wait, count; more are refused at once instead of held in memory.
WAITING_MAX = 20_000
#: Size of waiting and running operations, bytes; more is refused. In memory, it takes four times as much.
WAITING_BYTES_MAX = 4 * 1024 * 1024
PIPELINES_IN_FLIGHT_MAX = 4
#: On a cluster, how long a pipeline counts towards that limit, seconds: a slower one waits for a silent node.
SLOW_AFTER_S = 0.25


class _Operation(msgspec.Struct, eq=False):
    commands: Sequence[tuple[str, ...]]
    #: The same for a pipelining connection, else empty.
    packed: bytes
    done: asyncio.Future[list[Any]]
    #: When its caller stops waiting, seconds of the loop's clock.
    deadline_s: float
    last_refusal: StoreError | None = None


class CommandBatcher:
    """Runs commands in pipelines, each within a deadline."""

    def __init__(self, client: Client, deadline_s: float, on_unreachable: Callable[[], None]) -> None:
        self._client = client
        self._deadline_s = deadline_s
        self._on_unreachable = on_unreachable
        self._connection = PipeliningConnection(client) if PipeliningConnection.can_serve(client) else None
        self._waiting: deque[_Operation] = deque()
        #: Size of all unfinished operations, bytes.
        self._waiting_bytes = 0
        #: All whose callers may still wait, running ones too, oldest first: they share one timeout.
        self._unanswered: deque[_Operation] = deque()
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._flushes: set[asyncio.Task[None]] = set()
        #: Those that count towards the limit.
        self._counted_flushes: set[asyncio.Task[None]] = set()
        self._flush_is_due = False

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The event loop; asyncio would ask the system for it each time."""
        return asyncio.get_running_loop()

    @property
    def is_overloaded(self) -> bool:
        """Whether half of the queue or of an operation's deadline is used up."""
        if self._waiting_bytes > WAITING_BYTES_MAX // 2 or len(self._waiting) > WAITING_MAX // 2:
            return True
        oldest = self._unanswered[0] if self._unanswered else None
        if oldest is None or oldest.done.done():
            return False
        return oldest.deadline_s - self._loop.time() < self._deadline_s / 2

    async def run(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        """Run commands together; return their answers.

        Raise StoreUnreachableError if too much waits, or if the deadline has passed: then the result is unknown.
        """
        connection = self._connection
        packed = connection.pack(commands) if connection else b""
        size = len(packed) if connection else sum(sum(map(len, command)) for command in commands)
        if len(self._waiting) >= WAITING_MAX or self._waiting_bytes + size > WAITING_BYTES_MAX:
            raise StoreUnreachableError("too much waits for Redis")
        loop = self._loop
        operation = _Operation(commands, packed, loop.create_future(), loop.time() + self._deadline_s)
        self._waiting_bytes += size
        self._waiting.append(operation)
        self._unanswered.append(operation)
        if self._expiry_timer is None:
            self._expiry_timer = loop.call_at(operation.deadline_s, self._expire)
        if not self._flush_is_due:
            self._flush_soon()
        try:
            answers = await operation.done
        finally:
            self._waiting_bytes -= size
        for answer in answers:
            if isinstance(answer, Exception):
                with store_errors():
                    raise answer
        return answers

    async def close(self) -> None:
        """Finish running and waiting operations, then close the connection."""
        while self._flushes:
            await asyncio.wait(self._flushes)
            # When a flush finishes, callbacks remove it from the set and start the next one; let them run.
            await asyncio.sleep(0)
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
            self._expiry_timer = None
        if self._connection is not None:
            self._connection.close()

    def _expire(self) -> None:
        """Fail operations past their deadline, even in a running pipeline."""
        now_s = self._loop.time()
        while self._unanswered and (self._unanswered[0].done.done() or self._unanswered[0].deadline_s <= now_s):
            operation = self._unanswered.popleft()
            if not operation.done.done():
                self._on_unreachable()
                _fail([operation], operation.last_refusal or StoreUnreachableError("Redis did not answer in time"))
        # Drop expired operations, to make room for others.
        while self._waiting and self._waiting[0].done.done():
            self._waiting.popleft()
        oldest = self._unanswered[0] if self._unanswered else None
        self._expiry_timer = self._loop.call_at(oldest.deadline_s, self._expire) if oldest else None

    def _flush_soon(self) -> None:
        """Flush at the end of this iteration, unless enough pipelines run."""
        if not self._flush_is_due and len(self._counted_flushes) < PIPELINES_IN_FLIGHT_MAX:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Start a pipeline with the operations whose callers still wait."""
        self._flush_is_due = False
        batch = [self._waiting.popleft() for _ in range(min(PIPELINE_MAX, len(self._waiting)))]
        batch = [operation for operation in batch if not operation.done.done()]
        if batch:
            task = self._loop.create_task(self._send(batch))
            self._flushes.add(task)
            self._counted_flushes.add(task)
            task.add_done_callback(self._on_flush_done)
            if isinstance(self._client, ClusterClient):
                self._loop.call_later(SLOW_AFTER_S, self._stop_counting, task)
        elif self._waiting:
            self._flush_soon()  # the first ones had expired; others still wait behind them

    def _stop_counting(self, task: "asyncio.Task[None]") -> None:
        """Let another pipeline start: this one is done, or its node is slow."""
        self._counted_flushes.discard(task)
        if self._waiting:
            self._flush_soon()

    def _on_flush_done(self, task: "asyncio.Task[None]") -> None:
        self._flushes.discard(task)
        while self._unanswered and self._unanswered[0].done.done():
            self._unanswered.popleft()
        self._stop_counting(task)
        if not task.cancelled():
            task.result()  # raises what `_send` does not handle

    async def _send(self, batch: list[_Operation]) -> None:
        """Run operations in one pipeline; retry what Redis did not take."""
        try:
            with store_errors():
                answers = await self._exchange(batch)
        except StoreUnreachableError as error:
            self._on_unreachable()
            await self._retry(batch, error)
            return
        except StoreError as error:
            _fail(batch, error)
            return
        at = 0
        refused = []
        for operation in batch:
            own = answers[at : at + len(operation.commands)]
            at += len(operation.commands)
            if why := next(filter(is_transient, own), None):
                operation.last_refusal = to_store_error(why)
                refused.append(operation)
            elif not operation.done.done():
                operation.done.set_result(own)
        if refused:
            await self._retry(refused, StoreUnreachableError("Redis can't take it now"))

    async def _exchange(self, batch: list[_Operation]) -> list[Any]:
        if self._connection:
            packed = b"".join([operation.packed for operation in batch])
            return await self._connection.exchange(packed, sum([len(operation.commands) for operation in batch]))
        commands = [command for operation in batch for command in operation.commands]
        if isinstance(self._client, ClusterClient):
            return await self._client.exchange(commands, _make_settler(batch))
        return await run_all(self._client, commands)

    async def _retry(self, batch: list[_Operation], error: StoreUnreachableError) -> None:
        """After a pause, put operations back in front; fail those out of time."""
        retry_at_s = self._loop.time() + RETRY_AFTER_S
        for operation in batch:
            if operation.deadline_s <= retry_at_s:
                _fail([operation], operation.last_refusal or error)
        await asyncio.sleep(RETRY_AFTER_S)
        self._waiting.extendleft(reversed([operation for operation in batch if not operation.done.done()]))


def _make_settler(batch: list[_Operation]) -> Callable[[int, Any], None]:
    """Return a callback that completes each operation with its answers."""
    #: By position: the operation, and the position of its first answer.
    owners: list[tuple[_Operation, int]] = []
    for operation in batch:
        owners += [(operation, len(owners))] * len(operation.commands)
    answers: dict[int, Any] = {}

    def on_answer(place: int, answer: Any) -> None:
        answers[place] = answer
        operation, first = owners[place]
        own = [answers[at] for at in range(first, first + len(operation.commands)) if at in answers]
        is_whole = len(own) == len(operation.commands)
        # Temporary refusals are retried once the whole pipeline has its answers.
        if is_whole and not operation.done.done() and not any(map(is_transient, own)):
            operation.done.set_result(own)

    return on_answer


def _fail(batch: list[_Operation], error: StoreError) -> None:
    for operation in batch:
        if not operation.done.done():
            operation.done.set_exception(_copy_error(error))


def _copy_error(error: StoreError) -> StoreError:
    """Copy an error for another caller: sharing it would mix tracebacks."""
    copy = type(error)(str(error))
    copy.state = error.state
    return copy
