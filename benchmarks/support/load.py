"""A load generator: keep-alive connections that send prebuilt requests, as fast as they are answered or at a pace."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

#: How long the first answer may take, in seconds.
FIRST_ANSWER_S = 20.0


@dataclass
class Load:
    """What is sent, and how many requests were answered."""

    #: Called with a connection that has no request: it is new, or the last one was answered.
    on_free: Callable[["_Connection"], object]
    answered: int = 0
    wrong: int = 0

    def check(self) -> None:
        """End the benchmark unless all answers were 204."""
        if self.wrong:
            raise SystemExit(f"{self.wrong} of {self.answered} requests were not answered with 204")


class _Connection(asyncio.Protocol):
    """A connection that has one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport  # uvloop's transports aren't asyncio.Transport
        self._load.on_free(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):  # a 204 has no body
            return
        self._load.answered += 1
        self._load.wrong += not self._received.startswith(b"HTTP/1.1 204")
        self._received = b""
        self._load.on_free(self)


async def _opened(port: int, load: Load, connections: int) -> list[Any]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port))[0] for _ in range(connections)]


async def send(port: int, requests: Sequence[bytes], *, connections: int, duration_s: float) -> int:
    """Send these requests again and again for a while; return how many were answered, all of them with 204."""
    rest, is_over = cycle(requests), asyncio.Event()
    load = Load(lambda one: one.transport.close() if is_over.is_set() else one.transport.write(next(rest)))
    opened = await _opened(port, load, connections)
    async with asyncio.timeout(FIRST_ANSWER_S):
        while not load.answered:
            await asyncio.sleep(0.01)
    await asyncio.sleep(duration_s)
    is_over.set()
    answered = load.answered
    for transport in opened:
        transport.close()
    await asyncio.sleep(0)
    load.check()
    return answered


async def send_paced(port: int, requests: Sequence[bytes], *, connections: int, per_s: float) -> None:
    """Send each request once, so many a second, and wait for the answers, all of them 204."""
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    load, loop = Load(free.put_nowait), asyncio.get_running_loop()
    opened = await _opened(port, load, connections)
    began_s = loop.time()
    for number, request in enumerate(requests):
        await asyncio.sleep(began_s + number / per_s - loop.time())
        (await free.get()).transport.write(request)
    async with asyncio.timeout(FIRST_ANSWER_S):
        while load.answered < len(requests):
            await asyncio.sleep(0.01)
    for transport in opened:
        transport.close()
    load.check()
