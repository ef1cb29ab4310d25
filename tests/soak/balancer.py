"""What stands in front of several webhooks: hands each connection to one that takes it.

Run as `python -m tests.soak.balancer PORT BACKEND...` with ports of loopback; SIGTERM stops it.
"""

import asyncio
import sys
from itertools import count

from conferral.runtime import lifecycle

HOST = "127.0.0.1"


class Balancer:
    """Connections in turn; one that no one takes is closed, one whose backend goes is closed too."""

    def __init__(self, backends: list[int]) -> None:
        self._backends = backends
        self._turn = count()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        try:
            backend = await self._connect()
            if backend is not None:
                await _join((reader, writer), backend)
        except OSError:
            return
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        first = next(self._turn)
        for step in range(len(self._backends)):
            port = self._backends[(first + step) % len(self._backends)]
            try:
                return await asyncio.open_connection(HOST, port)
            except OSError:
                continue
        return None


async def _join(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter], other: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    there = asyncio.ensure_future(_copy(one[0], other[1]))
    back = asyncio.ensure_future(_copy(other[0], one[1]))
    await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
    for task in (there, back):
        task.cancel()
    await asyncio.gather(there, back, return_exceptions=True)
    other[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def serve(port: int, backends: list[int], stop: asyncio.Event) -> int:
    """Balances until the process is asked to stop."""
    server = await asyncio.start_server(Balancer(backends).accept, HOST, port, backlog=1_024)
    await stop.wait()
    server.close()
    return 0


if __name__ == "__main__":
    ports = [int(text) for text in sys.argv[1:]]
    sys.exit(lifecycle.run(lambda stop: serve(ports[0], ports[1:], stop)))
