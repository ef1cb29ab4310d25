"""A cluster in memory, for tests of what a silent node holds up: one server, whose keys are split among named nodes."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import TimeoutError as RedisTimeoutError

from conferral.storage.connection.client import BLOCK_TIMEOUT_S, COMMAND_TIMEOUT_S
from conferral.storage.connection.cluster import key_of
from conferral.storage.connection.errors import set_redis_node
from tests.support.memory_redis import MemoryServer
from tests.support.memory_redis.client import MemoryClient
from tests.support.memory_redis.values import Reply


class SplitClient(MemoryClient):
    """Commands to a silent node time out; a pipeline that needs one fails as a whole, as a cluster's does."""

    def __init__(
        self,
        server: MemoryServer,
        split: Callable[[str], str],
        *,
        blocking: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        """Connects.

        Args:
            server: Holds all keys.
            split: Names the node that has a key.
            blocking: Whether it is for reads that wait.
            timeout_s: How long a command waits for a silent node, by default as long as the product's.
        """
        super().__init__(server, timeout_s=timeout_s or (BLOCK_TIMEOUT_S if blocking else COMMAND_TIMEOUT_S))
        self.node_of = split
        self.silent: set[str] = set()

    async def exchange(self, commands: Sequence[list[bytes]]) -> list[Reply]:
        """See `MemoryClient.exchange`."""
        for command in commands:
            key = _text(key_of([_text(command[0]), *command[1:]])) if len(command) > 1 else ""
            if key and self.node_of(key) in self.silent:
                try:
                    await self.result_of(asyncio.get_running_loop().create_future(), self.timeout_s)
                except RedisTimeoutError as error:
                    set_redis_node(error, self.node_of(key))
                    raise
        return await super().exchange(commands)


def _text(part: Any) -> str:
    return part.decode() if isinstance(part, bytes) else str(part)
