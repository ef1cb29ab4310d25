"""Blocking reads of streams. On a single server, each stream is read over a pipelining connection of its own.

A cluster, whose client knows the nodes, and platforms without hiredis get the reads from redis-py.
"""

import asyncio

from redis.exceptions import ConnectionError as RedisConnectionError

from conferral.storage.connection.client import BLOCK_MS, BLOCK_TIMEOUT_S, Client
from conferral.storage.connection.error_mapping import as_connection_error
from conferral.storage.connection.pipelining import PipeliningConnection

#: Entries of a stream: id, and fields with their values.
Entries = list[tuple[bytes, dict[bytes, bytes]]]


class BlockingReads:
    """Reads of streams that wait for an entry, each stream over a connection of its own.

    Args:
        client: For blocking reads.
        pipelining: Whether to use pipelining connections if possible.
    """

    def __init__(self, client: Client, *, pipelining: bool = True) -> None:
        self._client = client
        self._can_pipeline = pipelining and PipeliningConnection.can_serve(client)
        self._connections: dict[str, PipeliningConnection] = {}
        self._is_closed = False

    async def read(self, stream: str, count: int, after: str = "0") -> Entries:
        """Return the oldest entries of a stream, or those after an entry; wait up to 2 s for one."""
        if not self._can_pipeline:
            answer = await self._client.xread({stream: after}, count=count, block=BLOCK_MS)
            return answer[0][1] if answer else []
        if self._is_closed:
            raise RedisConnectionError("closed")
        connection = self._connections.get(stream)
        if connection is None:
            connection = self._connections[stream] = PipeliningConnection(self._client, BLOCK_TIMEOUT_S)
        command = ("XREAD", "COUNT", count, "BLOCK", BLOCK_MS, "STREAMS", stream, after)
        try:
            with as_connection_error():
                (reply,) = await connection.exchange(connection.pack((command,)), 1)
        except asyncio.CancelledError:
            # Otherwise the next read would wait for this one.
            self._connections.pop(stream, None)
            connection.close()
            raise
        if isinstance(reply, Exception):
            raise reply
        return [(entry_id, _pairs(fields)) for entry_id, fields in reply[0][1]] if reply else []

    def close(self) -> None:
        """Close all connections; running reads fail, and later ones do not open them again."""
        self._is_closed = True
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()


def _pairs(fields: list[bytes] | None) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True)) if fields else {}
