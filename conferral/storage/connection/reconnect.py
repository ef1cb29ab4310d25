"""Reconnects after a failover demoted the server.

After a failover, the address resolves to another server, but open connections still lead to the old one. It serves
stale reads, and refuses writes with READONLY. The first such answer makes all of the process's connections to that
address reconnect at their next use, including those of blocking reads, so the address is resolved again.
"""

import asyncio
from typing import Any
from weakref import WeakValueDictionary

from redis.exceptions import ResponseError

from conferral.storage.connection.errors import error_word

#: Minimum interval between reconnects, seconds: the address may resolve to the old server for a while.
REFRESH_EVERY_S = 0.5


class Address:
    """State shared by all clients of a process at one address."""

    def __init__(self) -> None:
        #: Count of generations; only connections of the last one are valid.
        self.generation = 0
        self._started_at_s = float("-inf")

    def report_read_only(self, generation: int) -> None:
        """Make this generation's connections reconnect, if not done just now."""
        # The loop's clock, like all other waits here, so that simulated time works.
        now_s = asyncio.get_running_loop().time()
        if generation == self.generation and not 0 <= now_s - self._started_at_s < REFRESH_EVERY_S:
            self.generation += 1
            self._started_at_s = now_s


_ADDRESSES: WeakValueDictionary[str, Address] = WeakValueDictionary()


def address_of(url: str) -> Address:
    """Return the state shared by this process's clients at a URL."""
    return _ADDRESSES.setdefault(url, Address())


class ReconnectMixin:
    """Makes a redis-py connection reconnect after the server's demotion."""

    def __init__(self, *arguments: Any, address: Address, **options: Any) -> None:
        self._address = address
        self._generation = address.generation
        super().__init__(*arguments, **options)

    async def connect(self) -> None:
        """Reconnect if outdated; the pool calls this before each use."""
        redis_py: Any = super()
        if redis_py.is_connected and self._generation != self._address.generation:
            await redis_py.disconnect(nowait=True)
        if not redis_py.is_connected:
            self._generation = self._address.generation
        await redis_py.connect()

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read one answer; after READONLY, all connections reconnect."""
        redis_py: Any = super()
        try:
            return await redis_py.read_response(*arguments, **options)
        except ResponseError as error:
            if error_word(error) == "READONLY":
                self._address.report_read_only(self._generation)
            raise
