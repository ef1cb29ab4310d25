"""The console's Redis access: bounded concurrency, and the stored key layout."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from conferral.operations.redis_limiter import RedisLimiter
from conferral.operations.session_queries import SessionQueries
from conferral.storage import config
from conferral.storage.connection.client import Client

T = TypeVar("T")

#: Maximum number of concurrent requests. The client needs twice as many connections: some requests use two.
CONCURRENT_MAX = 6


class RedisAccess:
    """Loads the configuration on first use, and runs queries that callers can cancel.

    The client has at least twice `CONCURRENT_MAX` connections; the caller closes it.
    """

    def __init__(self, client: Client, prefix: str) -> None:
        self.prefix = prefix
        self.client = client
        self.limiter = RedisLimiter(CONCURRENT_MAX)
        self._reader: SessionQueries | None = None

    async def run(self, read: Callable[[SessionQueries], Awaitable[T]]) -> T:
        """Run a query on Redis; raise StoreError if Redis doesn't respond, or nothing is set up under the prefix."""

        async def read_with_config() -> T:
            if self._reader is None:
                self._reader = SessionQueries(self.client, await config.load(self.client, self.prefix))
            return await read(self._reader)

        return await self.limiter(read_with_config())

    def reload_config(self) -> None:
        """Load the configuration again on next use: after an outage, it may be another Redis."""
        self._reader = None
