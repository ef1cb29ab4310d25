"""A minimal HTTP server that records each request's arrival and answers at once."""

import asyncio
import re
import time
from contextlib import suppress
from typing import Self

_BODY = b'{"sid": "CA00000000000000000000000000000000", "status": "in-progress"}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


class FakeTwilio:
    """Listens on loopback. Sweeps fail on its answers; they would miss the benchmark's calls."""

    def __init__(self) -> None:
        self._posts: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def posted(self, *sids: str) -> float:
        """Wait for a POST about one of these calls; return when it arrived, in monotonic seconds."""
        while True:
            arrived_at_s, line = await self._posts.get()
            if any(sid.encode() in line for sid in sids):
                return arrived_at_s

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    self._posts.put_nowait((time.monotonic(), head.partition(b"\r\n")[0]))
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                writer.write(_ANSWER)
        writer.close()
