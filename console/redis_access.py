"""The console's way into Redis: a few requests at a time, and keys as they were set up there."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from conferral.operations.redis_limiter import RedisLimiter
from conferral.operations.session_queries import SessionQueries
from conferral.storage import config
from conferral.storage.connection.client import Client

T = TypeVar("T")

#: Requests to Redis at the same time (count). The client needs twice as many connections: some ask two things at once.
CONCURRENT_MAX = 6


class RedisAccess:
    """Finds the reader, and waits for what it is asked so that whoever waits can stop."""

    def __init__(self, client: Client, prefix: str) -> None:
        """Has not asked anything yet.

        Args:
            client: Of Redis, with at least twice `AT_ONCE` connections. Closed by the caller.
            prefix: `CONFERRAL_PREFIX`.
        """
        self.prefix = prefix
        self.client = client
        self.limiter = RedisLimiter(CONCURRENT_MAX)
        self._reader: SessionQueries | None = None

    async def run(self, read: Callable[[SessionQueries], Awaitable[T]]) -> T:
        """What a question to Redis brings.

        Raises:
            StoreError: there is no answer, or nothing is set up under the prefix.
        """

        async def read_with_config() -> T:
            if self._reader is None:
                self._reader = SessionQueries(self.client, await config.load(self.client, self.prefix))
            return await read(self._reader)

        return await self.limiter(read_with_config())

    def reload_config(self) -> None:
        """Has what was set up looked up again: Redis was away, and may be another one."""
        self._reader = None
