"""A load generator: keep-alive connections that send prebuilt requests, each after the last one's response."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

#: How long the first answer may take, in seconds.
FIRST_ANSWER_S = 20.0


@dataclass
class Load:
    """The requests to send, and how many were answered."""

    requests: Iterator[bytes]
    answered: int = 0
    wrong: int = 0
    is_over: bool = False


class _Connection(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # uvloop's transports aren't asyncio.Transport
        self._transport.write(next(self._load.requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):  # a 204 has no body
            return
        self._load.answered += 1
        self._load.wrong += not self._received.startswith(b"HTTP/1.1 204")
        self._received = b""
        if self._load.is_over:
            self._transport.close()
        else:
            self._transport.write(next(self._load.requests))


async def send(port: int, requests: Sequence[bytes], *, connections: int, duration_s: float) -> int:
    """Send these requests again and again for a while; return how many were answered, all of them with 204."""
    load = Load(cycle(requests))
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port) for _ in range(connections)]
    async with asyncio.timeout(FIRST_ANSWER_S):
        while not load.answered:
            await asyncio.sleep(0.01)
    await asyncio.sleep(duration_s)
    load.is_over = True
    answered = load.answered
    for transport, _ in opened:
        transport.close()
    await asyncio.sleep(0)
    if load.wrong:
        raise SystemExit(f"{load.wrong} of {answered} requests were not answered with 204")
    return answered
