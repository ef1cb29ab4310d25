"""A minimal HTTP server that records each request's arrival and responds at once."""

import asyncio
import time
from typing import Any, Self

_BODY = b'{"sid": "CA00000000000000000000000000000000", "status": "in-progress"}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class FakeTwilio:
    """Listens on loopback; `arrivals` gets the time of each request, in monotonic seconds, and its first line.

    Args:
        is_idle: Whether the account has no calls, so that sweeps succeed. Otherwise they fail: they would miss the
            benchmark's calls.
    """

    def __init__(self, *, is_idle: bool = False) -> None:
        self._is_idle = is_idle
        self.arrivals: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def posted(self, *sids: str) -> float:
        """Wait for a POST about one of these calls, skipping others such as the sweep's; return when it arrived."""
        while True:
            arrived_at_s, line = await self.arrivals.get()
            if line.startswith(b"POST") and any(sid.encode() in line for sid in sids):
                return arrived_at_s

    def answer_to(self, line: bytes) -> bytes:
        """Return the answer to a request with this first line."""
        body = _BODY
        if self._is_idle and line.startswith(b"GET"):
            body = b'{"calls": []}' if b"/Calls.json" in line else b'{"conferences": []}'
        return _ANSWER % (len(body), body)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Exchange(self), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()


class _Exchange(asyncio.Protocol):
    def __init__(self, twilio: FakeTwilio) -> None:
        self._twilio = twilio
        self._received = b""
        self._arrived_at_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if not self._received:
            self._arrived_at_s = time.monotonic()
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._received = b""
        line = head.partition(b"\r\n")[0]
        self._twilio.arrivals.put_nowait((self._arrived_at_s, line))
        self._transport.write(self._twilio.answer_to(line))


def _length(head: bytes) -> int:
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lengths[0].split(b":")[1]) if lengths else 0
