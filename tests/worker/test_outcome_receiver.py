"""Requests with outcomes over real HTTP: signatures, and receivers that are slow, redirect, or are hostile."""

import asyncio
import base64
import hashlib
import hmac
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from conferral.runtime.clock import SystemClock
from conferral.worker.outcome_sender import CONCURRENT_REQUESTS_MAX, OutcomeReceiver
from tests.docs.generated import ROOT
from tests.docs.markdown_files import blocks

SECRETS = [f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2)]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def serving(serve: Serve, timeout_s: float = 10.0) -> AsyncIterator[OutcomeReceiver]:
    """A server that writes whatever the test says, once it has the request's headers."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    receiver = OutcomeReceiver(f"http://127.0.0.1:{port}/a-secret-path", SECRETS, SystemClock(), timeout_s=timeout_s)
    try:
        yield receiver
    finally:
        await receiver.close()
        server.close()
        await server.wait_closed()


def answering(text: bytes) -> Serve:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return serve


async def test_receiver_of_the_docs_takes_what_is_signed_with_its_secret(monkeypatch: pytest.MonkeyPatch):
    (text,) = blocks(ROOT / "docs" / "outcomes.md", "python")
    assert len([line for line in text.splitlines() if line]) == 10, "promised: ten lines"
    example: dict[str, Any] = {}
    exec(compile(text, "outcomes.md", "exec"), example)  # our own
    async with TestServer(example["app"]) as server:
        receiver = OutcomeReceiver(str(server.make_url("/outcomes")), SECRETS[:1], SystemClock())
        results = []
        for secret in SECRETS:
            monkeypatch.setenv("CONFERRAL_OUTCOMES_SECRET", secret)
            results.append((await receiver.post("o1", '{"type":"session.ended","data":{"session":"CA1"}}')).result)
        await receiver.close()
    assert results == ["delivered", "failed"]


async def test_requests_are_signed_with_each_secret_as_verifiers_expect():
    got: list[tuple[dict[str, str], bytes]] = []

    async def receive(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/outcomes", receive)
    async with TestServer(app) as server:
        receiver = OutcomeReceiver(str(server.make_url("/outcomes?a=1")), SECRETS, SystemClock())
        answer = await receiver.post("CA1:transfer:1", '{"type":"transfer.completed","who":"é"}')
        await receiver.close()
    assert (answer.result, answer.status) == ("delivered", 204)
    ((headers, body),) = got
    for secret in SECRETS:
        assert Webhook(secret).verify(body, headers)["type"] == "transfer.completed"
    with pytest.raises(WebhookVerificationError):
        Webhook(f"whsec_{'A' * 32}").verify(body, headers)
    # By the formula of the contract, without the library.
    names = {name.lower(): value for name, value in headers.items()}
    text = f"{names['webhook-id']}.{names['webhook-timestamp']}.".encode() + body
    mac = hmac.new(bytes([1]) * 32, text, hashlib.sha256).digest()
    assert names["webhook-signature"].split(" ")[0] == f"v1,{base64.b64encode(mac).decode()}"
    assert names["content-type"] == "application/json"


@pytest.mark.parametrize(
    "answer, result, retry_after_s",
    [
        (b"HTTP/1.1 200 OK", "delivered", 0),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/", "redirected", 0),
        (b"HTTP/1.1 410 Gone", "gone", 0),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 77", "refused", 77),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: soon", "failed", 0),
        (b"hello", "malformed", 0),
        (b"", "unreachable", 0),  # the connection is closed
    ],
)
async def test_answers_are_understood(answer: bytes, result: str, retry_after_s: float):
    async with serving(answering(answer and answer + b"\r\nContent-Length: 0\r\n\r\n")) as receiver:
        found = await receiver.post("o1", "{}")
    assert (found.result, found.retry_after_s) == (result, retry_after_s)


async def _many(writer: asyncio.StreamWriter, chunk: bytes, count: int) -> None:
    for _ in range(count):
        writer.write(chunk)
        await writer.drain()


async def test_endless_body_is_not_read():
    written = 0

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536

    async with serving(serve) as receiver:
        assert (await receiver.post("o1", "{}")).result == "delivered"
    assert written < 32 * 1024 * 1024, "the connection is closed; sockets hold some megabytes"


@pytest.mark.parametrize(
    "line", [b"X: " + b"y" * 10_000_000 + b"\r\n", b"X-Name: " + b"y" * 1000 + b"\r\n"], ids=["one", "many"]
)
async def test_giant_headers_are_refused(line: bytes):
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        await _many(writer, line, 10_000_000 // len(line) + 1)
        writer.write(b"\r\n")

    async with serving(serve) as receiver:
        assert (await receiver.post("o1", "{}")).result == "malformed"


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_slow_receiver_times_out(drip: bytes):
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(drip)
            await writer.drain()
            await asyncio.sleep(0.01)  # a receiver that takes its time

    async with serving(serve, timeout_s=0.3) as receiver:
        assert (await receiver.post("o1", "{}")).result == "timeout"


@pytest.mark.parametrize("answer", [b"", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nSet-Cookie: a b@c=1\r\n\r\n"])
async def test_no_log_line_has_the_path_a_number_or_a_secret(answer: bytes, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with serving(answering(answer)) as receiver:
        await receiver.post("o1", '{"to":"+14155550123"}')
    assert not [word for word in ("4155550123", "a-secret-path", *SECRETS) if word in caplog.text]


#: A process of its own, since the loop of the test would stop for what it writes.
FLOOD = r"""
import socketserver
class Flood(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while True:
                self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        except OSError:
            pass
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
with Server(("127.0.0.1", 0), Flood) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""


async def test_flood_of_interim_responses_does_not_stop_the_loop():
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", FLOOD, stdout=subprocess.PIPE)
    try:
        port = int(await server.stdout.readline())
        receiver = OutcomeReceiver(f"http://127.0.0.1:{port}/", SECRETS, SystemClock(), timeout_s=1.0)
        answers = asyncio.gather(*(receiver.post(f"o{number}", "{}") for number in range(CONCURRENT_REQUESTS_MAX)))
        clock, longest_s, last_s = asyncio.get_running_loop(), 0.0, asyncio.get_running_loop().time()
        while not answers.done():
            await asyncio.sleep(0)
            longest_s, last_s = max(longest_s, clock.time() - last_s), clock.time()
        assert {one.result for one in await answers} == {"timeout"}
        await receiver.close()
        assert longest_s < 0.1
    finally:
        server.kill()
        await server.wait()
