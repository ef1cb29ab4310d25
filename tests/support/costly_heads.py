"""Requests of strangers whose head is costly to read: every route, every header, every kind of content."""

import asyncio
import base64
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from aiohttp import web

#: What a request of a stranger may cost at most, seconds of processor time.
COST_MAX_S = 0.002
#: A little below the limit of aiohttp's parser, bytes.
SIZE = 8_000
#: Attempts at a request that seems to cost more: other work may have used the processor's caches.
ATTEMPTS = 6
BODY = b'{"identity":"alice"}'
Headers = Sequence[tuple[str, bytes]]


def _filled(piece: str, start: str = "") -> bytes:
    return (start + piece * SIZE)[:SIZE].encode()


_NESTED = base64.urlsafe_b64encode(b'{"x":' + b"[" * 990).decode()
CONTENTS = {
    "separators": _filled("a;"),
    "pairs": _filled('a="b"; '),
    "commas": _filled('"a",'),
    "other letters": "".join(map(chr, range(0x4E00, 0x4E00 + 2_600))).encode(),
    "URL of other letters": "".join(map(chr, range(0x4E00, 0x4E00 + 2_600))).encode().join((b"http://", b"")),
    "percent signs": _filled("%E4"),
    "brackets": _filled("[", "http://"),
    "digits": _filled("1", "Bearer "),
    "nested": f"Bearer {_NESTED}.a".encode(),
    "no UTF-8": b"\xff" * SIZE,
}
#: Headers that may decide how a request goes on: each is sent alone.
DECIDING = (
    "Authorization", "Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Expect", "Host", "If-Match",
    "If-None-Match", "Origin", "Transfer-Encoding", "X-Conferral", "X-Twilio-Signature",
    "X-Twilio-Webhooks-Signature-Settings",
)  # fmt: skip
#: Others that aiohttp or we read: all are sent at once.
OTHERS = (
    "Accept", "Accept-Encoding", "Access-Control-Request-Headers", "Connection", "I-Twilio-Idempotency-Token",
    "Idempotency-Key", "If-Modified-Since", "If-Range", "Range", "Sec-Fetch-Site", "Sec-WebSocket-Key", "traceparent",
    "Upgrade", "X-Anything", "X-Conferral-Desk-Secret", "X-Forwarded-Email", "X-Forwarded-For", "X-Forwarded-Proto",
)  # fmt: skip
#: How often a header is repeated; aiohttp takes 128 headers.
REPEATED = 100
#: Targets of requests, each for a path.
TARGETS: dict[str, Callable[[bytes], bytes]] = {
    "host of other letters": lambda path: b"http://" + "中".encode() * 2_500 + path,
    "host that must be decoded": lambda path: b"http://xn--" + b"4ca0b" * 1_500 + path,
    "many slashes": lambda _path: b"/a" * 3_900,
    "many fields": lambda path: path + b"?" + b"a=1&" * 1_900,
    "other letters": lambda path: path + b"?a=" + "中".encode() * 2_500,
    "escapes": lambda path: path + b"?a=" + b":@'%3a" * 1_300,
}


def routes_of(app: web.Application) -> Iterator[tuple[str, str]]:
    """Yield methods and paths of an application; of many files, those of one kind are served alike."""
    kinds = set()
    for route in app.router.routes():
        path = route.resource.canonical if route.resource is not None else ""
        kind = path.rpartition(".")[2] if re.search(r"\.(?!json|csv)\w+$", path) else path
        if (route.method, kind) not in kinds and route.method != "HEAD":
            kinds.add((route.method, kind))
            yield ("POST" if route.method == "*" else route.method), re.sub(r"\{\w+\}", "x", path)


def _request(method: str, target: bytes, usual: Headers, more: Headers = ()) -> bytes:
    body = BODY if method in ("POST", "PUT", "DELETE") else b""
    given = {name for name, _ in more}
    length = [("Content-Length", str(len(body)).encode())] if body else []
    kept = [(name, value) for name, value in (*length, *usual) if name not in given]
    lines = [name.encode() + b": " + value for name, value in (*kept, *more)]
    return b"\r\n".join((method.encode() + b" " + target + b" HTTP/1.1", *lines, b"", body))


def requests_to(method: str, path: str, usual: Headers) -> Iterator[tuple[str, bytes]]:
    """Yield requests with a costly head, and what they are; `usual` are the headers of the route's own clients."""
    usual = (("Host", b"localhost"), ("Content-Type", b"application/json"), ("Connection", b"close"), *usual)
    target = path.encode()
    yield "", _request(method, target, usual)
    for content, value in CONTENTS.items():
        for header in DECIDING:
            yield f"{header}: {content}", _request(method, target, usual, [(header, value)])
        yield f"others: {content}", _request(method, target, usual, [(header, value) for header in OTHERS])
    for header in DECIDING:
        yield f"{header}, repeated", _request(method, target, usual, [(header, CONTENTS["commas"])] * REPEATED)
    for name, make in TARGETS.items():
        yield f"target: {name}", _request(method, make(target), usual)


async def _cost_s(port: int, request: bytes) -> tuple[float, bytes]:
    """Send a request; return the processor time until the answer has ended, and its first line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b""
    try:
        began_s = time.process_time()
        writer.write(request)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(60):
                head = await reader.readuntil(b"\r\n")
                await reader.readuntil(b"\r\n\r\n")
        return time.process_time() - began_s, head
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def costly_requests(port: int, routes: Iterable[tuple[str, str]], usual: Headers) -> list[str]:
    """Return which requests cost too much beyond a usual one, or fail, out of all."""
    found = []
    for method, path in routes:
        usual_s = 0.0
        for name, request in requests_to(method, path, usual):
            costs_s = []
            while len(costs_s) < ATTEMPTS and (not costs_s or min(costs_s) - usual_s >= COST_MAX_S):
                cost_s, answer = await _cost_s(port, request)
                costs_s.append(cost_s)
            usual_s = usual_s or min(costs_s)
            if min(costs_s) - usual_s >= COST_MAX_S or b" 500 " in answer or not answer:
                found.append(f"{method} {path} {name}: {1000 * min(costs_s):.1f} ms, {answer.decode().strip()}")
    return found
