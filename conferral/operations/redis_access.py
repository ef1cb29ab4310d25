"""Access to Redis for queries, with bounded concurrency."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage import config
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.queries.session_reader import SessionReader

T = TypeVar("T")

#: Concurrent requests to Redis (count).
CONCURRENT_MAX = 6
#: Connections that the client may open, count: one for each request, and as many for what is not limited here.
CONNECTIONS_MAX = 2 * CONCURRENT_MAX


class RedisLimiter:
    """Limits concurrent requests; the connection pool raises beyond.

    `deadline_s` is for the turn and the answer together; None for no limit.
    """

    def __init__(self, limit: int, deadline_s: float | None = None) -> None:
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(limit)

    async def __call__(self, request: Coroutine[Any, Any, T], /) -> T:
        """Return a request's result, or raise StoreUnreachableError if it is late."""
        try:
            async with asyncio.timeout(self._deadline_s), self._slots:
                return await request
        except TimeoutError:
            raise StoreUnreachableError("Redis did not answer in time") from None
        finally:
            request.close()  # it may never have had a turn


class RedisAccess:
    """Runs queries. Without `keys`, loads the configuration on first use."""

    def __init__(
        self, client: Client, prefix: str, *, keys: Keys | None = None, limiter: RedisLimiter | None = None
    ) -> None:
        self.prefix = prefix
        self.client = client
        self.limiter = limiter or RedisLimiter(CONCURRENT_MAX)
        self._keys = keys
        self._reader: SessionReader | None = None
        self._must_reload = False
        #: Why what is stored now can't be read, and the former configuration is kept; empty if it can be.
        self.contradiction = ""

    async def reader(self) -> SessionReader:
        """Return the queries; raise StoreError without Redis or its setup."""
        if self._reader is None or self._must_reload:
            try:
                keys = self._keys
                if keys is None:
                    keys = await self.limiter(config.load_keys(self.client, self.prefix))
            except config.ContradictionError as error:
                if self._reader is None:
                    raise
                self.contradiction = str(error)
            else:
                self.contradiction = ""
                self._reader = SessionReader(self.client, keys)
            self._must_reload = False
        return self._reader

    async def run(self, read: Callable[[SessionReader], Coroutine[Any, Any, T]]) -> T:
        """Run a query that callers can cancel; raise StoreError as `reader` does."""
        return await self.limiter(read(await self.reader()))

    def reload_config(self) -> None:
        """Load the configuration again on next use: it may be another Redis."""
        self._must_reload = True
