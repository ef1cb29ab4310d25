"""A load generator: keep-alive connections that send prebuilt requests, each after a response or at a steady rate."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

#: Timeout for the first response, in seconds.
FIRST_ANSWER_S = 20.0
#: Interval at which a steady rate releases requests, in seconds.
_TICK_S = 0.001


@dataclass
class Load:
    """The requests sent and the responses received."""

    requests: Iterator[bytes]
    expected: bytes
    is_steady: bool = False
    latencies_s: list[float] = field(default_factory=list)
    wrong: int = 0
    is_over: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    #: At a steady rate: when each waiting request became due, and the connections without a request.
    due_s: deque[float] = field(default_factory=deque)
    idle: "list[_Connection]" = field(default_factory=list)

    async def release(self, rate_per_s: float) -> None:
        """Make requests due at a steady rate; one that finds no idle connection waits, and that time counts."""
        began_s, released = time.monotonic(), 0
        while not self.is_over:
            await asyncio.sleep(_TICK_S)
            now_s = time.monotonic()
            due = int((now_s - began_s) * rate_per_s)
            self.due_s.extend([now_s] * (due - released))
            released = due
            while self.idle and self.due_s:
                self.idle.pop().send(self.due_s.popleft())


class _Connection(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""
        self._began_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # uvloop's transports aren't asyncio.Transport
        self._next()

    def _next(self) -> None:
        load = self._load
        if load.is_over:
            self._transport.close()
        elif not load.is_steady:
            self.send(time.monotonic())
        elif load.due_s:
            self.send(load.due_s.popleft())
        else:
            load.idle.append(self)

    def send(self, since_s: float) -> None:
        """Send the next request; its latency counts from that moment."""
        self._began_s = since_s
        self._transport.write(next(self._load.requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):  # a 204 has no body
            return
        self._load.answered.set()
        self._load.latencies_s.append(time.monotonic() - self._began_s)
        self._load.wrong += not self._received.startswith(self._load.expected)
        self._received = b""
        self._next()


async def send(
    port: int, requests: Sequence[bytes], *, connections: int, duration_s: float, rate_per_s: float = 0.0
) -> tuple[Load, float]:
    """Send for a while; return the responses, and the elapsed time in seconds.

    Args:
        port: Where the server listens.
        requests: Sent again and again.
        connections: How many (count).
        duration_s: How long, in seconds.
        rate_per_s: Requests per second; 0 sends each as soon as its connection is free.
    """
    load = Load(cycle(requests), b"HTTP/1.1 204", is_steady=rate_per_s > 0)
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port) for _ in range(connections)]
    releasing = asyncio.ensure_future(load.release(rate_per_s)) if rate_per_s else None
    # Measure from the first response on, to exclude the server's startup.
    async with asyncio.timeout(FIRST_ANSWER_S):
        await load.answered.wait()
    load.latencies_s.clear()
    began_s = time.monotonic()
    await asyncio.sleep(duration_s)
    took_s = time.monotonic() - began_s
    load.is_over = True
    if releasing:
        await releasing
    kept = Load(load.requests, load.expected, latencies_s=load.latencies_s.copy(), wrong=load.wrong, is_over=True)
    for transport, _ in opened:
        transport.close()
    await asyncio.sleep(0)
    if kept.wrong or not kept.latencies_s:
        raise SystemExit(f"{kept.wrong} of {len(kept.latencies_s)} requests were not answered with 204")
    return kept, took_s
