"""The console's way into Redis: a few requests at a time, and keys as they were set up there."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from conferral.operations.asking import Turns
from conferral.operations.reader import Reader
from conferral.storage import config
from conferral.storage.connection import Client

T = TypeVar("T")

#: Requests to Redis at the same time (count). The client needs twice as many connections: some ask two things at once.
AT_ONCE = 6


class Store:
    """Finds the reader, and waits for what it is asked so that whoever waits can stop."""

    def __init__(self, client: Client, prefix: str) -> None:
        """Has not asked anything yet.

        Args:
            client: Of Redis, with at least twice `AT_ONCE` connections. Closed by the caller.
            prefix: `CONFERRAL_PREFIX`.
        """
        self.prefix = prefix
        self.client = client
        self.turns = Turns(AT_ONCE)
        self._reader: Reader | None = None

    async def ask(self, question: Callable[[Reader], Awaitable[T]]) -> T:
        """What a question to Redis brings.

        Raises:
            StoreError: there is no answer, or nothing is set up under the prefix.
        """

        async def asked() -> T:
            if self._reader is None:
                self._reader = Reader(self.client, await config.look_up(self.client, self.prefix))
            return await question(self._reader)

        return await self.turns(asked())

    def forget_setup(self) -> None:
        """Has what was set up looked up again: Redis was away, and may be another one."""
        self._reader = None
