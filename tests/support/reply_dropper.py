"""A relay in front of Redis that swallows the reply to chosen commands and cuts the connection."""

import asyncio
import tempfile
from pathlib import Path
from typing import Self


class ReplyDropper:
    """Listens on a unix socket of its own; what is sent always arrives, some answers never come back."""

    def __init__(self, server: Path, *, drop: bytes, every: int) -> None:
        """Drops the reply to every nth request that contains some bytes."""
        self._server = server
        self._drop = drop
        self._every = every
        self._seen = 0
        self.dropped = 0
        self._folder = tempfile.TemporaryDirectory(prefix="conferral-relay-")
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"unix://{self._folder.name}/relay.sock"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_unix_server(self._accept, f"{self._folder.name}/relay.sock")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._folder.cleanup()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(str(self._server))
        doomed = asyncio.Event()

        async def back() -> None:
            while data := await from_server.read(65536):
                if doomed.is_set():
                    self.dropped += 1
                    return
                writer.write(data)
                await writer.drain()

        backward = asyncio.ensure_future(back())
        try:
            while not backward.done():
                reading = asyncio.ensure_future(reader.read(1 << 20))
                await asyncio.wait({reading, backward}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    return
                data = reading.result()
                if not data:
                    return
                if self._drop in data:
                    self._seen += 1
                    if self._seen % self._every == 0:
                        doomed.set()
                to_server.write(data)
                await to_server.drain()
        finally:
            backward.cancel()
            to_server.close()
