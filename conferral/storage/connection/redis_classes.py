"""Subclasses of redis-py's: they map errors, and leave a demoted server.

An unexpected error becomes a connection error. While a connection breaks, redis-py may raise, for instance,
`AttributeError: 'NoneType' object has no attribute 'writelines'`. The command's outcome is then unknown, and the
connection unusable. `DataError` blames the arguments.

After a failover, the address resolves to another server, but open connections still lead to the old one. It serves
stale reads, and refuses writes with READONLY. The first such answer makes all of the process's connections reconnect at
their next use, including those of blocking reads, so the address is resolved again.
"""

import asyncio
from types import TracebackType
from typing import Any, Literal

import redis.asyncio as redis_asyncio
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from conferral.runtime.error_boundary import catch_unexpected
from conferral.storage.connection.errors import error_word

#: Minimum interval between reconnects, seconds: the address may resolve to the old server for a while.
REFRESH_EVERY_S = 0.5


class as_connection_error(catch_unexpected):  # noqa: N801  # used as a `with` statement, like contextlib.suppress
    """Raise any unexpected error as redis-py's own `ConnectionError`."""

    def __init__(self, connection: Any = None) -> None:
        super().__init__(RedisError, OSError)
        self._connection = connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        super().__exit__(kind, error, traceback)
        if self.unexpected is not None:
            if self._connection is not None:  # reconnects before its next use
                self._connection.mark_for_reconnect()
            raise RedisConnectionError(f"{type(error).__name__} inside the Redis client") from error
        return False


class Generations:
    """Generations of the process's connections; only the last one is valid."""

    def __init__(self) -> None:
        self.last = 0
        self._started_at_s = float("-inf")

    def report_read_only(self, generation: int) -> None:
        """Make this generation's connections reconnect, if not done just now."""
        # The loop's clock, like all other waits here, so that simulated time works.
        now_s = asyncio.get_running_loop().time()
        if generation == self.last and not 0 <= now_s - self._started_at_s < REFRESH_EVERY_S:
            self.last += 1
            self._started_at_s = now_s


generations = Generations()


class _ConnectionMixin:
    """Maps errors that leave a connection half open; see the module."""

    _generation = 0

    async def connect(self) -> None:
        """Reconnect if outdated; the pool calls this before each use."""
        redis_py: Any = super()
        with as_connection_error(self):
            if redis_py.is_connected and self._generation != generations.last:
                await redis_py.disconnect(nowait=True)
            self._generation = generations.last
            await redis_py.connect()

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        redis_py: Any = super()
        cancellations = _cancellations()
        with as_connection_error(self):
            await redis_py.send_packed_command(*arguments, **options)
        if _cancellations() > cancellations:
            # Python 3.11's `asyncio.wait_for` may have swallowed it. Source: github.com/python/cpython/issues/86296
            await redis_py.disconnect(nowait=True)
            raise asyncio.CancelledError

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        redis_py: Any = super()
        try:
            with as_connection_error(self):
                return await redis_py.read_response(*arguments, **options)
        except ResponseError as error:
            if error_word(error) == "READONLY":
                generations.report_read_only(self._generation)
            raise


def _cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None, "a connection is used in a task"
    return task.cancelling()


def connection_class(base: type[Any]) -> type[Any]:
    """Return a redis-py connection class that maps errors and reconnects."""
    return type(f"Own{base.__name__}", (_ConnectionMixin, base), {})


class ErrorMappingRedis(redis_asyncio.Redis):
    """Single-server client that also maps errors outside its connections."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """See redis-py."""
        with as_connection_error():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = False, shard_hint: str | None = None) -> Pipeline:
        """See redis-py; a transaction only if asked for, as on a cluster."""
        return ErrorMappingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class ErrorMappingPipeline(Pipeline):
    """Pipeline that maps errors."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """See redis-py."""
        with as_connection_error():
            return await super().execute(raise_on_error)
