"""Blocking reads of streams; on a cluster, by redis-py."""

import asyncio
from collections import defaultdict
from functools import partial

from redis.exceptions import ConnectionError as RedisConnectionError

from conferral.runtime.clock import until_tick_s
from conferral.storage.connection.client import BLOCK_MS, BLOCK_TIMEOUT_S, Client
from conferral.storage.connection.error_mapping import as_connection_error
from conferral.storage.connection.pipelining import PipeliningConnection

#: Entries of a stream: id, and fields with their values.
Entries = list[tuple[bytes, dict[bytes, bytes]]]


class BlockingReads:
    """Reads that wait for an entry, each stream over its own connection."""

    def __init__(self, client: Client, *, pipelining: bool = True) -> None:
        self._client = client
        self._can_pipeline = pipelining and PipeliningConnection.can_serve(client)
        connect = partial(PipeliningConnection, client, BLOCK_TIMEOUT_S)
        self._connections: dict[str, PipeliningConnection] = defaultdict(connect)
        #: Running reads of redis-py.
        self._tasks: dict[str, asyncio.Task[Entries]] = {}
        self._is_closed = False

    async def read(self, stream: str, count: int, after: str = "0") -> Entries:
        """Return up to `count` entries, oldest first; wait about 2 s for one."""
        block_ms = round(until_tick_s(BLOCK_MS / 1000) * 1000)
        # Each stream allows one read at a time. Without a task, which would delay commands by a loop iteration.
        if not self._can_pipeline:
            return await self._read_with_client(stream, count, after, block_ms)
        if self._is_closed:
            raise RedisConnectionError("closed")
        connection = self._connections[stream]
        command = ("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", stream, after)
        try:
            with as_connection_error():
                (reply,) = await connection.exchange(connection.pack((command,)), 1)
        except asyncio.CancelledError:
            # Close the connection: otherwise the next read would wait for the answer to this one.
            self.interrupt(stream)
            raise
        except RedisConnectionError:
            if self._connections.get(stream) is connection:
                raise
            return []  # interrupted
        if isinstance(reply, Exception):
            raise reply
        return [(entry_id, _as_dict(fields)) for _, entries in reply or () for entry_id, fields in entries]

    def interrupt(self, stream: str) -> None:
        """End a stream's running read: it returns no entries, and loses none."""
        if (connection := self._connections.pop(stream, None)) is not None:
            connection.close()
        if (task := self._tasks.get(stream)) is not None:
            task.cancel()

    async def _read_with_client(self, stream: str, count: int, after: str, block_ms: int) -> Entries:
        """Read with redis-py, in a task that `interrupt` can cancel."""

        async def read() -> Entries:
            answer = await self._client.xread({stream: after}, count=count, block=block_ms)
            return [entry for _, entries in answer for entry in entries]

        task = self._tasks[stream] = asyncio.ensure_future(read())
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is None or current.cancelling():
                raise
            return []  # interrupted
        finally:
            del self._tasks[stream]

    def close(self) -> None:
        """Close all connections for good; running reads fail."""
        self._is_closed = True
        for connection in self._connections.values():
            connection.close()


def _as_dict(fields: list[bytes] | None) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True)) if fields else {}
