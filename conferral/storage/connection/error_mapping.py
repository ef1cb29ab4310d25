"""Redis classes that turn unexpected errors into connection errors.

While a connection breaks, redis-py may raise, for instance, `AttributeError: 'NoneType' object has no attribute
'writelines'`. The command's outcome is then unknown, and the connection unusable. `DataError` blames the arguments.
"""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal

import redis.asyncio as redis_asyncio
from hiredis import pack_command
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from conferral.runtime.error_boundary import catch_unexpected


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


class _ConnectionMixin:
    """Maps errors, and packs with hiredis: Python takes six times as long."""

    def pack_command(self, *arguments: Any) -> list[bytes]:
        """Pack a command; split names such as CLIENT ID, which redis-py joins."""
        name, *others = arguments
        return [pack_command((*name.split(), *others))]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        return [b"".join(part for command in commands for part in self.pack_command(*command))]

    async def connect(self) -> None:
        redis_py: Any = super()
        with as_connection_error(self):
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
        with as_connection_error(self):
            return await redis_py.read_response(*arguments, **options)


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def connection_class(base: type[Any], *more_mixins: type[Any]) -> type[Any]:
    """Return a redis-py connection class that maps errors, with mixins."""
    return type(f"Own{base.__name__}", (_ConnectionMixin, *more_mixins, base), {})


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
    """Pipeline that maps errors, and keeps Redis's own text of a refusal."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """See redis-py."""
        with as_connection_error():
            return await super().execute(raise_on_error)

    def annotate_exception(self, *_arguments: object) -> None:
        """Do nothing: redis-py would put its own text before Redis's code."""
