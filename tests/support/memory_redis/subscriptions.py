"""Pub/Sub of a Redis in memory: redis-py's own class, fed by the server."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.memory_redis.values import UnsupportedError

if TYPE_CHECKING:
    from tests.support.memory_redis.server import MemoryServer


class _Plain:
    """What redis-py's class asks of an encoder."""

    decode_responses = False

    @staticmethod
    def encode(value: bytes | str) -> bytes:
        return value if isinstance(value, bytes) else value.encode()

    @staticmethod
    def decode(value: bytes) -> bytes:
        return value


class MemoryPubSub(PubSub):
    """Listens to channels. After its connection broke it says so once, and then listens to the same ones again."""

    def __init__(self, server: "MemoryServer", *, ignore_subscribe_messages: bool = False) -> None:
        """Makes one that listens to nothing yet.

        Args:
            server: To which.
            ignore_subscribe_messages: See redis-py.
        """
        self._server = server
        self.ignore_subscribe_messages = ignore_subscribe_messages
        self.connection = None
        self.encoder = _Plain()
        self.push_handler_func = None
        self.channels = {}
        self.patterns = {}
        self.shard_channels = {}
        self.pending_unsubscribe_channels = set()
        self.pending_unsubscribe_patterns = set()
        self.pending_unsubscribe_shard_channels = set()
        self._arrived: deque[list[Any]] = deque()
        self._has_arrived = asyncio.Event()
        self._is_broken = False
        self._is_killed = False
        self._heard: dict[bytes, None] = {}

    # ---- from the server -----------------------------------------------------------------------------------------

    def deliver(self, message: list[Any]) -> None:
        """A message arrives."""
        self._arrived.append(message)
        self._has_arrived.set()

    def broke(self) -> None:
        """The connection is gone, with what no one has read yet."""
        self._arrived.clear()
        self._is_broken = True
        self._has_arrived.set()

    def kill(self) -> None:
        """Its process dies."""
        self._is_killed = True
        self._leave(list(self._heard))
        self.broke()

    # ---- what redis-py's class does with a connection ------------------------------------------------------------

    async def execute_command(self, *args: Any) -> None:
        """Subscribes or unsubscribes."""
        await self.connect()
        await asyncio.sleep(0)
        name, names = args[0], [_Plain.encode(part) for part in args[1:]]
        if name == "SUBSCRIBE":
            self._join(names)
        elif name == "UNSUBSCRIBE":
            for number, channel in enumerate(names := names or list(self._heard), start=1):
                self.deliver([b"unsubscribe", channel, len(self._heard) - number])
            self._leave(names)
        elif name == "PING":
            self.deliver([b"pong", *(names or [b""])])
        else:
            raise UnsupportedError(name)

    async def connect(self) -> None:
        """Connects again where it has to."""
        if self._is_killed or self._server.is_down:
            raise RedisConnectionError("Error 111 connecting to memory. Connection refused.")
        if self._is_broken:
            self._is_broken = False
            channels, self._heard = list(self._heard), {}
            self._join(channels)

    async def parse_response(self, block: bool = True, timeout: float = 0) -> Any:  # noqa: ASYNC109
        """The next message; None when none came in time."""
        await asyncio.sleep(0)
        if not self._arrived and not self._is_broken:
            self._has_arrived.clear()
            try:
                async with asyncio.timeout(None if block else timeout):
                    await self._has_arrived.wait()
            except TimeoutError:
                return None
        if self._is_broken:
            await self.connect()
            raise RedisConnectionError("Connection closed by server.")
        return self._arrived.popleft()

    async def aclose(self) -> None:
        """Listens to nothing any more."""
        self._leave(list(self._heard))
        self._arrived.clear()
        self.channels = {}
        self.patterns = {}

    def _join(self, channels: list[bytes]) -> None:
        for channel in channels:
            self._heard[channel] = None
            self._server.channels.setdefault(channel, {})[self] = None
            self.deliver([b"subscribe", channel, len(self._heard)])

    def _leave(self, channels: list[bytes]) -> None:
        for channel in channels:
            self._heard.pop(channel, None)
            listening = self._server.channels.get(channel, {})
            listening.pop(self, None)
            if not listening:
                self._server.channels.pop(channel, None)
