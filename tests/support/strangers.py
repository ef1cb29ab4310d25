"""Strangers: connections and requests that anyone may send, and that never matter; and callers among them."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.webhooks.webhook_helpers import fields, signed

#: The name under which the shipped proxies serve the webhooks.
HOST = "voice.example.com"
VOICE = "/voice/inbound"
#: How often connections are opened, and half-sent requests continued, seconds.
OPEN_EVERY_S, DRIP_EVERY_S = 0.1, 0.5
#: How often complete requests are sent, seconds.
FLOOD_EVERY_S = 0.02
#: How long a caller waits, seconds. Twilio waits for three times as long.
CALLER_WAITS_S = 5.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What a stranger sends at first, and then again and again."""

    start: bytes
    drip: bytes = b""
    reads: bool = True


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def _head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", f"Host: {HOST}", *lines, ""]).encode()


_FORGED = "Content-Type: application/x-www-form-urlencoded", "X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA="
KINDS = {
    "bodies": Kind(_head(VOICE, *_FORGED, "Content-Length: 900", "") + b"CallSid=CA", b"0"),
    "pipelined": Kind((_get("/healthz") + _get("/openapi.json")) * 500),
    "unread": Kind(_get("/openapi.json"), _get("/openapi.json"), reads=False),
    "heads": Kind(_head(VOICE, *_FORGED), b"X-A: b\r\n"),
    "signing in": Kind(_head("/sign-in", "Content-Type: application/json", "Content-Length: 900", "") + b"{", b" "),
}


def _whole(path: str, body: bytes, *lines: str) -> bytes:
    return _head(path, *lines, f"Content-Length: {len(body)}", "") + body


def _form(bytes_max: int, fields_max: int, value: str) -> bytes:
    """So many fields with a value that is repeated, up to a size."""
    names = [f"f{number}=" for number in range(fields_max)]
    repetitions = (bytes_max - len("&".join(names))) // fields_max // len(value)
    return "&".join(name + value * repetitions for name in names).encode()


#: Its colon, at sign, and apostrophe may be signed in another form than they are sent.
_VARIED = f"{VOICE}?a=:@'"
_OBJECTS = json.dumps({"token": [{}] * 15_000}).encode()
_JSON = "Content-Type: application/json"
#: Complete requests, each of which costs as much as its size allows: bytes that are not UTF-8, fields, objects.
REQUESTS = {
    "usual": _whole(VOICE, urlencode(fields("call_arrives")).encode(), *_FORGED),
    "small": _whole(_VARIED, _form(8_192, 64, "%FF"), *_FORGED),
    "fields": _whole(VOICE, _form(8_192, 128, "%FF"), *_FORGED),
    "large": _whole(_VARIED, _form(262_144, 128, "%FF"), *_FORGED),
    "callbacks": _whole("/callbacks/call?session=CA&party=agent&v=1", _form(65_536, 128, "%FF"), *_FORGED),
    "API": _whole("/sessions", _OBJECTS, _JSON, "Authorization: Bearer another"),
    "signing in": _whole("/sign-in", _OBJECTS, _JSON),
}


