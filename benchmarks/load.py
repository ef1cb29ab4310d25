"""A load generator: keep-alive connections that send the next prebuilt request after each response."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

#: Timeout for the first response, in seconds.
FIRST_ANSWER_S = 20.0


@dataclass
class Load:
    """The requests sent and the responses received."""

    requests: Iterator[bytes]
    expected: bytes
    latencies_s: list[float] = field(default_factory=list)
    wrong: int = 0
    is_over: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class _Connection(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""
        self._sent_at_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # uvloop's transports aren't asyncio.Transport
        self._send()

    def _send(self) -> None:
        if self._load.is_over:
            self._transport.close()
            return
        self._sent_at_s = time.monotonic()
        self._transport.write(next(self._load.requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):  # a 204 has no body
            return
        self._load.answered.set()
        self._load.latencies_s.append(time.monotonic() - self._sent_at_s)
        self._load.wrong += not self._received.startswith(self._load.expected)
        self._received = b""
        self._send()


async def send(port: int, requests: Sequence[bytes], *, connections: int, duration_s: float) -> tuple[Load, float]:
    """Send for a while; return the responses, and the elapsed time in seconds."""
    load = Load(cycle(requests), b"HTTP/1.1 204")
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port) for _ in range(connections)]
    # Measure from the first response on, to exclude the server's startup.
    async with asyncio.timeout(FIRST_ANSWER_S):
        await load.answered.wait()
    load.latencies_s.clear()
    began_s = time.monotonic()
    await asyncio.sleep(duration_s)
    took_s = time.monotonic() - began_s
    load.is_over = True
    kept = Load(load.requests, load.expected, load.latencies_s.copy(), load.wrong, is_over=True)
    for transport, _ in opened:
        transport.close()
    await asyncio.sleep(0)
    if kept.wrong or not kept.latencies_s:
        raise SystemExit(f"{kept.wrong} of {len(kept.latencies_s)} requests were not answered with 204")
    return kept, took_s
