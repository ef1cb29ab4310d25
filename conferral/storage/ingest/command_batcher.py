"""Command batcher: one pipeline per turn of the event loop.

After a broken connection, commands are retried within their deadline, so they must be safe to repeat.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.connection.client import Client, is_cluster, is_transient, run_all, store_errors, to_store_error

DEADLINE_S = 2.0
#: Pause before an operation is retried after a broken connection, seconds.
RETRY_AFTER_S = 0.05
#: Operations per pipeline, and pipelines at once, count. On a cluster, an operation has its own pipeline: so one that
#: waits for a silent node delays no other.
PIPELINE_MAX, PIPELINES_MAX = 500, 8
CLUSTER_PIPELINE_MAX, CLUSTER_PIPELINES_MAX = 1, 64
#: Operations that may wait, count; more are refused at once instead of held in memory.
WAITING_MAX = 20_000
#: Size of waiting and running operations, bytes; more is refused. In memory, it takes four times as much.
WAITING_BYTES_MAX = 4 * 1024 * 1024


@dataclass(eq=False, slots=True)
class _Operation:
    commands: Sequence[tuple[str, ...]]
    #: When its caller stops waiting, seconds of the loop's clock.
    deadline_s: float
    done: asyncio.Future[list[Any]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    last_refusal: StoreError | None = None


class CommandBatcher:
    """Runs commands in pipelines, each within a deadline."""

    def __init__(self, client: Client, deadline_s: float, on_unreachable: Callable[[], None]) -> None:
        self._client = client
        self._deadline_s = deadline_s
        self._on_unreachable = on_unreachable
        self._pipeline_max = CLUSTER_PIPELINE_MAX if is_cluster(client) else PIPELINE_MAX
        self._pipelines_max = CLUSTER_PIPELINES_MAX if is_cluster(client) else PIPELINES_MAX
        self._waiting: deque[_Operation] = deque()
        #: All whose callers still wait, running ones too, oldest first.
        self._unanswered: dict[_Operation, None] = {}
        #: Size of all of these, bytes.
        self._unanswered_bytes = 0
        self._pipelines: set[asyncio.Task[None]] = set()
        self._starts_soon = False

    @property
    def is_overloaded(self) -> bool:
        """Whether half of the queue or of an operation's deadline is used up."""
        if self._unanswered_bytes > WAITING_BYTES_MAX // 2 or len(self._waiting) > WAITING_MAX // 2:
            return True
        oldest = next(iter(self._unanswered), None)
        return oldest is not None and oldest.deadline_s - asyncio.get_running_loop().time() < self._deadline_s / 2

    async def run(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        """Run commands together; return their answers.

        Raise StoreUnreachableError if too much waits, or if the deadline has passed: then the result is unknown.
        """
        size = sum(sum(map(len, command)) for command in commands)
        if len(self._waiting) >= WAITING_MAX or self._unanswered_bytes + size > WAITING_BYTES_MAX:
            raise StoreUnreachableError("too much waits for Redis")
        operation = _Operation(commands, asyncio.get_running_loop().time() + self._deadline_s)
        self._unanswered[operation] = None
        self._unanswered_bytes += size
        self._waiting.append(operation)
        self._start_soon()
        try:
            async with asyncio.timeout_at(operation.deadline_s):
                answers = await operation.done
        except TimeoutError:
            self._on_unreachable()
            raise operation.last_refusal or StoreUnreachableError("Redis did not answer in time") from None
        finally:
            del self._unanswered[operation]
            self._unanswered_bytes -= size
        for answer in answers:
            if isinstance(answer, Exception):
                with store_errors():
                    raise answer
        return answers

    async def close(self) -> None:
        """Finish running and waiting operations."""
        while self._pipelines or self._starts_soon:
            await asyncio.wait([*self._pipelines, asyncio.ensure_future(asyncio.sleep(0))])

    def _start_soon(self) -> None:
        """Start a pipeline after this turn of the event loop, unless enough run."""
        if not self._starts_soon and self._waiting and len(self._pipelines) < self._pipelines_max:
            self._starts_soon = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._starts_soon = False
        batch: list[_Operation] = []
        while self._waiting and len(batch) < self._pipeline_max:
            operation = self._waiting.popleft()
            if not operation.done.done():  # its caller still waits
                batch.append(operation)
        if batch:
            task = asyncio.get_running_loop().create_task(self.send(batch))
            self._pipelines.add(task)
            task.add_done_callback(self._on_sent)
        self._start_soon()

    def _on_sent(self, task: "asyncio.Task[None]") -> None:
        self._pipelines.discard(task)
        self._start_soon()
        if not task.cancelled():
            task.result()  # raises what `_send` does not handle

    async def send(self, batch: list[_Operation]) -> None:
        """Run operations in one pipeline; retry what Redis did not take."""
        try:
            with store_errors():
                answers = await run_all(self._client, [command for one in batch for command in one.commands])
        except StoreUnreachableError as error:
            self._on_unreachable()
            await self._retry(batch, error)
            return
        except StoreError as error:
            for operation in batch:
                _fail(operation, error)
            return
        refused, remaining = [], iter(answers)
        for operation in batch:
            own = list(islice(remaining, len(operation.commands)))
            if why := next(filter(is_transient, own), None):
                operation.last_refusal = to_store_error(why)
                refused.append(operation)
            elif not operation.done.done():
                operation.done.set_result(own)
        if refused:
            await self._retry(refused, StoreUnreachableError("Redis can't take it now"))

    async def _retry(self, batch: list[_Operation], error: StoreUnreachableError) -> None:
        """After a pause, put operations back in front; fail those out of time."""
        retry_at_s = asyncio.get_running_loop().time() + RETRY_AFTER_S
        for operation in batch:
            if operation.deadline_s <= retry_at_s:
                _fail(operation, operation.last_refusal or error)
        await asyncio.sleep(RETRY_AFTER_S)
        self._waiting.extendleft(reversed([operation for operation in batch if not operation.done.done()]))


def _fail(operation: _Operation, error: StoreError) -> None:
    """Fail an operation with a copy of an error, which keeps tracebacks apart."""
    if not operation.done.done():
        own = type(error)(str(error))
        own.state = error.state
        operation.done.set_exception(own)