class _Sender(asyncio.Protocol):
    """A connection over which a stranger sends a request again as soon as it was answered, and it is its turn."""

    def __init__(self, opened: set["_Sender"], free: list["_Sender"]) -> None:
        self._opened, self._free = opened, free

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._opened.add(self)
        self._free.append(self)

    def data_received(self, _data: bytes) -> None:
        self._free.append(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._opened.discard(self)


@asynccontextmanager
async def flood(port: int, request: bytes, *, connections: int, per_second: int) -> AsyncIterator[Counter[str]]:
    """Send a request so often, over at most so many connections at once; count what was sent."""
    opened: set[_Sender] = set()
    free: list[_Sender] = []
    sent: Counter[str] = Counter()

    async def send() -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while True:
            await asyncio.sleep(FLOOD_EVERY_S)  # a delay: the pace of requests
            due = int((loop.time() - began_s) * per_second) - sent["due"]
            sent["due"] += due
            for _ in range(min(due, connections - len(opened))):
                with suppress(OSError):
                    await loop.create_connection(lambda: _Sender(opened, free), "127.0.0.1", port)
            for _ in range(due):
                while free and free[-1].transport.is_closing():
                    free.pop()
                if free:
                    free.pop(0).transport.write(request)
                    sent["sent"] += 1

    task = asyncio.create_task(send())
    try:
        yield sent
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        for sender in tuple(opened):
            sender.transport.abort()


class _Stranger(asyncio.Protocol):
    def __init__(self, kind: Kind, opened: dict["_Stranger", None]) -> None:
        self._kind = kind
        self._opened = opened

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._opened[self] = None
        if not self._kind.reads:
            transport.pause_reading()
        transport.write(self._kind.start)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._opened.pop(self, None)

    def drip(self) -> None:
        if self._kind.drip and not self.transport.is_closing():
            self.transport.write(self._kind.drip)


async def _open(port: int, kind: Kind, opened: dict[_Stranger, None]) -> None:
    loop, sock = asyncio.get_running_loop(), socket.socket()
    sock.setblocking(False)
    if not kind.reads:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.create_connection(lambda: _Stranger(kind, opened), sock=sock)
    except OSError:
        sock.close()


@asynccontextmanager
async def strangers(port: int, kind: Kind, *, connections: int, per_second: int) -> AsyncIterator[None]:
    """Keep so many connections open, as far as the server lets them be, and open so many new ones a second."""
    opened: dict[_Stranger, None] = {}
    has_begun = asyncio.Event()

    async def keep_opening() -> None:
        for number in count():
            await asyncio.gather(*(_open(port, kind, opened) for _ in range(int(per_second * OPEN_EVERY_S))))
            for stranger in tuple(opened)[: max(0, len(opened) - connections)]:
                stranger.transport.abort()
            if number % round(DRIP_EVERY_S / OPEN_EVERY_S) == 0:
                for stranger in tuple(opened):
                    stranger.drip()
            if number * OPEN_EVERY_S >= min(1.0, connections / per_second):
                has_begun.set()
            await asyncio.sleep(OPEN_EVERY_S)  # a delay: the pace of new connections

    task = asyncio.create_task(keep_opening())
    try:
        await asyncio.wait_for(has_begun.wait(), timeout=30)
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        for stranger in tuple(opened):
            stranger.transport.abort()


_numbers = count()


@dataclass(slots=True)
class Answers:
    """What callers got: TwiML that dials, or something else, in words."""

    counts: Counter[str] = field(default_factory=Counter)
    #: How long the answers took that dial, seconds.
    took_s: list[float] = field(default_factory=list)

    @property
    def dialed_share(self) -> float:
        return self.counts["dialed"] / max(1, self.counts.total())

    def share_within(self, limit_s: float) -> float:
        """The share of callers whose call was dialed in that time."""
        return sum(took_s <= limit_s for took_s in self.took_s) / max(1, self.counts.total())

    def __add__(self, other: "Answers") -> "Answers":
        return Answers(self.counts + other.counts, self.took_s + other.took_s)

    async def call(self, client: aiohttp.ClientSession, port: int, more: Mapping[str, str]) -> None:
        """Request TwiML for a new call, as Twilio does."""
        form = fields("call_arrives", CallSid=f"CA{next(_numbers):032x}") | more
        headers: Mapping[str, str] = {"Host": HOST, **signed(VOICE, form)}
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            async with client.post(f"http://127.0.0.1:{port}{VOICE}", data=urlencode(form), headers=headers) as got:
                is_dialed = got.status == 200 and "<Dial" in await got.text()
            self.took_s += [loop.time() - began_s] if is_dialed else []
            self.counts["dialed" if is_dialed else f"status {got.status}"] += 1
        except TimeoutError:
            self.counts["late"] += 1
        except (aiohttp.ClientError, OSError) as error:
            self.counts[f"reset: {type(error).__name__}"] += 1


async def calls(
    port: int, *, number: int, per_second: int, keep: bool = False, more: Mapping[str, str] = MappingProxyType({})
) -> Answers:
    """So many callers, each over a connection of their own, or over kept ones; `more` are fields of their requests."""
    answers = Answers()
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=not keep),
            timeout=aiohttp.ClientTimeout(total=CALLER_WAITS_S),
        ) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(number):
            group.create_task(answers.call(client, port, more))
            await asyncio.sleep(1 / per_second)  # a delay: the pace of calls
    return answers
