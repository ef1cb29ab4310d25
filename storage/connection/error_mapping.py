"""Connections and clients whose odd errors are those of a broken connection.

redis-py raises more than its own errors while a connection breaks: `AttributeError: 'NoneType' object has no attribute
'writelines'` where another task has closed it, for instance. Whatever the type: nobody knows what became of the
command, and the connection is worth nothing. `DataError` is no such error: what was to be sent is at fault.
"""

from types import TracebackType
from typing import Any, Literal

import redis.asyncio as redis_asyncio
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from conferral.runtime.error_boundary import catch_unexpected


class as_connection_error(catch_unexpected):  # noqa: N801  # used as a `with` statement, like contextlib.suppress
    """Raise whatever the library did not foresee as redis-py's own `ConnectionError`."""

    def __init__(self, connection: Any = None) -> None:
        """Prepare the boundary; a connection on which something odd has happened connects again before its next use."""
        super().__init__(RedisError, OSError)
        self._connection = connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        super().__exit__(kind, error, traceback)
        if self.unexpected is not None:
            if self._connection is not None:
                self._connection.mark_for_reconnect()
            raise RedisConnectionError(f"{type(error).__name__} inside the Redis client") from error
        return False


class _ErrorMappingMixin:
    """To be put in front of a connection of redis-py."""

    async def connect(self) -> None:
        """See redis-py."""
        behind: Any = super()
        with as_connection_error(self):
            await behind.connect()

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        """See redis-py."""
        behind: Any = super()
        with as_connection_error(self):
            await behind.send_packed_command(*arguments, **options)

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """See redis-py."""
        behind: Any = super()
        with as_connection_error(self):
            return await behind.read_response(*arguments, **options)


def map_errors(connection_class: type[Any]) -> type[Any]:
    """The same kind of connection, whose odd errors are those of a broken one."""
    return type(f"Sturdy{connection_class.__name__}", (_ErrorMappingMixin, connection_class), {})


class ErrorMappingRedis(redis_asyncio.Redis):
    """A client of one server; what goes wrong outside of its connections counts as a broken one, too."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """See redis-py."""
        with as_connection_error():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """See redis-py."""
        return _ErrorMappingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _ErrorMappingPipeline(Pipeline):
    """Commands that go out together."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """See redis-py."""
        with as_connection_error():
            return await super().execute(raise_on_error)
