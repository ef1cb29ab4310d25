"""Blocking reads of streams."""

import asyncio

from conferral.storage.connection.client import BLOCK_MS, Client

#: Entries of a stream: id, and fields with their values.
Entries = list[tuple[bytes, dict[bytes, bytes]]]


class BlockingReads:
    """Reads that wait for an entry; one at a time for each stream."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._running: dict[str, asyncio.Task[Entries]] = {}

    async def read(self, stream: str, count: int, after: str = "0") -> Entries:
        """Return up to `count` entries, oldest first; wait about 2 s for one."""
        task = self._running[stream] = asyncio.ensure_future(self._read(stream, count, after))
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is None or current.cancelling():
                raise
            return []  # interrupted
        finally:
            del self._running[stream]

    def interrupt(self, stream: str) -> None:
        """End a stream's running read: it returns no entries, and loses none."""
        if (task := self._running.get(stream)) is not None:
            task.cancel()

    async def _read(self, stream: str, count: int, after: str) -> Entries:
        answer = await self._client.xread({stream: after}, count=count, block=BLOCK_MS)
        return [entry for _, entries in answer for entry in entries]
